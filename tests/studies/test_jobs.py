"""The runs of studies: shared by a digest of what was asked for, and what is left to do of each."""

import json
import shlex
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from stopgrad.beforehand import overrides_of
from stopgrad.cli import parser
from stopgrad.errors import UserError
from stopgrad.images.opened import open_images
from stopgrad.images.source import Splits
from stopgrad.images.sources import open_splits
from stopgrad.plan import recipe_name
from stopgrad.studies.catalogue import STUDIES, choose
from stopgrad.studies.jobs import Job, place, shared
from stopgrad.studies.judging import frozen
from stopgrad.studies.measured import measured
from stopgrad.studies.resolve import Asked, Planned, beforehand, planned
from stopgrad.studies.table import _alike

FROZEN = frozen("lbfgs", "knn")


def asked(out: Path, seeds: int = 1, **changes: object) -> Asked:
    words: dict[str, object] = {"scale": "small", "images": "bundled", "recipe": None, "options": {}, "pairs": [], "device": "auto"}
    return Asked(**(words | {"seeds": seeds, "out": out} | changes))  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def bundled() -> Splits:
    return open_splits("bundled", "auto")


def tables(names: list[str], wanted: Asked, splits: Splits) -> Mapping[str, Mapping[str, Planned]]:
    return {name: planned(study, rows, wanted, splits, lambda: False) for name, (study, rows) in choose(names, "small", None).items()}


def jobs_of(found: Mapping[str, Mapping[str, Planned]]) -> list[Job]:
    return [job for rows in found.values() for row in rows.values() for job in row.jobs]


def test_what_two_studies_ask_for_is_one_run(bundled: Splits, tmp_path: Path) -> None:
    found = tables(["predictor", "stop-gradient", "similarity"], asked(tmp_path, seeds=2), bundled)
    assert found["predictor"]["baseline"].jobs[1].out == found["stop-gradient"]["with"].jobs[1].out
    assert found["predictor"]["rate not decayed"].jobs[0].out == found["similarity"]["cosine"].jobs[0].out
    assert found["predictor"]["baseline"].jobs[0].out != found["predictor"]["baseline"].jobs[1].out
    every = shared(jobs_of(found))
    assert (len(jobs_of(found)), len(every)) == (16, 12)
    merged = {job.out: job for job in every}
    assert not found["predictor"]["rate not decayed"].jobs[0].random
    assert merged[found["similarity"]["cosine"].jobs[0].out].random, "judged by all that any study asks for"


def test_a_digest_is_of_everything_but_the_seed(bundled: Splits, tmp_path: Path) -> None:
    def out(**changes: object) -> Path:
        return tables(["stop-gradient"], asked(tmp_path, **changes), bundled)["stop-gradient"]["with"].jobs[0].out  # type: ignore[arg-type]

    places = [out(), out(options={"epochs": "3"}), out(pairs=["net.width=8"]), out(device="cpu"), out(options={"backbone": "resnet18"})]
    assert len(set(places)) == len(places)
    assert out(options={"epochs": "10"}) == out(), "the scale's own value, typed"
    assert place(tmp_path, "simsiam", {"a": 1}, 3).name.endswith("-3")


def test_what_a_run_types_asks_for_what_it_holds(bundled: Splits, tmp_path: Path) -> None:
    for row in tables(["batch-norm", "em-hypothesis"], asked(tmp_path), bundled).values():
        for one in row.values():
            (job,) = one.jobs
            typed = parser().parse_args(job.pretrain)
            assert overrides_of(vars(typed), typed.overrides) == {"data.labels": "auto", **job.overrides}
            assert recipe_name(typed.recipe, typed.method) == one.run.recipe
            assert typed.on_collapse == "warn"


