"""The two kinds of failure that the command line tells apart; every package derives its errors from them."""


class NasError(Exception):
    """The work failed (exit code 1). The message is one sentence: what is wrong, where, and what to do."""


class InputError(NasError):
    """What the user gave cannot be used (exit code 2): an argument, a study file, a data set, a database."""
