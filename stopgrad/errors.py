"""The one error that a user can cause."""


class UserError(ValueError):
    """Something the user can mend: the message says what, where and what to do, in one line.

    The command line prints the message and exits with status 2; everything else is a bug and keeps its traceback.
    """


class Lost(RuntimeError):
    """Another process of the same training is gone, or does not answer."""
