"""Configurations that earlier versions wrote, in the form of today: what they could not say is as it was then."""

from collections.abc import Mapping
from typing import Any

SCHEMA = 6
"""Version of the written form; raised when a field is added or changes its meaning."""
READ = range(2, SCHEMA + 1)
"""The forms that this version reads."""

GAINED: Mapping[int, Mapping[str, Mapping[str, Any]]] = {
    3: {"train": {"threads": 0}},  # until then a run took what torch gave it, as 0 still does
    4: {"train": {"recompute": False}},
    6: {
        "views": {
            "shared_crop": None,
            "rotate": 0.0,
            "policy": None,
            "sobel": 0.0,
            "noise": 0.0,
            "noise_sigma": [0.0, 0.2],
            "cutout": 0.0,
            "cutout_side": 0.5,
        },
        "method simclr": {"loss": "nt-xent", "semi_hard": False, "margin": 0.4, "normalise": True},
        "method simsiam": {"pairs_of_views": 1},
        "method byol": {"predictor_layers": 2, "beta": 0.0, "temperature": 0.1},
    },
}
"""By form, what it added: a part of the configuration (of the method, that of one name), and its new fields as older runs had them."""


def in_todays_form(record: dict[str, Any], schema: int) -> dict[str, Any]:
    """Return a ``record`` that was written in form ``schema``, one of READ, in today's; what is wrong with it is left for its reader."""
    assert schema in READ
    for form in range(schema + 1, SCHEMA + 1):
        for part, fields in GAINED.get(form, {}).items():
            record = _with(record, part, fields)
    train = record.get("train")
    if schema < 5 and isinstance(train, dict) and isinstance(train.get("compile"), bool):  # form 5 made a mode of it
        record = record | {"train": train | {"compile": "default" if train["compile"] else "no"}}
    return record


def _with(record: dict[str, Any], part: str, fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return ``record`` with ``fields`` in its ``part``, in each where it is a list, but for those that are there."""
    key, _, name = part.partition(" ")
    there = record.get(key)
    if isinstance(there, list):
        return record | {key: [{**fields, **one} if isinstance(one, dict) else one for one in there]}
    if not isinstance(there, dict) or (name and there.get("name") != name):
        return record
    return record | {key: {**fields, **there}}
