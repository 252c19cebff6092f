"""``stopgrad embed``."""

from argparse import ArgumentParser, Namespace
from pathlib import Path

from stopgrad.beforehand import refuse_missing, refuse_place, refuse_untrained
from stopgrad.commands.training import DONE
from stopgrad.commands.words import add_device, add_images, add_run
from stopgrad.onward import next_lines

SUMMARY = "write path, label and embedding of every image to a Parquet file"
EXAMPLE = "stopgrad embed runs/photos photos --out photos.parquet"


def add(p: ArgumentParser) -> None:
    """Declare the words."""
    add_run(p)
    add_images(p)
    p.add_argument("--out", type=Path, help="the file (default: embeddings.parquet in the run)")
    add_device(p)


def run(asked: Namespace) -> int:
    """``stopgrad embed``."""
    refuse_untrained(asked.run_directory)
    refuse_missing(asked.images)
    refuse_place(asked.out, ".parquet")
    from stopgrad.api import embed as write

    written, count = write(asked.run_directory, asked.images, asked.out, labels=asked.labels, device=asked.device, tell=print)
    print(f"{count} embeddings written to {written}")
    if written.resolve() != (shown := asked.run_directory / "embeddings.parquet").resolve():
        print(f"the report shows {shown} only: without --out they go there")
    print("\n".join(next_lines(asked.run_directory)))
    return DONE
