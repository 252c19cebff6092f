"""``stopgrad demo``: the whole way on the bundled images, with the commands a user would type."""

import time
from pathlib import Path

from stopgrad.accuracies import accuracies
from stopgrad.api import embed, evaluate, write_report
from stopgrad.commands.training import DONE, train
from stopgrad.config.protocols import Knn, Lbfgs
from stopgrad.device import has_gpu
from stopgrad.images.opened import open_images
from stopgrad.plan import plan
from stopgrad.progress import duration
from stopgrad.publish.export import export
from stopgrad.runs import RunDirectory, read_lines


def demo(out: Path) -> int:
    """Train, judge, embed, export and report into ``out``; what is already there is not done again. Returns the exit status."""
    began = time.monotonic()
    print(f"SimSiam on 10,000 bundled images of clothing (Fashion-MNIST, 28x28), labels unused. Run directory: {out}\n")
    print(f"$ stopgrad pretrain bundled --recipe demo --out {out}")
    splits = open_images("bundled", "auto")
    planned = plan(splits, "bundled", "demo", out, {}, has_gpu)
    if status := train(planned, splits, "auto", tensorboard=False):
        return status
    directory = RunDirectory(out)
    if len(read_lines(directory.evaluations)) < 6:  # two protocols of three kinds of features; fewer when it was killed here
        print(f"\n$ stopgrad evaluate {out}")
        evaluate(out, (Knn(), Lbfgs()))
    if not directory.embeddings.exists():
        print(f"$ stopgrad embed {out} bundled")
        embed(out, "bundled")
    weights = out / "weights.safetensors"
    if not weights.exists():
        print(f"$ stopgrad export {out} --to safetensors")
        export(directory.backbone, "safetensors", weights)
    print(f"$ stopgrad report {out}\n")
    page = write_report([out])
    print("\n".join(accuracies(read_lines(directory.evaluations))) + "\n")
    print(f"report      {page}  (open it in a browser)")
    print(f"backbone    {weights}")
    print(f"embeddings  {directory.embeddings}")
    print(f"\nAll in {duration(time.monotonic() - began)}. With your own images: stopgrad inspect PHOTOS, then stopgrad pretrain PHOTOS")
    return DONE
