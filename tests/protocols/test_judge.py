import json
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from stopgrad.config.protocols import LINEAR, Knn, Lbfgs, Linear
from stopgrad.config.transfer import Svm
from stopgrad.config.tuning import SEMI
from stopgrad.errors import UserError
from stopgrad.images.pool import Pool
from stopgrad.nets.backbones import wrap
from stopgrad.protocols.features import Labelled, Pixels, Preparation, features
from stopgrad.protocols.judge import Settings, Subject, judge
from stopgrad.protocols.knn import knn

CPU = torch.device("cpu")
KNN, LBFGS, LINEAR_SMALL = Knn(k=10), Lbfgs(), replace(LINEAR["moco"], lr=1.0, epochs=3)
PROTOCOLS = pytest.mark.parametrize("settings", [KNN, LBFGS, LINEAR_SMALL], ids=lambda s: s.protocol)


@pytest.fixture
def subject(bright: tuple[Pool, Tensor], prep: Preparation) -> Subject:
    """Forty images to learn from and twenty to be asked about."""
    pool, labels = bright
    train, test = torch.arange(40), torch.arange(40, 60)
    return Subject(
        featuriser=Pixels(1, 8, side=2),
        train=Labelled.resident(pool.take(train), labels[train]),
        test=Labelled.resident(pool.take(test), labels[test]),
        classes=3,
        prep=prep,
        device=CPU,
    )


@PROTOCOLS
def test_a_record_says_all_and_is_json(settings: Settings, subject: Subject) -> None:
    judgement = judge(settings, subject)
    record = judgement.record()
    assert json.loads(json.dumps(record)) == record
    assert record["protocol"] == settings.protocol
    assert record["top1"] == judgement.score.top1 == pytest.approx({"knn": 0.85, "lbfgs": 1.0, "linear": 0.65}[settings.protocol])
    assert record["top5"] is None
    assert record["interval"] == list(judgement.score.interval())
    assert record["per_class"] == list(judgement.score.per_class)
    assert (record["train_images"], record["test_images"], record["classes"]) == (40, 20, 3)
    assert {"size": 8, "share": 1.0, "mean": [0.5], "std": [0.25]}.items() <= record["settings"].items()
    assert record["seconds"] > 0


@PROTOCOLS
def test_the_same_subject_gives_the_same_score(settings: Settings, subject: Subject, small: nn.Module) -> None:
    scores = [judge(settings, replace(subject, featuriser=small)).score for _ in range(2)]
    assert scores[0] == scores[1]


def test_settings_of_each_protocol(subject: Subject) -> None:
    assert {"k": 10, "temperature": 0.1}.items() <= judge(KNN, subject).settings.items()
    chosen = judge(LBFGS, subject).settings
    assert chosen["l2"] in LBFGS.l2
    assert chosen["held_out_images"] == 9  # a fifth of 14, 13 and 13
    assert f"{chosen['l2']:g}" in chosen["held_out_accuracy"]
    linear = judge(LINEAR_SMALL, subject).settings
    assert {"name": "moco", "optimiser": "sgd", "lr": 1.0, "epochs": 3, "momentum": 0.9, "scale": [0.08, 1.0], "seed": 0}.items() <= linear.items()


def test_knn_is_that_of_the_prepared_images(subject: Subject, small: nn.Module) -> None:
    subject = replace(subject, featuriser=small)
    bank, queries = (features(small, part, subject.prep, CPU) for part in (subject.train, subject.test))
    assert judge(KNN, subject).score == knn(bank, subject.train.labels, queries, subject.test.labels, 3, KNN)


def test_features_are_made_once(subject: Subject) -> None:
    class Counting(Pixels):
        calls = 0

        def forward(self, images: Tensor) -> Tensor:
            Counting.calls += 1
            return super().forward(images)

    subject = replace(subject, featuriser=Counting(1, 8, side=2))
    judge(KNN, subject)
    judge(LBFGS, subject)
    assert Counting.calls == 2  # training and test images, in one part each


