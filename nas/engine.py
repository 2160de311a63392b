"""Runs the candidates of a trial book on Ray: the workers of this machine, or of the cluster that RAY_ADDRESS names."""

import logging
import os
import signal
import tempfile
from collections.abc import Callable
from typing import Any

from nas.display import Display
from nas.trial_book import Candidate, TrialBook
from search_spaces.errors import NasError

TERMINATED = 128 + signal.SIGTERM
"""The exit code of a process that ended on SIGTERM."""

OBJECT_STORE_BYTES = 150_000_000
"""Nothing big travels through Ray (workers map the caches), and containers often have a small /dev/shm."""


def run(
    book: TrialBook,
    job: Callable[[Candidate], dict[str, Any]],
    *,
    workers: int,
    display: Display,
) -> None:
    """Trains until the study has its number of students, `workers` at a time; `job` as for the searcher.

    Raises:
        KeyboardInterrupt: After Ctrl-C. What was in flight or paused stays RUNNING; the next driver adopts it.
        SystemExit: With 143, likewise, after SIGTERM.
        SearchExhausted, NasError: As the trial book raises them.
    """
    if book.wanted == 0:
        return
    # Read by Ray when it is imported.
    os.environ.update(
        RAY_USAGE_STATS_ENABLED="0",
        TUNE_DISABLE_AUTO_CALLBACK_LOGGERS="1",
        RAY_AIR_NEW_OUTPUT="0",
        RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO="0",
    )
    # With Ray's own 15, beside two busy processes on two cores, a student took 120 s that takes 7 alone.
    os.environ.setdefault("RAY_worker_niceness", "0")
    import ray
    from ray import tune
    from ray.tune.error import TuneError

    from nas.scheduler import BookScheduler
    from nas.searcher import BookSearcher
    from nas.worker import StudentWorker

    searcher = BookSearcher(book, job, display)
    terminated = False

    def on_terminate(signum: int, frame: object) -> None:
        nonlocal terminated
        terminated = True
        signal.raise_signal(signal.SIGINT)  # which Tune knows how to end on

    # Tune's own records are of no use to anybody: identity and resume live in the study.
    with tempfile.TemporaryDirectory(prefix="acoustic-nas-") as scratch:
        _start(ray, workers)
        before = signal.signal(signal.SIGTERM, on_terminate)  # Ray's own handler ends the process with a stack trace
        try:
            for name in ("ray.tune", "ray.air"):
                logging.getLogger(name).setLevel(logging.CRITICAL)
            tune.Tuner(
                tune.with_resources(StudentWorker, {"cpu": 1}),
                tune_config=tune.TuneConfig(
                    search_alg=searcher,
                    scheduler=BookScheduler(searcher),
                    num_samples=-1,
                    max_concurrent_trials=workers,
                    reuse_actors=True,
                    trial_dirname_creator=lambda trial: trial.trial_id,
                ),
                run_config=tune.RunConfig(
                    name="study",
                    storage_path=scratch,
                    verbose=0,
                    failure_config=tune.FailureConfig(max_failures=0),
                    checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),
                ),
            ).fit()
        except TuneError as error:
            raise searcher.failure or NasError(f"Ray Tune stopped: {str(error).strip().splitlines()[-1]}") from error
        finally:
            signal.signal(signal.SIGTERM, before)
            ray.shutdown()
    if searcher.failure is not None:
        raise searcher.failure
    if terminated:
        raise SystemExit(TERMINATED)
    if book.wanted or book.in_flight:
        raise KeyboardInterrupt


def _start(ray: Any, workers: int) -> None:
    if "RAY_ADDRESS" in os.environ:
        ray.init(log_to_driver=False, logging_level=logging.ERROR)
        return
    ray.init(
        num_cpus=workers,
        include_dashboard=False,
        object_store_memory=OBJECT_STORE_BYTES,
        log_to_driver=False,
        logging_level=logging.ERROR,
    )
