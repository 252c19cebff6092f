"""Few labels, three seeds: a finished run's backbone beside its random initialisation, fine-tuned on the same labels.

    python benchmarks/few_labels.py RUN IMAGES small-1 small-10

Prints a line a training and a table of mean ± std. The seed decides the labels, their order and crops, and the classifier's start.
"""

import sys
from dataclasses import replace
from pathlib import Path
from statistics import mean, stdev

import torch

from stopgrad.config.tuning import SEMI
from stopgrad.images.opened import open_images
from stopgrad.judging import baselines, parts
from stopgrad.nets.files import load
from stopgrad.progress import table
from stopgrad.protocols.judge import Subject, judge
from stopgrad.runs import RunDirectory

SEEDS = (0, 1, 2)


def main(run: str, images: str, names: list[str]) -> None:
    """Judge both, by every settings named."""
    directory, device = RunDirectory(Path(run)), torch.device("cpu")
    settled = directory.read_config()
    opened = parts(open_images(images, "auto"), settled.data, device, print)
    kinds = {"random": baselines(settled)["random"], "backbone": load(directory.backbone).backbone}
    rows = []
    for name in names:
        for kind, featuriser in kinds.items():
            subject = Subject(featuriser=featuriser, train=opened.train, test=opened.test, classes=opened.classes, prep=opened.prep, device=device)
            found = []
            for seed in SEEDS:
                judgement = judge(replace(SEMI[name], seed=seed), subject)
                found.append(100 * judgement.score.top1)
                print(f"{name} {kind} seed {seed}: {found[-1]:.2f}, {judgement.train_images} labels, {judgement.seconds:.0f} s", flush=True)
            rows.append([f"{name} {kind}", f"{mean(found):.2f} ± {stdev(found):.2f}"])
    print("\n".join(table(["few labels", "top-1"], rows)))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3:])
