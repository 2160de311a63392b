"""How one network is taught and handed over: recordings, features, teachers, distillation, evaluation, export."""