def finished(job: Job, verdict: str = "healthy", state: str = "finished", **judged: float) -> None:
    job.out.mkdir(parents=True)
    (job.out / "status.json").write_text(json.dumps({"state": state, "verdict": {"state": verdict}}))
    (job.out / "metrics.jsonl").write_text(json.dumps({"step": 1, "std": 0.9, "rank": 12.0}) + "\n")
    told = {"interval": [0, 1], "test_images": 20, "images_sha256": ""}
    asked = {protocol: FROZEN[0].asked(protocol) for protocol in FROZEN[0].protocols}
    lines = [{"features": f, "protocol": p, "asked": a, "top1": v} | told for f, v in judged.items() for p, a in asked.items()]
    (job.out / "evaluations.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))


def test_what_is_left_of_a_run(bundled: Splits, tmp_path: Path) -> None:
    rows = tables(["head"], asked(tmp_path, seeds=4), bundled)["head"]
    before, after = rows["non-linear"].jobs, rows["non-linear, after it"].jobs
    assert before[0].out == after[0].out
    job = shared([before[0], after[0]])[0]
    assert [words[0] for words in job.commands()] == ["pretrain", "evaluate", "evaluate"]
    assert job.commands()[1][-2:] == ("random", "backbone")
    assert job.commands()[2][-2:] == ("--head", "2")
    finished(job, backbone=0.8, random=0.5)
    assert job.commands() == [job.evaluate(*FROZEN, ("backbone",), 2)]
    assert measured([job], head=2) == []
    assert measured([job])[0].figures == {"lbfgs": 0.8, "knn": 0.8}
    assert measured([job])[0].label_free == {"std": 0.9, "rank": 12.0}
    finished(before[1], verdict="diverged", state="failed")
    assert before[1].commands() == []
    assert (measured([before[1]])[0].state, measured([before[1]])[0].figures) == ("diverged", {})
    finished(before[2], state="interrupted")
    assert [words[0] for words in before[2].commands()] == ["pretrain", "evaluate"]
    finished(before[3], verdict="collapsed", random=0.5)
    assert before[3].commands() == [before[3].evaluate(*FROZEN, ("backbone",))]


def test_images_of_ones_own_take_the_recipe_that_is_fitted_to_them(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    folder = tmp_path / "photos"
    for name in ("a", "b"):
        (folder / name).mkdir(parents=True)
        for i in range(12):
            Image.fromarray(rng.integers(0, 255, (16, 16, 3)).astype(np.uint8)).save(folder / name / f"{i}.png")
    wanted = asked(tmp_path / "out", images=str(folder), pairs=["train.batch=4"])
    rows = tables(["similarity", "crossings"], wanted, open_images(str(folder), "auto"))
    assert rows["similarity"]["cosine"].run.recipe == "images"
    assert rows["crossings"]["swav"].run.recipe == "swav/images"
    assert rows["similarity"]["cross-entropy"].run.train.epochs == 10


def test_mistakes_are_told_before_images_are_opened(tmp_path: Path) -> None:
    chosen = choose(["predictor"], "small", None)
    with pytest.raises(UserError, match=r"--set method.predictor fixed: is what the row 'none' of predictor changes \(to none\)"):
        beforehand(chosen, asked(tmp_path, pairs=["method.predictor=fixed"]))
    composition = choose(["composition"], "small", None)
    for typed in ("views.scale=0.5,1", "views.1.scale=0.5,1"):
        with pytest.raises(UserError, match=r"--set views\.(1\.)?scale 0\.5,1: is what composition is about .*; leave it to the study"):
            beforehand(composition, asked(tmp_path, pairs=[typed]))
    with pytest.raises(UserError, match=r"--recipe demo\+swav: rows bring their methods with them; name a recipe alone: demo"):
        beforehand(composition, asked(tmp_path, recipe="demo+swav"))
    for typed in ("train.seed=3", "train.on_collapse=stop"):
        with pytest.raises(UserError, match=rf"--set {typed.replace('=', ' ')}: is (what tells|warn in every row).*; leave it to the study"):
            beforehand(choose(["predictor"], "small", None), asked(tmp_path, pairs=[typed]))
    beforehand(choose(["swav-crops", "comparison"], "small", None), asked(tmp_path, pairs=["views.size=16"]))
    with pytest.raises(UserError, match=r"--set views\.crops 2x16: is what swav-crops is about; leave it to the study"):
        beforehand(choose(["swav-crops"], "small", None), asked(tmp_path, pairs=["views.crops=2x16"]))
    with pytest.raises(UserError, match="did you mean 'width'"):
        beforehand(chosen, asked(tmp_path, pairs=["net.widht=3"]))
    with pytest.raises(UserError, match=r"--epochs 3 and --set train\.epochs=4 contradict"):
        beforehand(chosen, asked(tmp_path, pairs=["train.epochs=4"], options={"epochs": "3"}))
    with pytest.raises(UserError, match=r"no study 'batchsize'; did you mean 'batch-size'\?"):
        choose(["batchsize"], "small", None)
    with pytest.raises(UserError, match="rows are of one study, and 2 are named"):
        choose(["predictor", "similarity"], "small", ["none"])
    with pytest.raises(UserError, match="comparison has no row 'simsiam, 8x' at scale small"):
        choose(["comparison"], "small", ["simsiam, 8x"])
    assert "cifar10-curve" in STUDIES


def test_a_batch_larger_than_the_images_names_its_row(tmp_path: Path, bundled: Splits) -> None:
    with pytest.raises(UserError, match="batch-size, row '8x': a step takes 16000 images and bundled has 10000"):
        tables(["batch-size"], asked(tmp_path, options={"batch": "2000"}), bundled)


def test_the_command_of_a_table_asks_for_the_same_again(tmp_path: Path) -> None:
    wanted = asked(tmp_path, seeds=3, options={"epochs": "4"}, pairs=["net.width=8"], rows=("none", "fixed at random"), device="cpu")
    typed = parser().parse_args(shlex.split(wanted.command("predictor"))[1:])
    assert (typed.studies, typed.scale, typed.data, typed.epochs, typed.overrides) == (["predictor"], "small", None, "4", ["net.width=8"])
    assert (typed.rows, typed.device, typed.seeds, typed.out) == (["none", "fixed at random"], "cpu", 3, tmp_path)


def test_few_labels_are_drawn_anew_for_every_seed(bundled: Splits, tmp_path: Path) -> None:
    first, second = tables(["semi-supervised"], asked(tmp_path, seeds=2), bundled)["semi-supervised"]["simclr"].jobs
    assert first.commands()[1:] == [
        ("evaluate", str(first.out), "--protocol", "semi", "--settings", f"small-{share}", "--set", "seed=0", "--features", "random", "backbone")
        for share in (1, 10)
    ]
    assert second.commands()[2][-5:-3] == ("--set", "seed=1")
    comparison = tables(["comparison"], asked(tmp_path), bundled)["comparison"]["simclr"].jobs[0]
    assert comparison.out == first.out, "the same run, judged by more"
    (both,) = shared([comparison, first])
    assert [words[3] for words in both.commands()[1:]] == ["lbfgs", "semi", "semi"]


def test_rows_that_are_judged_by_other_tasks_have_no_difference(bundled: Splits, tmp_path: Path) -> None:
    def rows(study: str) -> Mapping[str, Planned]:
        return tables([study], asked(tmp_path, scale="paper", images="X", options={"batch": "64"}), bundled)[study]

    operations = rows("operations")
    told = {name: _alike(row, operations["rotation, before the head"]) for name, row in operations.items()}
    assert told == {name: name.startswith("rotation") for name in told}
    crossings = rows("crossings")
    assert {name for name, row in crossings.items() if not _alike(row, crossings["simclr"])} == {"byol", "byol, no momentum encoder"}
    few = rows("semi-supervised")
    assert all(_alike(row, few["simclr"]) for row in few.values()), "each method is tuned by its own paper's settings"
