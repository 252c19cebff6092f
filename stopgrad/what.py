"""One way in: whatever a backbone is taken from, opened as what judging, export and further training need of it."""

import copy
import hashlib
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from stopgrad.config import Data, Net, Run
from stopgrad.errors import UserError
from stopgrad.files import write_whole
from stopgrad.images.opened import judged_images, open_images, refuse_unjudgeable
from stopgrad.images.source import Splits
from stopgrad.images.sources import LabelRule
from stopgrad.inside import with_head
from stopgrad.judging import Folder, Kind, evaluations
from stopgrad.methods import initial_backbone
from stopgrad.nets.backbones import Backbone, wrap
from stopgrad.nets.files import Loaded, digest, load
from stopgrad.nets.foreign import Asked, Foreign, fresh, open_file
from stopgrad.nets.layouts import IMAGENET
from stopgrad.nets.library import open_library
from stopgrad.protocols.features import Pixels
from stopgrad.protocols.judge import Settings
from stopgrad.runs import RunDirectory, append_line, backbone_file, read_lines
from stopgrad.wanted import EXPORTED, Wanted, wanted
from stopgrad.world import world

AS_IT_IS = Asked()
NAMELESS = (EXPORTED, "backbone.safetensors", "classifier.safetensors")
"""Files that are known by the folder they lie in."""
SIZE = 224
"""Side at which a network without weights is judged, pixels, where no other is asked for; its colours are then ImageNet's."""


@dataclass(frozen=True, eq=False, kw_only=True)
class What:
    """A backbone, what it is compared with, and all that judging asks of where it is from."""

    name: str
    """Short, for people and folders."""
    kinds: dict[Kind, nn.Module]
    """Raw pixels, the same network at random initialisation, and the backbone itself where there are weights; for images of ``data``."""
    net: Net | None
    """None: a module of the user's own."""
    data: Data
    """Channels, size, mean and std of the images; of a run, everything that it read them by."""
    digest: str
    """SHA-256 of the weights; of a network without any, of its random ones."""
    step: int
    """Of the run that trained it; 0 where that is not known."""
    evaluations: Path
    """The file that judgements are appended to."""
    run: Run | None = None
    """None: there are no images that go with it."""
    head: int = 0
    """Layers of the projector that the backbone is taken after."""
    about: dict[str, Any] | None = None
    """what.json beside the evaluations of what is no run: where it is from, how images are prepared."""
    notes: tuple[str, ...] = ()
    """What was taken for granted, a line each."""

    def named(self, images: str) -> str:
        """Return the short name of ``images`` to judge on; empty for those of the run itself."""
        own = self.run is not None and Path(images).resolve() == Path(self.run.data.source).resolve()
        return "" if own else Path(images).resolve().name

    def images(self, data: Any, labels: LabelRule) -> Splits:
        """Return the labelled images ``data`` to judge on; None: those of the run. Raises UserError without labels."""
        if isinstance(data, Splits):
            return data
        if self.run is not None:
            return judged_images(self.run, self.evaluations.parent, data, labels)
        splits = open_images(data, labels)
        refuse_unjudgeable(splits)
        return splits


def open_what(text: str, asked: Asked = AS_IT_IS, *, head: int = 0, module: nn.Module | None = None, out: Path | None = None) -> What:
    """Return what ``text`` means (see ``wanted``): a run, a backbone file or an exported one, a network by name, another project's checkpoint.

    ``asked`` is what its file does not say itself; ``head``: take a run's backbone after so many layers of its projector; ``module``: a fresh
    one, for a run or a file of the user's own; ``out``: the folder of its evaluations where it is no run, by default evaluations/NAME-DIGEST.
    Nothing is downloaded, and nothing in a file is executed. Raises UserError for what you can mend.
    """
    meant = _meant(text, asked, module)
    if meant.kind == "run":
        assert meant.path is not None
        if asked != AS_IT_IS or out is not None:
            raise UserError(
                f"{text}: a run, which says itself how images are prepared and keeps its evaluations; leave out out, size, layout and stem"
            )
        return _of_a_run(meant.path, head, module)
    name = _short(meant)
    if not meant.trained:
        assert meant.network is not None
        return _random(name, meant.network, asked, out)
    found = _trained(meant, asked, module)
    size, channels = found.size, found.channels
    random = wrap(copy.deepcopy(module), channels, size) if module is not None else _initial(found)
    about = {"net": found.net and asdict(found.net), **found.extra}
    notes = found.notes if isinstance(found, Foreign) else ()
    kinds: dict[Kind, nn.Module] = {"pixels": Pixels(channels, size), "random": random, "backbone": found.backbone.eval()}
    data = _data(channels, size, found.mean, found.std)
    return _no_run(name, kinds, found.net, data, found.sha256, about, notes, out)