def test_a_batch_beyond_the_images_is_lowered_and_said(subject: Subject) -> None:
    told: list[str] = []
    settings: Linear = replace(LINEAR_SMALL, batch=4096)
    judgement = judge(settings, subject, told.append)
    assert judgement.settings["batch"] == 40
    assert judgement.settings["steps"] == 3
    assert judgement.notes == ("linear (moco): the batch is 40 instead of 4096, and the rate lower with it: there are only 40 training images",)
    assert told[-1] == judgement.notes[0]
    assert told[0].startswith("linear (moco): epoch 1/3")


def test_a_rate_that_does_not_suit_the_features_is_said(subject: Subject) -> None:
    hard = replace(subject, train=replace(subject.train, labels=subject.train.labels.roll(1) * (torch.arange(40) % 2)))
    batch, note = judge(replace(LINEAR_SMALL, lr=3000.0), hard).notes
    assert "the batch is 40" in batch
    assert note.startswith("linear (moco): the training loss ended at ")
    assert ", a guess has 1.099: lr 3000 is too high for features of this size (mean length " in note
    assert judge(LINEAR_SMALL, subject).notes == (batch,)


@pytest.mark.parametrize(
    ("lr", "advice"), [(0.1, "take --settings moco (lr 30) or --protocol lbfgs"), (30.0, "take --protocol lbfgs")], ids=["low", "high"]
)
def test_a_rate_that_moves_nothing_is_said_to_be_too_low(lr: float, advice: str, subject: Subject) -> None:
    class Tiny(Pixels):
        def forward(self, images: Tensor) -> Tensor:
            return 1e-6 * super().forward(images)

    notes = judge(replace(LINEAR_SMALL, lr=lr, batch=40), replace(subject, featuriser=Tiny(1, 8, side=2))).notes
    (note,) = notes
    assert note.startswith("linear (moco): the training loss ended at 1.0")
    assert f", a guess has 1.099: nothing was learned; lr {lr:g} is too low for features of this size (mean length " in note
    assert note.endswith(advice)


def test_lines_say_whose_features_they_are_of(subject: Subject) -> None:
    told: list[str] = []
    judge(replace(LINEAR_SMALL, batch=4096), replace(subject, name="pixels"), told.append)
    assert all(line.startswith("pixels: linear (moco): ") for line in told)
    assert len(told) == 4  # three epochs and the batch
    assert told[0].endswith(" left")
    assert not told[2].endswith(" left")


