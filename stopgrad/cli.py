"""The command line: how words are read, and how a command ends. The commands themselves are in commands/; parsing imports no torch."""

import argparse
import os
import re
import sys
from collections.abc import Sequence
from difflib import get_close_matches
from importlib import import_module
from keyword import iskeyword
from typing import NoReturn

from stopgrad import __version__
from stopgrad.errors import Diverged, Interrupted, Lost, UserError
from stopgrad.world import world

OVERVIEW = """\
Pretrain image backbones without labels by the Siamese methods, judge them, and hand them over.

  stopgrad demo                      the whole way on bundled images, a few minutes on two cores
  stopgrad inspect PHOTOS            what is there, what is broken, what would be chosen
  stopgrad pack PHOTOS PACK          decode once, into files that every run maps into memory
  stopgrad bench --data PHOTOS       where a step's time goes on this machine
  stopgrad pretrain PHOTOS --out RUN train on a folder; the same command again resumes
  stopgrad evaluate RUN              kNN and linear accuracy beside raw pixels and random initialisation
  stopgrad evaluate FILE --data D    the same for another project's checkpoint, or a torchvision or timm name
  stopgrad report RUN                one HTML page
  stopgrad table RUN RUN             results as Markdown, CSV or LaTeX
  stopgrad embed RUN PHOTOS          an embedding an image, as Parquet
  stopgrad export RUN --to timm      a backbone that plain torchvision or timm code loads
"""


class _Parser(argparse.ArgumentParser):
    """Answers a mistake in one line, with what was probably meant, and exit status 2."""

    def error(self, message: str) -> NoReturn:
        known = [option for action in self._actions for option in action.option_strings]
        known += [str(choice) for action in self._actions for choice in action.choices or ()]
        doubtful = re.findall(r"'([^']+)'", message)[:1] or re.findall(r"(--[\w-]+)", message)[:1]
        close = get_close_matches(doubtful[0], known, n=1) if doubtful else []
        hint = f"; did you mean {close[0]}?" if close and close[0] not in doubtful and "--set" not in message else ""
        print(f"{self.prog}: {message}{hint} (see {self.prog} --help)", file=sys.stderr)
        raise SystemExit(2)


class _Verb(_Parser):
    """A command: knows its own options, so that a wrong one is answered here and not by the parser above."""

    def parse_known_args(self, args=None, namespace=None):  # type: ignore[no-untyped-def]
        found, rest = super().parse_known_args(args, namespace)
        if rest:
            path = rest[0].removeprefix("--")
            hint = f"; a setting is given by --set {path}{'' if '=' in path else '=VALUE'}" if "." in path and rest[0] != path else ""
            self.error(f"unrecognized arguments: {' '.join(rest)}{hint}")
        return found, rest


COMMANDS = (
    *("demo", "inspect", "pack", "bench", "pretrain", "evaluate", "scores", "distill", "compare", "study"),
    *("report", "table", "embed", "export", "import", "recipes", "methods", "show"),
)
"""In the order of the help, each a file of commands/."""


def parser(only: str | None = None) -> argparse.ArgumentParser:
    """Return the parser of the whole command line; where ``only`` one command is asked for the others are known by name alone, to be quick."""
    top = _Parser(prog="stopgrad", description=OVERVIEW, formatter_class=argparse.RawDescriptionHelpFormatter)
    top.add_argument("--version", action="version", version=f"stopgrad {__version__}")
    verbs = top.add_subparsers(title="commands", metavar="COMMAND", required=True, parser_class=_Verb)
    form = argparse.RawDescriptionHelpFormatter
    for name in COMMANDS:
        if only not in (None, name):
            verbs.add_parser(name)
            continue
        command = import_module(f"stopgrad.commands.{name}{'_' if iskeyword(name) else ''}")
        said, example = command.SUMMARY, f"example:\n  {command.EXAMPLE}"
        p = verbs.add_parser(name, help=said, description=said, epilog=example, formatter_class=form, allow_abbrev=False)
        command.add(p)
        p.set_defaults(command=name, run=command.run)
    return top


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit status.

    0 done; 2 a mistake in what was asked; 3 collapsed; 4 diverged; 75 interrupted, the same command goes on; 141 nobody reads the output.
    """
    words = sys.argv[1:] if arguments is None else list(arguments)
    asked = parser(words[0] if words and words[0] in COMMANDS else None).parse_args(words)
    if asked.command not in ("pretrain", "evaluate") and world().size > 1:
        print(f"stopgrad {asked.command}: works in one process; start it without torchrun", file=sys.stderr)
        return 2
    try:
        status: int = asked.run(asked)
        return status
    except (UserError, Lost) as error:
        here = world()
        print(f"stopgrad: {f'process {here.rank}: ' if here.size > 1 else ''}{error}", file=sys.stderr, flush=True)
        status = 2 if isinstance(error, UserError) else 1
        if here.size > 1:
            os._exit(status)  # at once: an orderly end would wait for the other processes, which wait for this one
        return status
    except (Interrupted, Diverged) as ended:
        if world().first:  # all end alike
            print(f"stopgrad: {ended}", file=sys.stderr, flush=True)
        return 75 if isinstance(ended, Interrupted) else 4
    except BrokenPipeError:  # who read the output has left, as head does: nothing more is said, and nothing when Python closes it
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