def trained(text: str, asked: Asked = AS_IT_IS, module: nn.Module | None = None) -> Loaded:
    """Return the trained backbone that ``text`` means, on the CPU and in training mode; see ``open_what``."""
    meant = _meant(text, asked, module)
    if not meant.trained:
        raise UserError(f"{text}: a network without weights; name some: {text}:TAG or {text}:FILE")
    return _trained(meant, asked, module)


def _trained(meant: Wanted, asked: Asked, module: nn.Module | None) -> Loaded:
    if meant.kind == "network":
        assert meant.network is not None
        if asked.layout is not None or asked.stem not in (None, "imagenet"):
            raise UserError(f"{meant.text}: names its network; --layout and --stem are for a file alone")
        return open_library(meant.network, meant.tag, meant.path, asked)
    assert meant.path is not None
    return open_file(backbone_file(meant.path) if meant.kind == "run" else meant.path, asked, module)


def judged(
    what: What,
    protocols: Sequence[Settings],
    splits: Splits,
    features: Sequence[Kind],
    device: torch.device,
    tell: Callable[[str], None],
    data: str = "",
) -> list[dict[str, Any]]:
    """Judge what ``features`` name of ``what``, append a record for each and every protocol to its evaluations, and return them.

    ``data``: the name of the images, where they are not the run's own. A fine-tuning that was done already is not done again.
    """
    kinds = {kind: module for kind, module in what.kinds.items() if kind in features}
    if not kinds:
        raise UserError(f"{what.name}: has {' and '.join(what.kinds)}, none of which is asked for")
    say(what, tell)
    begun, records = read_lines(what.evaluations), []
    for record in evaluations(what.data, kinds, splits, protocols, what.step, device, tell, Folder(what.evaluations.parent, what.net), begun):
        if record not in begun:
            record |= {"features": f"head {what.head}"} if what.head and record["features"] == "backbone" else {}
            record |= {"data": data} if data else {}
            append_line(what.evaluations, record)
        records.append(record)
    if not records:
        raise UserError(f"{what.name}: {' and '.join(kinds)} cannot be fine-tuned; ask for random or backbone (--features)")
    return records


def say(what: What, tell: Callable[[str], object]) -> None:
    """Tell what was taken for granted, and write what.json where evaluations are of what is no run. Raises UserError for a folder of others."""
    for note in what.notes:
        tell(note)
    if what.about is None:
        return
    file = what.evaluations.with_name("what.json")
    if RunDirectory(file.parent).exists():
        raise UserError(f"{file.parent}: a run's folder; choose another --out")
    text = (json.dumps(what.about, indent=2, ensure_ascii=False) + "\n").encode()
    if file.exists() and file.read_bytes() != text:
        raise UserError(f"{file}: {_unlike(file, what.about)}; choose another --out")
    if world().first:
        write_whole(file, text)