def test_what_is_known_before_a_training_is_told_before_it_and_once(subject: Subject) -> None:
    told: list[str] = []
    settings = replace(SEMI["small-1"], share=0.5, batch=4096, steps=2)
    net = wrap(nn.Sequential(nn.Conv2d(1, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten()), 1, 8)
    found = judge(settings, replace(subject, featuriser=net, notes=("of the images",)), told.append)
    known = [line for line in found.notes if "the batch is" in line or "labels are used" in line]
    assert known
    assert told[: len(known)] == known
    assert len(told) == len(set(told))
    assert found.notes[0] == told[-1] == "of the images"


def test_an_edge_of_the_sweep_is_said(subject: Subject) -> None:
    judgement = judge(replace(LBFGS, l2=(100.0, 10.0)), subject)
    assert judgement.notes == ("lbfgs: the best l2, 10, is at the edge of those tried; a better one may lie beyond",)


@PROTOCOLS
@pytest.mark.parametrize("part", ["train", "test"])
def test_no_images_are_refused(settings: Settings, part: str, subject: Subject) -> None:
    none = Labelled(lambda order: [], torch.empty(0, dtype=torch.int64))
    with pytest.raises(UserError, match=f"{settings.protocol}: there are no labelled {'training' if part == 'train' else 'test'} images"):
        judge(settings, replace(subject, **{part: none}))


def test_labels_beyond_the_classes_are_refused(subject: Subject) -> None:
    with pytest.raises(UserError, match="knn: the training labels go from 0 to 2, but there are 2 classes, from 0"):
        judge(KNN, replace(subject, classes=2))


def test_the_metric_of_the_data_set_is_the_value(subject: Subject) -> None:
    plain = judge(KNN, subject).record()
    assert (plain["metric"], plain["value"]) == ("top1", plain["top1"])
    for settings in (KNN, LBFGS, LINEAR_SMALL, Svm(costs=(1.0,))):
        record = judge(settings, replace(subject, metric="mean_per_class")).record()
        assert record["metric"] == "mean_per_class"
        assert record["value"] == pytest.approx(sum(record["per_class"]) / 3)
        low, high = record["interval"]
        assert low <= record["value"] <= high
    with pytest.raises(UserError, match="knn: map11 is no metric of images that have one class each"):
        judge(KNN, replace(subject, metric="map11"))


@pytest.fixture
def several(subject: Subject) -> Subject:
    """The same images; the bright ones are also light, the dark ones also dull, and one pair is not to be counted."""

    def shown(images: Labelled) -> Labelled:
        classes = torch.nn.functional.one_hot(images.labels, 3)
        table = torch.cat((classes, classes[:, :1] | classes[:, 1:2]), dim=1).to(torch.int8) * 2 - 1
        table[0, 0] = 0
        return replace(images, labels=table)

    return replace(subject, train=shown(subject.train), test=shown(subject.test), classes=4)


@pytest.mark.parametrize("settings", [LBFGS, Svm(costs=(1.0, 10.0))], ids=lambda s: s.protocol)
def test_images_that_show_several_classes_are_judged_by_precision(settings: Settings, several: Subject) -> None:
    record = judge(settings, several).record()
    assert json.loads(json.dumps(record)) == record
    assert (record["metric"], record["top1"], record["top5"], len(record["per_class"])) == ("map", None, None, 4)
    assert record["value"] == pytest.approx(sum(record["per_class"]) / 4)
    assert record["value"] > 0.8
    assert judge(settings, replace(several, metric="map11")).record()["metric"] == "map11"


@pytest.mark.parametrize("settings", [KNN, LINEAR_SMALL, SEMI["small-1"]], ids=lambda s: s.protocol)
def test_one_class_an_image_is_insisted_on(settings: Settings, several: Subject) -> None:
    with pytest.raises(UserError, match=f"{settings.protocol}: needs one class an image, .* take --protocol svm, lbfgs or finetune"):
        judge(settings, several)


def test_parts_and_classes_of_other_kinds_are_refused(several: Subject, subject: Subject) -> None:
    with pytest.raises(UserError, match="svm: images of one part have one class each and those of the other may show several"):
        judge(Svm(), replace(several, test=subject.test))
    with pytest.raises(UserError, match="svm: the training images are labelled for 4 classes, but there are 5"):
        judge(Svm(), replace(several, classes=5))
    nothing = replace(several.test, labels=-several.test.labels.abs())
    with pytest.raises(UserError, match="svm: no test image shows a class that counts, and nothing can be measured on them; give others"):
        judge(Svm(), replace(several, test=nothing))


def test_an_svm_says_what_it_chose(subject: Subject) -> None:
    judged = judge(Svm(costs=(0.1, 1.0, 10.0)), subject)
    assert judged.settings["tuned_on"] == "C by top1 over 3 folds of the training images"
    assert judged.settings["tried"].keys() == {"0.1", "1", "10"}
    assert len(set(judged.settings["costs"])) == 1
    assert judge(LBFGS, subject).settings["tuned_on"] == "l2 by top1 on 9 training images held out"


def test_a_class_with_one_image(subject: Subject) -> None:
    """It is learned from, never held out, and never in the way."""
    labels = subject.train.labels.clone()
    labels[0] = 3
    lonely = replace(subject, train=replace(subject.train, labels=labels), classes=4)
    for settings in (KNN, LBFGS, LINEAR_SMALL, Svm(costs=(1.0,)), replace(LINEAR_SMALL, sweep=(1.0, 0.3))):
        assert len(judge(settings, lonely).score.per_class) == 4
