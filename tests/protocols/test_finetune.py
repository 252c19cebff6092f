import copy
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from stopgrad.config.protocols import Lbfgs
from stopgrad.config.transfer import Metric
from stopgrad.config.tuning import Finetune, Semi
from stopgrad.errors import UserError
from stopgrad.images.pool import Pool
from stopgrad.nets.backbones import Backbone
from stopgrad.nets.classifier import load_classifier
from stopgrad.nets.norm import batch_norms
from stopgrad.protocols import finetune as module
from stopgrad.protocols.features import Labelled, Pixels, Preparation, features
from stopgrad.protocols.finetune import Keep, Task, finetune
from stopgrad.protocols.judge import Subject, judge
from stopgrad.protocols.tune import NotFinite
from stopgrad.runs import read_lines

CPU = torch.device("cpu")
SETTINGS = Finetune(name="toy", nesterov=True, lr=(0.3,), batch=16, epochs=(6,), scale=(0.8, 1.0))


@pytest.fixture
def subject(bright: tuple[Pool, Tensor], prep: Preparation, small: nn.Module) -> Subject:
    """Forty images to learn from and twenty to be asked about."""
    pool, labels = bright
    train, test = torch.arange(40), torch.arange(40, 60)
    return Subject(
        featuriser=Backbone(small, 8, 1),
        train=replace(Labelled.resident(pool.take(train), labels[train]), name=lambda i: f"{i}.png"),
        test=Labelled.resident(pool.take(test), labels[test]),
        classes=3,
        prep=prep,
        device=CPU,
    )


def task(subject: Subject, work: Path | None = None) -> Task:
    return Task(featuriser=subject.featuriser, images=subject.train, classes=3, prep=subject.prep, device=CPU, work=work, tell=lambda line: None)


class Halves(nn.Module):
    """Features that are a straight function of how bright the left and the right half are: every unit is above 0 on every image."""

    def __init__(self) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            self.hidden = nn.Linear(2, 32)
        with torch.no_grad():
            self.hidden.bias.fill_(3.0)

    def forward(self, x: Tensor) -> Tensor:
        return self.hidden(nn.functional.adaptive_avg_pool2d(x, (1, 2)).flatten(1)).relu()


def one_half_bright(count: int, seed: int) -> Labelled:
    """Class 1: one half of the image is bright; class 0: both are, or neither. No flip changes that, and no line tells them apart."""
    rng = np.random.default_rng(seed)
    halves = np.array([[0, 0], [1, 1], [0, 1], [1, 0]])[np.arange(count) % 4]
    images = 40 + 160 * halves.repeat(5, axis=1)[:, None, None, :] + rng.integers(0, 40, (count, 1, 10, 10))
    return Labelled.resident(Pool.from_arrays(list(images.astype(np.uint8))), torch.from_numpy(halves[:, 0] ^ halves[:, 1]))


def test_it_learns_what_no_line_on_frozen_features_can(prep: Preparation) -> None:
    train, test = one_half_bright(80, 0), one_half_bright(40, 1)
    subject = Subject(featuriser=Backbone(Halves(), 32, 1), train=train, test=test, classes=2, prep=prep, device=CPU)
    s = Finetune(name="toy", nesterov=True, lr=(0.2,), lr_rule="fixed", batch=40, epochs=(60,), scale=(0.9, 1.0), init="normal")
    assert judge(Lbfgs(), subject).score.top1 == 0.5
    assert judge(s, subject).score.top1 == 1.0


def test_the_backbone_that_is_judged_stays_as_it_was(subject: Subject) -> None:
    before = copy.deepcopy(subject.featuriser.state_dict())
    judge(SETTINGS, subject)
    for name, value in subject.featuriser.state_dict().items():
        assert torch.equal(value, before[name]), name


def test_a_record_says_all_and_is_json(subject: Subject) -> None:
    told: list[str] = []
    record = judge(SETTINGS, replace(subject, name="backbone"), told.append).record()
    assert json.loads(json.dumps(record)) == record
    assert (record["protocol"], record["variant"], record["train_images"], record["test_images"]) == ("finetune", "", 40, 20)
    chosen = {"lr": 0.3, "weight_decay": 0.0, "epochs": 6, "steps": 15, "batch": 16, "tuned_on": "nothing", "tried": [], "size": 8}
    assert chosen.items() <= record["settings"].items()
    assert record["notes"] == []
    assert told[-1].startswith("backbone: finetune (toy): step 15/15, loss ")
    assert judge(SETTINGS, subject).score == judge(SETTINGS, subject).score


