"""The program: study files, the gate, the Ray Tune engine, the worker, the command line."""
