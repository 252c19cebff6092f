"""Ending with the process that started this one, however that one ends."""

import ctypes
import signal
import sys

SET_PARENT_DEATH_SIGNAL = 1
"""PR_SET_PDEATHSIG of Linux' prctl."""


def end_with_parent() -> None:
    """Ask Linux to kill this process when its parent is gone; elsewhere, do nothing."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(SET_PARENT_DEATH_SIGNAL, signal.SIGKILL)
