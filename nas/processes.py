"""Tasks on several cores of this machine: a process with one thread each, which is what small networks learn fastest
with."""

import multiprocessing
import queue
import signal
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from pathlib import Path
from typing import Protocol

from nas.display import Display, Report

# Seconds between two looks at what the tasks report.
_PAUSE = 0.2
_News = tuple[int, int, int]
"""Number of a task, how much of it is done, how much there is."""


class Task(Protocol):
    """Something that makes a folder of the cache; it travels to another process."""

    @property
    def what(self) -> str:
        """What its progress counts, for people."""

    def found(self) -> Path | None:
        """The folder, if it was made before."""

    def run(self, threads: int, report: Report) -> Path:
        """Makes the folder, or waits for whoever is making it."""


def run_all(tasks: Sequence[Task], workers: int, display: Display) -> list[Path]:
    """The folders of all tasks, `workers` of them made at once; a task that is alone, or one by one, is made here.

    Raises:
        Exception: What the first task raised that failed; the others are stopped.
    """
    folders = [task.found() for task in tasks]
    waiting = [number for number, folder in enumerate(folders) if folder is None]
    stages = {number: display.stage(tasks[number].what) for number in waiting}
    if workers == 1 or len(waiting) < 2:
        made = {number: tasks[number].run(workers, stages[number]) for number in waiting}
    else:
        made = _in_processes({number: tasks[number] for number in waiting}, workers, stages)
    return [made[number] if folder is None else folder for number, folder in enumerate(folders)]


def _in_processes(tasks: dict[int, Task], workers: int, stages: dict[int, Report]) -> dict[int, Path]:
    # Not forked: a child would inherit torch's threads in the middle of what they do.
    context = multiprocessing.get_context("spawn")
    news: multiprocessing.Queue[_News] = context.Queue()
    with ProcessPoolExecutor(min(workers, len(tasks)), context, _begin, (news,)) as pool:
        futures = {pool.submit(_run, number, task): number for number, task in tasks.items()}
        try:
            pending: set[Future[Path]] = set(futures)
            while pending:
                done, pending = wait(pending, _PAUSE, FIRST_COMPLETED)
                _tell(news, stages)
                for future in done:
                    future.result()
        except BaseException:
            for child in multiprocessing.active_children():
                child.terminate()
            pool.shutdown(cancel_futures=True)
            raise
    _tell(news, stages)
    return {number: future.result() for future, number in futures.items()}


def _tell(news: "multiprocessing.Queue[_News]", stages: dict[int, Report]) -> None:
    while True:
        try:
            number, done, total = news.get_nowait()
        except queue.Empty:
            return
        stages[number](done, total)


_report: Callable[[_News], None]
"""In a child: sends news home."""


def _begin(news: "multiprocessing.Queue[_News]") -> None:
    global _report
    _report = news.put
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the parent ends the children


def _run(number: int, task: Task) -> Path:
    return task.run(1, lambda done, total: _report((number, done, total)))
