"""The table of accuracies says how sure they are, and what they depend on."""

import re
from typing import Any

from stopgrad.accuracies import accuracies

SETTINGS = {"knn": {"k": 200, "temperature": 0.1}, "lbfgs": {"l2": 0.01}, "linear": {"name": "moco", "lr": 30.0}}


def record(features: str, protocol: str, top1: float, tests: int = 2000, **settings: Any) -> dict[str, Any]:
    return {
        "features": features,
        "protocol": protocol,
        "top1": top1,
        "interval": [top1 - 0.02, top1 + 0.01],
        "test_images": tests,
        "train_images": 10_000,
        "settings": SETTINGS[protocol] | settings,
    }


def test_a_row_a_kind_of_features_a_column_a_protocol() -> None:
    records = [record("backbone", "knn", 0.1), record("pixels", "lbfgs", 0.849), record("backbone", "knn", 0.75), record("head 1", "lbfgs", 0.866)]
    assert accuracies(records) == [
        "top-1                                knn              lbfgs",
        "---------------------  -----------------  -----------------",
        "raw pixels                                84.9% (82.9-85.9)",
        "trained backbone       75.0% (73.0-76.0)",
        "trained, after head 1                     86.6% (84.6-87.6)",
        "",
        "accuracy on 2,000 test images (95 % interval); knn: 200 neighbours, T 0.1; lbfgs: a linear classifier on frozen features, 10,000 labels",
    ]


def test_rows_that_were_judged_otherwise_are_told_apart() -> None:
    records = [record("pixels", "knn", 0.5, k=16), record("backbone", "knn", 0.5, tests=300), record("backbone", "linear", 0.5)]
    assert accuracies(records)[-1] == (
        "accuracy on 2,000 or 300 test images (95 % interval); knn: 16 or 200 neighbours, T 0.1; linear: moco's, lr 30, 10,000 labels"
    )


def test_few_test_images_are_warned_of() -> None:
    said = accuracies([record("pixels", "knn", 0.5, tests=99) | {"interval": [0.4, 0.6]}])
    assert said[-1] == "only 99 test images: differences of less than about 14 points mean nothing; judge on more (--data)"
    assert not any("only" in line for line in accuracies([record("pixels", "knn", 0.5, tests=100)]))


def test_few_columns_name_data_variant_and_metric_and_scores_stand_together() -> None:
    tuned = {"name": "simclr", "lr": 0.05, "epochs": 60, "tuned_on": "lr on 20 % of the training images held out"}
    scores = {"box_ap": 0.382, "box_ap50": 0.582, "box_ap75": 0.41}
    none = {"interval": None, "value": 0.382}
    records = [
        record("backbone", "knn", 0.75) | {"protocol": "semi", "variant": "1 %", "train_images": 100, "settings": tuned},
        record("backbone", "knn", 0.5) | none | {"protocol": "finetune", "data": "pets", "metric": "mean_per_class", "settings": tuned},
        record("backbone", "knn", 0.5) | none | {"protocol": "detection", "metric": "ap", "scores": scores, "settings": {"iterations": 900}},
    ]
    assert accuracies(records) == [
        "                           semi 1 %              detection box AP  pets finetune mean per class",
        "----------------  -----------------  ----------------------------  ----------------------------",
        "trained backbone  75.0% (73.0-76.0)  38.2% (AP50 58.2, AP75 41.0)                         38.2%",
        "",
        "top-1 where no other metric is named, on 2,000 test images (95 % interval); semi 1 %: simclr's, lr 0.05, 60 epochs, 100 labels, tuned: lr "
        "on 20 % of the training images held out; detection: 900 iterations, 10,000 images; pets finetune: simclr's, lr 0.05, 60 epochs, 10,000 "
        "labels, tuned: lr on 20 % of the training images held out",
    ]


def test_no_top1_is_promised_where_there_is_none() -> None:
    scores = {"scores": {"box_ap": 0.382, "mask_ap": 0.3}, "metric": "ap", "value": 0.382, "interval": None, "protocol": "detection"}
    said = accuracies([record("backbone", "knn", 0.5) | scores | {"settings": {"iterations": 900}}])
    assert said[-1] == "per cent, on 2,000 test images; detection: 900 iterations, 10,000 images"


def test_metrics_that_were_judged_otherwise_are_told_apart() -> None:
    several = [record("backbone", "knn", 0.5, k=7), record("backbone", "knn", 0.5, k=60) | {"metric": "mean_per_class", "value": 0.5}]
    assert accuracies(several)[-1].endswith("; knn: 7 neighbours, T 0.1; knn mean per class: 60 neighbours, T 0.1")


def test_images_of_one_name_are_columns_of_their_own() -> None:
    several = [record("backbone", "knn", value) | {"data": "photos", "images_sha256": d * 32} for value, d in ((0.3, "ab"), (0.7, "cd"))]
    assert re.split("  +", accuracies(several)[0])[1:] == ["photos (abababab) knn", "photos (cdcdcdcd) knn"]
    assert accuracies([several[1], several[1]])[0].endswith("  photos knn")


def test_many_columns_stand_below_each_other() -> None:
    many = [record(kind, "knn", 0.5) | {"data": data} for data in ("a", "b", "c", "d", "e") for kind in ("random", "backbone")]
    assert accuracies(many)[:3] == [
        "top-1  random initialisation   trained backbone",
        "-----  ---------------------  -----------------",
        "a knn      50.0% (48.0-51.0)  50.0% (48.0-51.0)",
    ]
    assert accuracies(many)[-2:] == ["d knn: 200 neighbours, T 0.1", "e knn: 200 neighbours, T 0.1"]


def test_what_the_sweep_was_tuned_on_is_said() -> None:
    swept = record("backbone", "lbfgs", 0.5, held_out_accuracy={"0.01": 0.5}, held_out_images=2000)
    assert accuracies([swept])[-1].endswith("lbfgs: a linear classifier on frozen features, 10,000 labels, l2 tuned on 2,000 of these, held out")


def test_few_test_images_without_an_interval() -> None:
    few = record("backbone", "knn", 0.5, tests=12) | {"interval": None}
    assert accuracies([few])[-1] == "only 12 test images: differences may be chance; judge on more (--data)"
