"""Detection transfer of any backbone: what is judged, and where its lines go."""

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from stopgrad.config.detection import Detection
from stopgrad.config.transfer import DataSet
from stopgrad.detection.transfer import Start, detect
from stopgrad.errors import UserError
from stopgrad.nets.backbones import Backbone
from stopgrad.runs import append_line, read_lines
from stopgrad.what import What, say
from stopgrad.world import world


def detected(
    what: What, data: DataSet, settings: Detection, features: Sequence[str], device: torch.device, tell: Callable[[str], object]
) -> list[dict[str, Any]]:
    """Train and test a detector from each of ``features`` (random, backbone) of ``what``; append a line each to its evaluations and return them.

    What a stop has left unfinished goes on with the same call; a line that is there already is not written twice. Of several processes
    the first writes, and alone should ``tell`` anybody. Raises as ``detect`` does.
    """
    starts: dict[str, Start] = {
        kind: Start(module, what.data.mean, what.data.std) for kind, module in what.kinds.items() if kind in features and isinstance(module, Backbone)
    }
    if not starts:
        raise UserError(f"{what.name}: of {' and '.join(features)} no detector can start; ask for random or backbone (--features)")
    say(what, tell)
    place = Path(data.path).resolve()
    known = hashlib.sha256(json.dumps([asdict(settings), str(place), what.digest]).encode()).hexdigest()[:8]
    folder = what.evaluations.parent / "detection" / f"{place.name}-{settings.variant.replace(' ', '-')}-{known}"
    records = []
    for found in detect(starts, place, settings, folder, device, tell):
        record = found | {"data": data.name, "place": str(place), "step": what.step if found["features"] == "backbone" else 0}
        if world().first and record not in read_lines(what.evaluations):
            append_line(what.evaluations, record)
        records.append(record)
    return records
