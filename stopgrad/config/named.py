"""Protocols by name, and whose settings each can have: what ``stopgrad evaluate --protocol --settings --set`` chooses from."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields
from difflib import get_close_matches
from typing import Any

from stopgrad.config.codec import set_field
from stopgrad.config.detection import DETECTION, Detection
from stopgrad.config.protocols import LBFGS, LINEAR, OPERATION, Knn, Lbfgs, Linear, Operation
from stopgrad.config.transfer import SVM, Svm
from stopgrad.config.tuning import FINETUNE, SEMI, Finetune, Tuning, problems
from stopgrad.errors import UserError

Settings = Knn | Lbfgs | Linear | Svm | Operation | Finetune | Detection

NAMED: Mapping[str, Mapping[str, Settings]] = {
    "knn": {"usual": Knn()},
    "lbfgs": LBFGS,
    "linear": LINEAR,
    "svm": SVM,
    "operation": OPERATION,
    "semi": SEMI,
    "finetune": FINETUNE,
    "detection": DETECTION,
}
"""Protocol to whose settings to settings. The first ones are taken where none are asked for."""


def chosen(protocols: Sequence[str], whose: str | None = None, pairs: Sequence[str] = ()) -> list[Settings]:
    """Return the settings of ``protocols`` as ``whose`` has them, changed by ``pairs``, such as ``lr=0.1`` or ``linear.lr=0.1``.

    A name or field counts for every one of the protocols that has it. Raises UserError for what none of them has, and for wrong values.
    """
    if whose is not None and not any(whose in NAMED[protocol] for protocol in protocols):
        there = "; ".join(f"{protocol}: {', '.join(NAMED[protocol])}" for protocol in protocols)
        raise UserError(f"--settings {whose}: none of the protocols has them; there are {there}")
    settings = [NAMED[protocol].get(whose or "", next(iter(NAMED[protocol].values()))) for protocol in protocols]
    for pair in pairs:
        path, equals, text = pair.partition("=")
        if not equals:
            raise UserError(f"--set {pair}: a field and its value, such as {pair}=VALUE")
        protocol, dot, field = path.rpartition(".")
        meant = [i for i, one in enumerate(settings) if protocol in ("", one.protocol) and field in _fields(one)]
        if not meant:
            raise UserError(f"--set {pair}: {_nowhere(settings, protocol if dot else '', field)}")
        for i in meant:
            settings[i] = set_field(settings[i], field, text)
    if wrong := [line for one in settings if isinstance(one, Tuning) for line in problems(one)]:
        raise UserError(f"{wrong[0]} (--set)")
    return settings


def as_asked(settings: Settings) -> dict[str, Any]:
    """Return ``settings`` as JSON has them: what a line of evaluations.jsonl calls ``asked``."""
    found: dict[str, Any] = json.loads(json.dumps(asdict(settings)))
    return found


def _fields(settings: Settings) -> list[str]:
    return [f.name for f in fields(settings) if f.name != "name"]


def _nowhere(settings: Sequence[Settings], protocol: str, field: str) -> str:
    """Return which fields there are instead."""
    asked = [one for one in settings if protocol in ("", one.protocol)]
    if not asked:
        return f"{protocol} is none of the protocols asked for ({', '.join(one.protocol for one in settings)})"
    close = get_close_matches(field, [name for one in asked for name in _fields(one)], n=1)
    hint = f"; did you mean {close[0]!r}?" if close else ""
    return f"no field {field!r}{hint} There are " + "; ".join(f"{one.protocol}: {', '.join(_fields(one))}" for one in asked)
