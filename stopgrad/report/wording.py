"""Numbers and values as a person would write them."""

import math
import re
import statistics
from collections.abc import Sequence
from typing import Any

_HARMLESS = "\u200c\u200d\u00a0\u202f\u3000"
"""Not printable to Python, but part of how some scripts and emoji are written: joiners and spaces."""
SAID = {
    "size": "side in pixels",
    "share": "central crop",
    "held_out": "share held out for the sweep",
    "evaluations": "evaluations at most",
    "tuned_on": "tuned:",
}
"""Settings whose name alone says too little."""


def readable(value: float, percent: bool = False) -> str:
    """Return ``value`` with four significant digits, whole above 1,000; a share as per cent. page.js writes numbers the same way."""
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "∞" if value > 0 else "−∞"
    if percent:
        return f"{100 * value:.1f} %".replace("-", "−")
    if abs(value) >= 1000:
        return f"{value:,.0f}".replace("-", "−")
    text = f"{value:.4g}"
    if "e" in text:
        mantissa, exponent = text.split("e")
        text = f"{mantissa}e{int(exponent)}"
    return text.replace("-", "−")


def counted(count: float, noun: str) -> str:
    """Return ``1 epoch``, ``20 epochs``, ``2.5 epochs``."""
    return f"{f'{count:,}' if isinstance(count, int) else f'{count:g}'} {noun}" + ("" if count == 1 else "s")


def signed(points: float) -> str:
    """Return a difference of two accuracies, in points, with its sign."""
    return f"{points:+.1f}".replace("-", "−")


def visible(text: str) -> str:
    """Return ``text`` with control characters and those that turn the direction of writing spelled out: a name must not lie about itself."""
    return "".join(c if c.isprintable() or c in _HARMLESS else c.encode("unicode_escape", "surrogatepass").decode("ascii") for c in text)


def named(setting: str) -> str:
    """Return what readers call a setting of a protocol."""
    return SAID.get(setting, setting.replace("_", " "))


def grouped(words: str) -> str:
    """Return ``words`` with the thousands of whole numbers set apart."""
    return re.sub(r"(?<![\w.,])\d{4,}(?!\w|[.,]\d)", lambda number: f"{int(number[0]):,}", words)


def plain(value: Any) -> str:
    """Return a setting, as read from JSON, in words."""
    match value:
        case None:
            return "none"
        case bool():
            return "yes" if value else "no"
        case int():
            return f"{value:,}" if abs(value) >= 10_000 else str(value)
        case float():
            return f"{value:g}"
        case list() | tuple():
            return ", ".join(plain(v) for v in value) or "none"
        case dict():
            return ", ".join(f"{k} {plain(v)}" for k, v in value.items()) or "none"
        case _:
            return str(value)


def mean_and_std(shares: Sequence[float | None], none: str = "–") -> str:
    """Return those of ``shares`` that there are as per cent: mean ± sample standard deviation, the mean alone of one, ``none`` of none."""
    there = [100 * share for share in shares if share is not None]
    if not there:
        return none
    return f"{statistics.fmean(there):.1f}" + (f" ± {statistics.stdev(there):.1f}" if len(there) > 1 else "")