def test_the_right_cell_is_chosen_on_held_out_images(subject: Subject) -> None:
    """One rate moves nothing, one learns, one is not finite; two decays, of which one takes all weights away."""
    s = replace(SETTINGS, lr=(1e-9, 1.0, 1e30), weight_decay=(0.0, 50.0), epochs=(12,))
    tuned = finetune(task(subject), s)
    assert (tuned.settings.lr, tuned.settings.weight_decay) == ((1.0,), (0.0,))
    assert tuned.held_out == 9  # a fifth of 14, 13 and 13
    accuracy = {cell[:2]: cell.value for cell in tuned.tried}
    assert accuracy[1e30, 0.0] is None
    assert accuracy[1.0, 0.0] == 1.0
    assert max(accuracy[key] or 0.0 for key in accuracy if key != (1.0, 0.0)) < 0.7
    alone = finetune(task(subject), replace(s, lr=(1.0,), weight_decay=(0.0,)))  # the best is trained anew on all images
    for name, value in alone.network.state_dict().items():
        assert torch.equal(value, tuned.network.state_dict()[name]), name
    settings = judge(s, subject).settings
    assert settings["tuned_on"] == "lr, weight decay on 9 of the labelled training images held out"
    assert (settings["lr"], len(settings["tried"])) == (1.0, 6)


def test_no_test_image_takes_part_in_the_choice(subject: Subject) -> None:
    s = replace(SETTINGS, lr=(0.01, 0.3))
    found = [
        judge(s, replace(subject, test=replace(subject.test, labels=labels))).settings for labels in (subject.test.labels, subject.test.labels * 0)
    ]
    assert found[0]["tried"] == found[1]["tried"]


def test_another_metric_chooses_in_a_place_of_its_own(subject: Subject, tmp_path: Path) -> None:
    s = replace(SETTINGS, lr=(0.01, 0.3), epochs=(1,))
    for metric in ("top1", "mean_per_class"):
        finetune(replace(task(subject, tmp_path), metric=metric), s)  # type: ignore[arg-type]
    lines = sorted(list(read_lines(place / "cells.jsonl")[0])[-1] for place in tmp_path.iterdir())
    assert lines == ["accuracy", "mean_per_class"]
    chosen = judge(s, replace(subject, metric="mean_per_class")).settings["tuned_on"]
    assert chosen == "lr by mean_per_class on 9 of the labelled training images held out"


