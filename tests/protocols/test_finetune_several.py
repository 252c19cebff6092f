"""Fine-tuning on images that may show several classes each."""

import copy
import functools
import json
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from stopgrad.config.tuning import Finetune, Semi
from stopgrad.errors import UserError
from stopgrad.images.pool import Pool
from stopgrad.nets.backbones import Backbone
from stopgrad.nets.classifier import load_classifier
from stopgrad.protocols import finetune as module
from stopgrad.protocols.features import Batches, Labelled, Preparation, features
from stopgrad.protocols.finetune import Keep, Task, Tuned, finetune
from stopgrad.protocols.judge import Subject, judge
from stopgrad.protocols.lbfgs import hold_out
from stopgrad.protocols.metrics import measure
from stopgrad.protocols.semi import few
from stopgrad.runs import read_lines

CPU = torch.device("cpu")
SETTINGS = Finetune(name="toy", nesterov=True, lr=(0.3,), lr_rule="fixed", batch=16, epochs=(12,), scale=(0.8, 1.0))
GRID = replace(SETTINGS, lr=(10.0, 0.3, 1e30))  # of which one learns, one learns badly, and one is not finite


@pytest.fixture
def subject(bright: tuple[Pool, Tensor], prep: Preparation, small: nn.Module) -> Subject:
    """Dark, grey and bright images; the third class is of all that is not dark, and of some pairs it is not to be counted whether it is shown."""
    pool, labels = bright
    shown = torch.stack((labels == 0, labels == 1, labels > 0), dim=1).to(torch.int8) * 2 - 1
    shown[::7, 2] = 0

    def part(rows: Tensor) -> Labelled:
        return Labelled.resident(pool.take(rows), shown[rows])

    backbone = Backbone(small, 8, 1)
    return Subject(featuriser=backbone, train=part(torch.arange(40)), test=part(torch.arange(40, 60)), classes=3, prep=prep, device=CPU)


def task(subject: Subject, work: Path | None = None) -> Task:
    return Task(
        featuriser=subject.featuriser,
        images=subject.train,
        classes=3,
        prep=subject.prep,
        device=CPU,
        work=work,
        tell=lambda line: None,
        metric=subject.by("finetune"),
    )


def alike(one: Tuned, other: Tuned) -> bool:
    both = zip(one.network.state_dict().values(), other.network.state_dict().values(), strict=True)
    return one.tried == other.tried and one.loss == other.loss and all(torch.equal(a, b) for a, b in both)


def test_it_learns_every_class_and_keeps_what_it_is(subject: Subject, tmp_path: Path) -> None:
    keep = Keep(classifier=tmp_path / "c.safetensors", subset=tmp_path / "few.txt", net=None, classes=("dark", "grey", "not dark"), extra={})
    record = judge(replace(SETTINGS, epochs=(30,)), replace(subject, metric="map11", keep=keep)).record()
    assert json.loads(json.dumps(record)) == record
    assert (record["protocol"], record["metric"], record["top1"], record["top5"], record["notes"]) == ("finetune", "map11", None, None, [])
    assert record["value"] > 0.95
    assert record["interval"][0] <= record["value"] <= record["interval"][1]
    assert {"outputs": "sigmoid", "tuned_on": "nothing", "tried": [], "lr": 0.3}.items() <= record["settings"].items()
    found = load_classifier(keep.classifier, copy.deepcopy(subject.featuriser.net))
    assert (found.outputs, found.classes) == ("sigmoid", ("dark", "grey", "not dark"))
    logits = features(found.network, subject.test, subject.prep, CPU)
    assert measure(logits, subject.test.labels, 3, "map11") == record["value"]
    said = (torch.sigmoid(logits) > 0.5) == (subject.test.labels == 1)  # chances of each class by itself, and two of them at once
    assert float(said[subject.test.labels != 0].float().mean()) > 0.9
    assert int((torch.sigmoid(logits) > 0.5).sum(1).max()) == 2


