"""The two kinds of failure that the command line tells apart; every package derives its errors from them."""

from typing import Any


class NasError(Exception):
    """The work failed (exit code 1). The message is one sentence: what is wrong, where, and what to do.

    It travels between processes whatever the arguments of its class: as its message and what it knows.
    """

    def __reduce__(self) -> tuple[Any, ...]:
        return _again, (type(self), *self.args), self.__dict__


class InputError(NasError):
    """What the user gave cannot be used (exit code 2): an argument, a study file, a data set, a database."""


def _again(kind: type[NasError], *args: object) -> NasError:
    return kind.__new__(kind, *args)
