"""What studies are judged on is opened first: data sets are told apart by their images, and runs of other images are refused."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from stopgrad.config.transfer import data_set
from stopgrad.errors import UserError
from stopgrad.images.opened import open_images
from stopgrad.judging import images_digest
from stopgrad.studies.catalogue import choose
from stopgrad.studies.opened import opened, refuse_other_images
from stopgrad.studies.resolve import Asked, Planned, planned


def folder(path: Path, seed: int) -> Path:
    pixels = np.random.default_rng(seed).integers(0, 256, (40, 12, 12, 3), np.uint8)
    for i, image in enumerate(pixels):
        (path / "ab"[i % 2]).mkdir(exist_ok=True, parents=True)
        Image.fromarray(image).save(path / "ab"[i % 2] / f"{i}.png")
    return path


def tables(study: str, images: Path, out: Path, *onto: str) -> dict[str, dict[str, Planned]]:
    splits = open_images(str(images), "auto")
    sets = [data_set(text) for text in onto]
    asked = Asked(scale="small", images=str(images), recipe="demo", options={"batch": "16"}, pairs=[], device="cpu", seeds=2, out=out, onto=sets)
    return {name: planned(each, rows, asked, splits, lambda: False) for name, (each, rows) in choose([study], "small", None).items()}


def test_data_sets_of_one_name_are_told_apart_by_their_images(tmp_path: Path) -> None:
    own, first, second = (folder(tmp_path / name, seed) for seed, name in enumerate(("own", "first", "second")))
    splits = open_images(str(own), "auto")
    found = [opened(tables("transfer", own, tmp_path, f"pets={there}"), splits)["transfer"]["simclr"].jobs for there in (first, second)]
    digests = [job.judged[0].images for jobs in found for job in jobs]
    assert digests[0] == digests[1] == images_digest(open_images(str(first), "auto"))
    assert digests[2] == digests[3] == images_digest(open_images(str(second), "auto"))
    places = [job.judged[0].place for jobs in found for job in jobs]
    assert places == [str(first)] * 2 + [str(second)] * 2, "images of the same names and sizes have the same digest"
    (figure,) = found[0][0].judged[0].figures
    assert (figure.name, figure.metric) == ("pets", "mean_per_class")
    (plain,) = opened(tables("transfer", own, tmp_path, f"mine={first}"), splits)["transfer"]["simclr"].jobs[0].judged
    assert plain.figures[0].metric == "top1", "the metric that it has is known"


def test_own_images_are_told_and_seeds_keep_what_they_draw(tmp_path: Path) -> None:
    own = folder(tmp_path / "own", 0)
    splits = open_images(str(own), "auto")
    jobs = opened(tables("semi-supervised", own, tmp_path), splits)["semi-supervised"]["simclr"].jobs
    assert {judging.images for job in jobs for judging in job.judged} == {images_digest(splits)}
    assert [judging.seed for job in jobs for judging in job.judged] == [0, 0, 1, 1]
    assert [judging.settings for judging in jobs[0].judged] == ["small-1", "small-10"]


def test_runs_of_other_images_are_refused(tmp_path: Path) -> None:
    own = folder(tmp_path / "own", 0)
    splits = open_images(str(own), "auto")
    (job, _) = tables("similarity", own, tmp_path)["similarity"]["cosine"].jobs
    refuse_other_images([job], splits)  # of nothing that is there
    job.out.mkdir(parents=True)
    (job.out / "environment.json").write_text(json.dumps({"images_sha256": splits.train.fingerprint()}))
    refuse_other_images([job], splits)
    Image.fromarray(np.zeros((12, 12, 3), np.uint8)).save(own / "a" / "another.png")
    with pytest.raises(UserError, match=rf"{job.out}: was trained on other images than {own} holds now; choose another --out, or remove it"):
        refuse_other_images([replace(job)], open_images(str(own), "auto"))
