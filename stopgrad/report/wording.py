"""Numbers and values as a person would write them."""

import math
from typing import Any


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


def duration(seconds: float) -> str:
    """Return a time in its two largest units: 42 s, 3 min 20 s, 5 h 04 min, 2 d 3 h."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02} s"
    if whole < 86400:
        return f"{whole // 3600} h {whole % 3600 // 60:02} min"
    return f"{whole // 86400} d {whole % 86400 // 3600} h"
