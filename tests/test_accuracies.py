"""The table of accuracies says how sure they are, and what they depend on."""

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
