"""``stopgrad pack``."""

import shlex
from argparse import ArgumentParser, Namespace
from pathlib import Path

from stopgrad.beforehand import packing, refuse_missing, refuse_taken
from stopgrad.commands.training import DONE
from stopgrad.commands.words import add_images, count
from stopgrad.images.bad import listed
from stopgrad.progress import Progress

SUMMARY = "decode and reduce images once, into files that every run maps into memory"
EXAMPLE = "stopgrad pack photos photos-256 --short-side 256"


def add(p: ArgumentParser) -> None:
    """Declare the words."""
    add_images(p)
    p.add_argument("out", metavar="OUT", type=Path, help="the folder to write; it must not be there")
    p.add_argument("--short-side", type=count, metavar="N", help="reduce images whose shorter side is longer (default: 256)")
    p.add_argument("--channels", type=count, metavar="C", help="channels of every image (default: those that most have; 3 for grey among colour)")
    p.add_argument("--as-files", action="store_true", help="keep every image's file as it is, undecoded, in one large file a part")
    p.add_argument("--set", dest="overrides", metavar="PATH=VALUE", action="append", default=[], help="data.max_bad or data.max_pixels")


def run(asked: Namespace) -> int:
    """``stopgrad pack``."""
    data = packing(asked.short_side, asked.channels, asked.as_files, asked.overrides)
    refuse_missing(asked.images)
    refuse_taken(asked.out)
    from stopgrad.images.kept import keep
    from stopgrad.images.pack import pack as write
    from stopgrad.images.residence import megabytes
    from stopgrad.images.sources import open_splits

    splits, progress = open_splits(asked.images, asked.labels), Progress()
    if asked.as_files:
        kept, bad = keep(splits, asked.out, data.max_bad, progress.count)
        parts, how = [(name, part.images, part.bytes) for name, part in kept.parts.items()], "files as they are"
    else:
        manifest, bad = write(splits, asked.out, data, asked.channels, progress.count)
        parts = [(name, part.images, part.bytes) for name, part in manifest.parts.items()]
        how = f"{manifest.channels} channel{'s' if manifest.channels > 1 else ''}, shorter side at most {manifest.short_side}"
    progress.close()
    if bad:
        print(f"set aside: {listed(bad)} (all in {asked.out / 'bad_images.jsonl'})")
    images = ", ".join(f"{count:,} to {name} on" for name, count, _ in parts)
    print(f"{asked.out}: images {images}; {how}, {megabytes(sum(size for *_, size in parts))}")
    print(f"next: stopgrad pretrain {shlex.quote(str(asked.out))}")
    return DONE
