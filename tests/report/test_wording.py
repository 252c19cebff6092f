import math

import pytest

from stopgrad.report.wording import counted, grouped, mean_and_std, plain, readable, signed, visible


@pytest.mark.parametrize(
    ("value", "percent", "text"),
    [
        (-0.912345, False, "−0.9123"),
        (0, False, "0"),
        (1834.4, False, "1,834"),
        (12345.6, False, "12,346"),
        (187.26, False, "187.3"),
        (0.00012345, False, "0.0001234"),
        (1.5e-7, False, "1.5e−7"),
        (0.81234, True, "81.2 %"),
        (math.nan, True, "NaN"),
        (-math.inf, False, "−∞"),
    ],
)
def test_readable(value: float, percent: bool, text: str) -> None:
    assert readable(value, percent) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "none"),
        (True, "yes"),
        (512, "512"),
        (64_000_000, "64,000,000"),
        (5e-4, "0.0005"),
        ([0.4, 1.0], "0.4, 1"),
        ([], "none"),
        ({"k": 5}, "k 5"),
        ("<b>", "<b>"),
    ],
)
def test_plain(value: object, text: str) -> None:
    assert plain(value) == text


@pytest.mark.parametrize(
    ("text", "shown"),
    [("été 日本 👩\u200d💻", "été 日本 👩\u200d💻"), ("\u202egpj.exe", r"\u202egpj.exe"), ("a\udcff", r"a\udcff"), ("a\nb\x07", r"a\nb\x07")],
)
def test_visible(text: str, shown: str) -> None:
    assert visible(text) == shown


@pytest.mark.parametrize(("count", "text"), [(1, "1 epoch"), (0, "0 epochs"), (2000, "2,000 epochs"), (2.5, "2.5 epochs"), (1.0, "1 epoch")])
def test_counted(count: float, text: str) -> None:
    assert counted(count, "epoch") == text


def test_signed() -> None:
    assert [signed(v) for v in (15, -0.44, 0)] == ["+15.0", "−0.4", "+0.0"]


def test_thousands_of_whole_numbers_alone_are_set_apart() -> None:
    assert grouped("l2 on 2000, 12345 or 999 of 0.12345 and r2048x of v1.2000.") == "l2 on 2,000, 12,345 or 999 of 0.12345 and r2048x of v1.2000."


def test_mean_and_spread() -> None:
    assert mean_and_std([0.5, None, 0.52, 0.54]) == "52.0 ± 2.0"
    assert mean_and_std([0.5]) == "50.0"
    assert (mean_and_std([None]), mean_and_std([], none="")) == ("–", "")
