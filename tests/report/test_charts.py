import math
import re
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stopgrad.report.charts import (
    BOTTOM,
    BUCKETS,
    LEFT,
    RIGHT,
    TOP,
    Chart,
    Reference,
    Scale,
    Series,
    axes,
    hover,
    log_ticks,
    paint,
    svg,
    thin,
    tick_labels,
    ticks,
)


@pytest.mark.parametrize(
    ("low", "high", "count", "expected"),
    [
        (0, 1, 4, [0, 0.5, 1]),
        (0, 1, 5, [0, 0.2, 0.4, 0.6, 0.8, 1]),
        (-1, 0, 4, [-1, -0.5, 0]),
        (0, 4680, 4, [0, 2000, 4000]),
        (-0.93, -0.41, 4, [-0.8, -0.6]),
        (0, 0.03, 4, [0, 0.01, 0.02, 0.03]),
        (1700, 1900, 4, [1700, 1750, 1800, 1850, 1900]),
    ],
)
def test_ticks_are_the_nice_numbers_inside(low: float, high: float, count: int, expected: list[float]) -> None:
    assert ticks(low, high, count) == pytest.approx(expected, abs=1e-12)


@given(st.floats(-1e6, 1e6), st.floats(1e-6, 1e6), st.integers(2, 8))
def test_ticks_lie_inside_evenly_and_are_about_as_many_as_asked(low: float, width: float, count: int) -> None:
    high = low + width
    found = ticks(low, high, count)
    raw = width / count
    slack = 1e-6 * max(width, abs(low), abs(high))
    assert all(low - slack <= t <= high + slack for t in found)
    assert len(found) <= count + 1
    steps = np.diff(found)
    assert np.all((steps >= raw - slack) & (steps <= 2.5 * raw + slack))


@pytest.mark.parametrize(
    ("low", "high", "expected"), [(1, 2048, [1, 10, 100, 1000]), (1, 64, [1, 10]), (1, 8, [1, 2, 5]), (20, 300, [20, 50, 100, 200])]
)
def test_log_ticks(low: float, high: float, expected: list[float]) -> None:
    assert log_ticks(low, high) == expected


@pytest.mark.parametrize(
    ("values", "percent", "labels"),
    [
        ([-1, -0.5, 0], False, ["−1.0", "−0.5", "0.0"]),
        ([0, 2000, 4000], False, ["0", "2,000", "4,000"]),
        ([0, 20000, 40000], False, ["0", "20k", "40k"]),
        ([0, 500000, 1000000], False, ["0.0", "0.5M", "1.0M"]),
        ([0, 0.02, 0.04], True, ["0 %", "2 %", "4 %"]),
        ([0, 1e-5, 2e-5], False, ["0", "1e−5", "2e−5"]),
    ],
)
def test_tick_labels(values: list[float], percent: bool, labels: list[str]) -> None:
    assert tick_labels(values, percent) == labels


def test_scale_is_linear_or_logarithmic_between_its_ends() -> None:
    assert [Scale(-1, 1, 100, 0)(v) for v in (-1, 0, 1)] == [100, 50, 0]
    assert [Scale(1, 1000, 0, 90, log=True)(v) for v in (1, 10, 100, 1000)] == [0, 30, 60, 90]


def test_thin_keeps_every_extreme_and_only_records() -> None:
    rng = np.random.default_rng(0)
    values = rng.standard_normal(20_000)
    values[12_345], values[777] = 50, math.nan
    series = Series("run", 0, list(range(0, 200_000, 10)), values.tolist())
    kept = thin(series)
    assert len(kept.steps) <= 5 * BUCKETS
    assert kept.steps == sorted(set(kept.steps))
    assert all(v == values[s // 10] or math.isnan(v) for s, v in zip(kept.steps, kept.values, strict=True))
    assert (kept.steps[0], kept.steps[-1]) == (0, 199_990)
    assert max(v for v in kept.values if v == v) == 50
    assert min(v for v in kept.values if v == v) == np.nanmin(values)
    assert 7770 in kept.steps


def test_thin_leaves_a_short_series_alone() -> None:
    series = Series("run", 0, [1, 2, 3], [0.1, 0.2, 0.3])
    assert thin(series) is series


def make_chart(values: list[float], **more: object) -> Chart:
    return Chart(key="k", title="T", note="n", series=(Series("run", 2, list(range(len(values))), values),), **more)  # type: ignore[arg-type]


def test_the_axis_holds_values_references_and_include() -> None:
    _, y = axes(make_chart([-0.3, -0.8], references=(Reference(-1, "floor"),), include=(0,)))
    assert (y.low, y.high) == (-1, 0)
    assert (y(-1), y(0)) == (BOTTOM, TOP)
    x, y = axes(make_chart([5.0]))
    assert y.low < 5 < y.high
    assert (x(0), x(1)) == (LEFT, RIGHT)


def test_a_line_breaks_at_what_is_not_finite() -> None:
    drawn = svg(make_chart([0.0, 1.0, math.nan, 0.5, math.inf, 1.0, 0.0]))
    line = re.search(r'class="line s2" d="([^"]*)"', drawn)
    assert line is not None
    pieces = re.findall(r"M[^M]*", line[1])
    assert [piece.count("L") for piece in pieces] == [1, 0, 1]
    assert pieces[1].endswith("h0")  # a point alone is drawn as a dot
    assert hover(make_chart([0.0, math.nan]))["series"][0]["values"] == [0.0, None]


def test_the_axis_goes_on_beyond_a_reference_that_is_no_bound() -> None:
    bound, open_end = Reference(0, "collapse"), Reference(-4, "independent", bound=False)
    _, y = axes(make_chart([-4.3, -1.0], references=(bound, open_end)))
    assert y.low < -4.3
    assert y.high == 0
    assert y(-4.3) < BOTTOM
    _, y = axes(make_chart([-3.0, -1.0], references=(bound, open_end)))
    assert y.low < -4


def test_words_in_a_chart_are_escaped() -> None:
    chart = Chart(key="k", title="<b>&", note="", series=(Series("r", 0, [0, 1], [0, 1]),), references=(Reference(1, "<i>"),))
    drawn = svg(chart, marks=[(1, 3)])
    assert "<b>" not in drawn
    assert 'aria-label="&lt;b&gt;&amp;"' in drawn
    assert f'class="mark s3" d="M{float(RIGHT)} ' in drawn


def test_a_reference_is_a_number_on_the_axis_and_its_words_are_not_in_the_chart() -> None:
    drawn = svg(make_chart([2.0, 9.0], references=(Reference(1, "1: collapse"), Reference(12, "12: the most possible")), log=True))
    assert "collapse" not in drawn
    labels = re.findall(r'<text class="(y[^"]*)" x="36" y="([^"]*)">([^<]*)</text>', drawn)
    assert [(kind, label) for kind, _, label in labels] == [("y of-reference", "1"), ("y of-reference", "12")]  # 10 would touch 12
    places = sorted(float(place) for _, place, _ in labels)
    assert all(b - a >= 11 for a, b in pairwise(places))


def test_after_ten_runs_the_colours_come_again_otherwise() -> None:
    assert [paint(c) for c in (0, 9, 10, 23, 35)] == ["s0", "s9", "s0 turn1", "s3 turn2", "s5 turn2"]
