"""Commands typed in this very process, which starts faster than a real one."""

from collections.abc import Callable
from typing import NamedTuple

import pytest

from nas import cli


class Typed(NamedTuple):
    """What a command answered."""

    code: int
    out: str
    err: str

    def told(self, code: int, words: str) -> bool:
        """Whether it ended with that code, one error that holds these words, and no result."""
        errors = [line for line in self.err.splitlines() if line.startswith("Error:")]
        return (self.code, self.out, len(errors)) == (code, "", 1) and words in self.err and "Traceback" not in self.err


Type = Callable[..., Typed]


def typed(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], *arguments: object) -> Typed:
    """What `nas` answers to these arguments."""
    monkeypatch.setattr("sys.argv", ["nas", *map(str, arguments)])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    captured = capfd.readouterr()
    return Typed(int(ended.value.code or 0), captured.out, captured.err)