def test_a_kill_repeats_only_the_cell_at_hand(subject: Subject, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    s, trained, done = replace(SETTINGS, lr=(0.01, 0.1, 0.3)), [], module._value

    def counted(task: Task, settings: Finetune, rows: Tensor, held: Tensor, metric: Metric, folder: Path | None) -> float | None:
        trained.append(settings.lr[0])
        if len(trained) == 3:
            raise KeyboardInterrupt
        return done(task, settings, rows, held, metric, folder)

    monkeypatch.setattr(module, "_value", counted)
    with pytest.raises(KeyboardInterrupt):
        finetune(task(subject, tmp_path), s)
    tuned = finetune(task(subject, tmp_path), s)
    assert trained == [0.01, 0.1, 0.3, 0.3]
    (place,) = tmp_path.iterdir()
    assert [r["lr"] for r in read_lines(place / "cells.jsonl")] == [0.01, 0.1, 0.3]
    assert all(r.keys() == {"lr", "weight_decay", "epochs", "accuracy"} for r in read_lines(place / "cells.jsonl"))
    assert sorted(p.name for p in place.iterdir()) == ["cells.jsonl", "final"]  # a cell's checkpoints go with it
    undisturbed = finetune(task(subject), s)
    assert undisturbed.tried == tuned.tried
    for name, value in undisturbed.network.state_dict().items():
        assert torch.equal(value, tuned.network.state_dict()[name]), name


def test_other_settings_and_weights_have_places_of_their_own(subject: Subject, tmp_path: Path) -> None:
    finetune(task(subject, tmp_path), SETTINGS)
    finetune(task(subject, tmp_path), replace(SETTINGS, seed=1))
    with torch.no_grad():
        subject.featuriser.net.bn.weight.mul_(2)
    finetune(task(subject, tmp_path), SETTINGS)
    assert len(list(tmp_path.iterdir())) == 3


@pytest.mark.parametrize(("batch", "momentum"), [(40, 0.1), (2, 0.1)])
def test_bn_follows_the_steps_an_epoch(batch: int, momentum: float, subject: Subject) -> None:
    s = replace(SETTINGS, batch=batch, epochs=(1,), bn_momentum="images")
    (bn,) = batch_norms(finetune(task(subject), s).network)
    assert bn.momentum == pytest.approx(momentum)


def test_bn_is_slower_where_there_are_many_steps() -> None:
    """max(1 − 10/s, 0.9) of the statistics are kept: 0.9 up to 100 steps, 0.95 at 200."""
    for steps, kept in ((50, 0.9), (100, 0.9), (200, 0.95), (1000, 0.99)):
        bn = nn.BatchNorm1d(2)
        module._set_bn_momentum(bn, steps)
        assert bn.momentum == pytest.approx(1 - kept)


def test_few_labels(subject: Subject, tmp_path: Path) -> None:
    keep = Keep(classifier=tmp_path / "c.safetensors", subset=tmp_path / "few.txt", net=None, classes=("a", "b", "c"), extra={})
    s = Semi(**vars(replace(SETTINGS, epochs=(20,))), share=0.2)
    judgement = judge(s, replace(subject, keep=keep))
    record = judgement.record()
    assert (record["protocol"], record["variant"], record["train_images"], record["classes"]) == ("semi", "20 %", 9, 3)
    assert record["notes"] == [
        "semi (toy): 9 labels are used, 22.50% of 40: at least one a class, and as many of each",
        "semi (toy): the batch is 9 instead of 16, and the rate lower with it: there are only 9 labelled images",
    ]
    names = (tmp_path / "few.txt").read_text().splitlines()
    assert len(names) == len(set(names)) == 9
    listed = judge(replace(s, listed=str(tmp_path / "few.txt")), subject)
    assert (listed.variant, listed.score, listed.settings["labelled_sha256"]) == ("listed", judgement.score, judgement.settings["labelled_sha256"])


def test_few_labels_are_all_that_is_looked_at(subject: Subject) -> None:
    s = Semi(**vars(SETTINGS), share=0.2)
    seen: set[int] = set()

    def watched(order: object) -> object:
        order = list(order)  # type: ignore[call-overload]
        seen.update(int(i) for rows in order for i in rows)
        return subject.train.fetch(order)

    judge(s, replace(subject, train=replace(subject.train, fetch=watched)))  # type: ignore[arg-type]
    assert len(seen) == 9


def test_what_is_kept_is_what_was_judged(subject: Subject, tmp_path: Path) -> None:
    keep = Keep(classifier=tmp_path / "c.safetensors", subset=tmp_path / "few.txt", net=None, classes=("a", "b", "c"), extra={"run": "toy"})
    judgement = judge(SETTINGS, replace(subject, keep=keep))
    found = load_classifier(keep.classifier, copy.deepcopy(subject.featuriser.net))
    assert (found.classes, found.size, found.extra) == (("a", "b", "c"), 8, {"run": "toy"})
    logits = features(found.network, subject.test, subject.prep, CPU)
    assert float((logits.argmax(1) == subject.test.labels).double().mean()) == judgement.score.top1
    assert not keep.subset.exists()


@pytest.mark.parametrize(
    ("change", "settings", "message"),
    [
        ({"featuriser": Pixels(1, 8)}, SETTINGS, r"finetune \(toy\): trains the weights of a network, and Pixels has none; leave it out"),
        ({"classes": 1}, SETTINGS, r"finetune \(toy\): needs at least 2 classes, these images have 1"),
        ({"labels": torch.ones(40, dtype=torch.int64)}, SETTINGS, r"finetune \(toy\): the 40 training images are of 1 class; give images of at"),
        (
            {"labels": torch.arange(40)},
            replace(SETTINGS, lr=(0.1, 0.2)),
            r"finetune \(toy\): chooses among 2 rates and decays, and a share of 0\.2 of 1 images a class is none to choose on; give more labels",
        ),
        ({}, replace(SETTINGS, lr=(0.0,)), "toy: lr: one above 0, or several, not 0"),
        ({}, replace(SETTINGS, lr=(1e30, 1e31)), r"finetune \(toy\): not one of 2 rates and decays stays finite; take lower rates"),
        ({}, replace(SETTINGS, layer_decay=0.5), "layer_decay: Small has no numbered layers"),
    ],
    ids=["pixels", "one class", "one there", "one image a class", "no rate", "all rates too high", "no layers"],
)
def test_what_cannot_be_tuned_is_refused(change: dict[str, object], settings: Finetune, message: str, subject: Subject) -> None:
    images = replace(subject.train, labels=change.get("labels", subject.train.labels))  # type: ignore[arg-type]
    others = {field: value for field, value in change.items() if field != "labels"}
    asked = replace(task(subject), images=images, **others)  # type: ignore[arg-type]
    with pytest.raises(UserError, match=message):
        finetune(asked, settings)


def test_a_class_without_images_and_missing_layers_are_said(subject: Subject) -> None:
    notes = judge(replace(SETTINGS, head=1), replace(subject, classes=4)).notes
    assert notes == (
        "finetune (toy): 1 of 4 classes have no labelled image, and are never named",
        "finetune (toy): trained from before the layers of the projector, the settings have 1",
    )


def test_an_edge_of_the_rates_is_said(subject: Subject) -> None:
    (note,) = judge(replace(SETTINGS, lr=(0.3, 1e-9)), subject).notes
    assert note == "finetune (toy): the best lr, 0.3, is at the edge of those tried; a better one may lie beyond"


def test_a_single_rate_that_is_not_finite_is_an_error(subject: Subject) -> None:
    with pytest.raises(NotFinite, match="is not finite at lr 1e"):
        judge(replace(SETTINGS, lr=(1e30,)), subject)