def test_the_cell_is_chosen_by_mean_average_precision_of_what_is_held_out(subject: Subject, tmp_path: Path) -> None:
    told: list[str] = []
    subject = replace(subject, metric="map11")
    tuned = finetune(replace(task(subject, tmp_path), tell=told.append), GRID)
    assert (tuned.settings.lr, tuned.held_out, tuned.metric) == ((0.3,), 8, "map11")  # a fifth of all
    order, spared = hold_out(subject.train.labels, 0.2)
    images = subject.train.part(order[:spared])
    rest = replace(task(subject), images=subject.train.part(order[spared:].sort().values))
    expected = [
        measure(features(finetune(rest, replace(GRID, lr=(lr,))).network, images, subject.prep, CPU), images.labels, 3, "map11") for lr in GRID.lr[:2]
    ]
    assert [cell.value for cell in tuned.tried] == [*expected, None]
    assert expected[0] < expected[1]
    (place,) = tmp_path.iterdir()
    lines = read_lines(place / "cells.jsonl")
    assert lines == [{"lr": lr, "weight_decay": 0.0, "epochs": 12, "map11": value} for lr, value in zip(GRID.lr, [*expected, None], strict=True)]
    assert f"finetune (toy): 2/3: lr 0.3, weight decay 0, 12 epochs: map11 {expected[1]:.1%} on 8 held out" in told
    assert alike(replace(tuned, tried=()), finetune(task(subject), replace(GRID, lr=(0.3,))))  # the best is trained anew on all images
    settings = judge(GRID, subject).settings
    assert (settings["tuned_on"], settings["tried"]) == ("lr by map11 on 8 of the labelled training images held out", lines)


def test_the_metrics_have_cells_of_their_own(subject: Subject, tmp_path: Path) -> None:
    for metric in ("map11", "map"):
        finetune(task(replace(subject, metric=metric), tmp_path), replace(GRID, epochs=(1,)))  # type: ignore[arg-type]
    assert sorted(list(read_lines(place / "cells.jsonl")[0])[-1] for place in tmp_path.iterdir()) == ["map", "map11"]


def test_no_test_image_takes_part_in_the_choice(subject: Subject) -> None:
    found = [judge(GRID, replace(subject, test=replace(subject.test, labels=labels))) for labels in (subject.test.labels, -subject.test.labels)]
    assert found[0].settings["tried"] == found[1].settings["tried"]
    assert found[0].score.value != found[1].score.value


@pytest.mark.parametrize("batches", [4, 12, 22])
def test_a_kill_loses_nothing_and_changes_no_bit(batches: int, subject: Subject, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Killed in a cell, in the next one and in the final training, with a checkpoint a step."""
    s = replace(GRID, lr=(0.1, 0.3), epochs=(4,))  # 8 batches and one held out, as many again, and 10 at last
    monkeypatch.setattr(module, "train", functools.partial(module.train, checkpoint_seconds=0.0))
    undisturbed = finetune(task(subject), s)
    begun = 0

    def dying(order: Iterable[Tensor]) -> Batches:
        nonlocal begun
        for batch in subject.train.fetch(order):
            begun += 1
            if begun == batches:
                raise KeyboardInterrupt
            yield batch

    with pytest.raises(KeyboardInterrupt):
        finetune(replace(task(subject, tmp_path), images=replace(subject.train, fetch=dying)), s)
    before = begun
    assert alike(finetune(replace(task(subject, tmp_path), images=replace(subject.train, fetch=dying)), s), undisturbed)
    assert begun - before == 28 - (batches - 1)


def test_classes_that_are_not_shown_are_said(subject: Subject) -> None:
    labels = torch.cat((subject.train.labels, torch.full((40, 1), -1, dtype=torch.int8)), dim=1)
    tests = torch.cat((subject.test.labels, subject.test.labels[:, :1]), dim=1)
    asked = replace(subject, train=replace(subject.train, labels=labels), test=replace(subject.test, labels=tests), classes=4)
    judged = judge(SETTINGS, asked)
    (note,) = judged.notes
    assert note == "finetune (toy): 1 of 4 classes are shown by no training image: nothing is learned of them, and they count in the mean"
    assert len(judged.score.per_class) == 4
    assert judged.score.per_class[3] is not None


def test_few_labels_are_for_one_class_an_image(subject: Subject) -> None:
    s = Semi(**vars(SETTINGS), share=0.5)
    with pytest.raises(UserError, match=r"^semi: needs one class an image, and these may show several; take --protocol svm, lbfgs or finetune$"):
        judge(s, subject)
    with pytest.raises(
        UserError, match=r"^semi \(toy\): every image has one class, and these may have several each; judge them by lbfgs, svm or finetune$"
    ):
        few(s, subject.train, 3)


def test_what_cannot_be_is_refused(subject: Subject) -> None:
    for change, settings, message in (
        ({"metric": "top1"}, SETTINGS, "finetune: top1 is no metric of images that may show several classes each; take map11 or map"),
        ({}, replace(SETTINGS, smoothing=0.1), r"finetune \(toy\): smoothing: is for images of one class each"),
        ({"train": replace(subject.train, labels=-subject.train.labels.abs())}, SETTINGS, "show no class in some and not in others"),
    ):
        with pytest.raises(UserError, match=message):
            judge(settings, replace(subject, **change))  # type: ignore[arg-type]