def _unlike(file: Path, about: Mapping[str, Any]) -> str:
    """Return in what ``file``, written for another backbone or size, differs from ``about``."""
    try:
        there, here = json.loads(file.read_text()), json.loads(json.dumps(about))
        if there["digest"] != here["digest"]:
            return f"is of {there['name']}, whose weights are others"
        differing = [f"{key} {there['settings'].get(key)}, asked for {value}" for key, value in here["settings"].items()]
        changed = [line for line, (key, value) in zip(differing, here["settings"].items(), strict=True) if there["settings"].get(key) != value]
    except (ValueError, KeyError, TypeError, AttributeError):
        return "is damaged"
    return f"is of {', '.join(changed)}" if changed else "says something else of the same backbone"


def _meant(text: str, asked: Asked, module: nn.Module | None) -> Wanted:
    """Return what ``text`` means; a ``module`` of the user's own is for runs and files that cannot be built without it."""
    if module is None:
        return wanted(text, asked.layout)
    path = Path(text).expanduser()
    if path.is_dir() and not (path / EXPORTED).is_file():
        RunDirectory(path).read_config()
        return Wanted(text=text, kind="run", path=path)
    return Wanted(text=text, kind="file", path=backbone_file(path))


def _of_a_run(path: Path, head: int, module: nn.Module | None) -> What:
    directory = RunDirectory(path)
    run = directory.read_config()
    trained = load(backbone_file(path), module)
    random = initial_backbone(run) if module is None else wrap(copy.deepcopy(module), run.data.channels, run.data.size)
    backbone = with_head(path, head) if head else trained.backbone
    kinds: dict[Kind, nn.Module] = {"pixels": Pixels(run.data.channels, run.data.size), "random": random, "backbone": backbone.eval()}
    return What(
        name=str(path),
        kinds=kinds,
        net=trained.net,
        data=run.data,
        digest=trained.sha256,
        step=int(trained.extra["step"]),
        evaluations=directory.evaluations,
        run=run,
        head=head,
    )


def _random(name: str, network: str, asked: Asked, out: Path | None) -> What:
    """Return a network without weights: what it is at random initialisation, beside raw pixels."""
    net, size = Net(backbone=network, zero_init_residual=False), asked.size or SIZE
    backbone = fresh(net, 3, size)
    kinds: dict[Kind, nn.Module] = {"pixels": Pixels(3, size), "random": backbone}
    data = _data(3, size, asked.mean or IMAGENET[0], asked.std or IMAGENET[1])
    note = f"{network}: no weights are named; it is judged at random initialisation, on images of {size} pixels"
    return _no_run(name, kinds, net, data, digest(backbone), {"net": asdict(net)}, (note,), out)


def _initial(found: Loaded) -> Backbone:
    """Return the same network at random initialisation."""
    assert found.net is not None  # without it and without a module it could not have been opened
    return fresh(found.net, found.channels, found.size)


def _data(channels: int, size: int, mean: tuple[float, ...], std: tuple[float, ...]) -> Data:
    return Data(source="", channels=channels, mean=mean, std=std, size=size, short_side=None)


def _no_run(
    name: str, kinds: dict[Kind, nn.Module], net: Net | None, data: Data, sha: str, about: dict[str, Any], notes: tuple[str, ...], out: Path | None
) -> What:
    prepared = {"channels": data.channels, "size": data.size, "mean": data.mean, "std": data.std}
    known = hashlib.sha256(json.dumps([sha, prepared]).encode()).hexdigest()[:8]
    folder = out or Path("evaluations") / f"{name}-{known}"
    return What(
        name=name,
        kinds=kinds,
        net=net,
        data=data,
        digest=sha,
        step=0,
        evaluations=folder / "evaluations.jsonl",
        about={"name": name, "digest": sha, "settings": about | prepared, "notes": notes},
        notes=notes,
    )


def _short(meant: Wanted) -> str:
    """Return what a folder may be called after it."""
    path = meant.path.parent if meant.path is not None and meant.path.name in NAMELESS else meant.path
    parts = [meant.network, meant.tag, path and re.sub(r"(\.(pth|pt|tar|ckpt|bin|safetensors))+$", "", path.resolve().name)]
    return re.sub(r"[^\w.-]+", "-", "-".join(part for part in parts if part))
