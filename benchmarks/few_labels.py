"""Few labels, three seeds: a finished run's backbone beside its random initialisation, fine-tuned on the same labels.

    python benchmarks/few_labels.py RUN IMAGES small-1 small-10

Prints a line a training and a table of mean ± std. The seed decides the labels, their order and crops, and the classifier's start.
"""

import sys
from dataclasses import replace
from statistics import mean, stdev

from stopgrad import evaluate
from stopgrad.config.tuning import SEMI
from stopgrad.progress import table

SEEDS = (0, 1, 2)


def main(run: str, images: str, names: list[str]) -> None:
    """Judge both, by every settings named, and append the lines to the run's evaluations.jsonl."""
    rows = []
    for name in names:
        found: dict[str, list[float]] = {"random": [], "backbone": []}
        for seed in SEEDS:
            for record in evaluate(run, [replace(SEMI[name], seed=seed)], data=images, features=("random", "backbone")):
                found[record["features"]].append(100 * record["top1"])
                print(f"{name} {record['features']} seed {seed}: {100 * record['top1']:.2f}, {record['seconds']:.0f} s", flush=True)
        rows += [[f"{name} {kind}", f"{mean(points):.2f} ± {stdev(points):.2f}"] for kind, points in found.items()]
    print("\n".join(table(["few labels", "top-1"], rows)))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3:])
