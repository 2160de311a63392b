"""Where a study's files are: its database, the caches, the students."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Places:
    """Absolute paths, because workers run in folders of their own.

    Attributes:
        runs: Everything the program writes, unless told otherwise.
        storage: SQLAlchemy URL of the studies' database.
        cache: Features, teachers and teacher logits, shared by all studies.
        options: What another command needs to find the same files, for showing it to a person.
    """

    runs: Path
    storage: str
    cache: Path
    options: str = ""

    def study(self, name: str) -> Path:
        """The folder of one study: its students and its report."""
        return self.runs / name

    def student(self, name: str, number: int) -> Path:
        """The folder of one trained student, by its trial's number."""
        return self.study(name) / "students" / str(number)

    def report(self, name: str) -> Path:
        """The report of one study."""
        return self.study(name) / "report.html"
