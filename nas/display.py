"""What a person sees of a running study: bars on a terminal, one line an event everywhere else."""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from nas.trial_book import Candidate

log = logging.getLogger("acoustic_nas.display")

Report = Callable[[int, int], None]
"""Called with how much is done and how much there is."""


class Display:
    """Progress of a study.

    Args:
        console: Where to; bars are drawn only if it is a terminal.
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            TextColumn("{task.completed:>6,.0f}/{task.total:,.0f}"),
            TextColumn("{task.fields[note]}", style="dim"),
            TimeElapsedColumn(),
            console=console,
            transient=True,
        )
        self._tasks: dict[int, TaskID] = {}
        self._students: TaskID | None = None
        self._epochs = 0

    @contextmanager
    def shown(self) -> Iterator["Display"]:
        """Shows the bars for a while; on anything but a terminal only lines appear."""
        if not self._console.is_terminal:
            yield self
            return
        with self._progress:
            yield self

    def stage(self, what: str) -> Report:
        """A stage of the preparation; it appears with its first report and leaves a line when it is done."""
        task: TaskID | None = None

        def report(done: int, total: int) -> None:
            nonlocal task
            if task is None:
                log.info("%s: %s", what, f"{total:,}")
                task = self._progress.add_task(what, total=total, note="")
            self._progress.update(task, completed=done, total=total)
            if done >= total:
                self._progress.remove_task(task)

        return report

    def searching(self, *, wanted: int, epochs: int) -> None:
        """The search begins, or goes on, for so many students of so many epochs."""
        self._epochs = epochs
        self._students = self._progress.add_task("students", total=wanted, note="")

    def so_far(self, taught: int, best_accuracy: float) -> None:
        """So many students have been taught, the best of them with that accuracy."""
        if self._students is not None:
            note = f"best accuracy {best_accuracy:.1%}" if best_accuracy else ""
            self._progress.update(self._students, completed=taught, note=note)

    def started(self, candidate: Candidate) -> None:
        heard, deployed = candidate.architecture.input, candidate.cost.deployed
        note = f"{heard.mels}x{heard.frames}, {deployed.weight_bytes / 1000:,.1f} kB, {deployed.macs / 1e6:,.2f} MMACs"
        log.debug("trial %d starts: %s", candidate.number, note)
        task = self._progress.add_task(f"  trial {candidate.number}", total=self._epochs, note=note)
        self._tasks[candidate.number] = task

    def taught(self, number: int, epoch: int, accuracy: float) -> None:
        log.debug("trial %d: epoch %d, accuracy %.1f%%", number, epoch, 100 * accuracy)
        self._progress.update(self._tasks[number], completed=epoch, note=f"accuracy {accuracy:.1%}")

    def completed(self, number: int, outcome: dict[str, Any]) -> None:
        log.info("trial %d: accuracy %.1f%% in %.0f s", number, 100 * outcome["accuracy"], outcome["seconds"])
        self._leave(number)

    def paused(self, number: int, epoch: int, accuracy: float) -> None:
        log.info("trial %d: waits at epoch %d with accuracy %.1f%%", number, epoch, 100 * accuracy)
        self._leave(number)

    def failed(self, number: int, error: str) -> None:
        log.warning("trial %d failed: %s", number, error)
        self._leave(number)

    def lost(self, number: int, error: str, *, again: bool) -> None:
        log.warning("trial %d %s: %s", number, "is tried again" if again else "is given up", error)
        self._leave(number)

    def _leave(self, number: int) -> None:
        task = self._tasks.pop(number, None)
        if task is not None:
            self._progress.remove_task(task)
