"""``stopgrad scores``."""

from argparse import ArgumentParser, Namespace

from stopgrad.beforehand import refuse_untrained
from stopgrad.commands.training import DONE
from stopgrad.commands.words import add_device, add_run
from stopgrad.progress import table

SUMMARY = "scores of a run's features that need no labels: RankMe, alpha-ReQ, LiDAR, alignment, uniformity"
EXAMPLE = "stopgrad scores runs/photos"


def add(p: ArgumentParser) -> None:
    """Declare the words."""
    add_run(p)
    add_device(p)


def run(asked: Namespace) -> int:
    """``stopgrad scores``."""
    refuse_untrained(asked.run_directory)
    from stopgrad.label_free import score

    record = score(asked.run_directory, asked.device)
    print("\n".join(table(["score", "value"], [[name, f"{value:.4g}"] for name, value in record["scores"].items()])))
    n, q = record["seen_through_views"]
    print(f"of the features of {record['images']:,} training images; LiDAR and alignment of {n:,} of them through {q} views each")
    print(f"written to {asked.run_directory / 'scores.json'}")
    return DONE
