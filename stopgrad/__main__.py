"""``stopgrad`` and ``python -m stopgrad``: whenever it is stopped, it ends with a word."""

import signal
import sys
from types import FrameType

from stopgrad.world import world


def main() -> int:
    """Run the command line and return the exit status: that of cli.main, 130 when interrupted (Ctrl-C), 143 when terminated (SIGTERM).

    A training run that has begun sees to both itself: it saves, and ends with 75.
    """
    if world().size == 1:  # of several processes one may wait for another where no handler of Python's is heard: torchrun's signal ends it at once
        signal.signal(signal.SIGTERM, _terminated)
    try:
        from stopgrad.cli import main as command_line  # within the try: it takes the time in which a first Ctrl-C may come

        return command_line()
    except KeyboardInterrupt:
        print("stopgrad: interrupted", file=sys.stderr)
        return 130


def _terminated(number: int, frame: FrameType | None) -> None:
    print("stopgrad: ended by SIGTERM", file=sys.stderr)
    raise SystemExit(128 + number)


if __name__ == "__main__":
    raise SystemExit(main())
