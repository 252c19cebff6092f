"""A run to JSON and back, overrides by path, and the difference of two runs. Every error names the field."""

import math
import types
from dataclasses import fields, is_dataclass, replace
from difflib import get_close_matches
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from stopgrad.config import crops
from stopgrad.config.method import MethodConfig
from stopgrad.config.methods import METHODS
from stopgrad.config.older import READ, SCHEMA, in_todays_form
from stopgrad.config.run import Net, Run
from stopgrad.errors import UserError

T = TypeVar("T")


def to_json(run: Run) -> dict[str, Any]:
    """Return ``run`` as plain dictionaries, lists and numbers; ``from_json`` undoes it exactly."""
    return {"schema": SCHEMA, **_plain(run)}


def from_json(record: dict[str, Any]) -> Run:
    """Return the run that ``to_json`` wrote. Raises UserError for unknown, missing or wrong fields, naming them."""
    record = dict(record)
    schema = record.pop("schema", None)
    if not isinstance(schema, int) or schema not in READ:
        remedy = "train it again with this version, or use the version that wrote it"
        raise UserError(f"config: written in form {schema}, this version of stopgrad reads forms {READ[0]} to {SCHEMA}; {remedy}")
    run: Run = _typed(Run, in_todays_form(record, schema), "")
    return run


def net_from_json(record: dict[str, Any]) -> Net:
    """Return the backbone's settings that stand in a backbone file. Raises UserError as ``from_json`` does."""
    net: Net = _typed(Net, record, "net")
    return net


def set_value(run: Run, path: str, text: str) -> Run:
    """Return ``run`` with the field at ``path`` (``optim.lr``; ``views.0.size``, or ``views.size`` for all) set from ``text``.

    ``views.crops`` makes other views of those that there are (config/crops.py).

    Raises UserError when the path does not exist (naming the nearest) or the text is no value of the field's type.
    """
    if path == crops.PATH:
        return replace(run, views=crops.cropped(run.views, text))
    changed: Run = _set(run, path.split("."), text, path)
    return changed


def set_field(settings: T, field: str, text: str) -> T:
    """Return ``settings``, a frozen dataclass of values, with one ``field`` set from ``text``. Raises UserError as ``set_value`` does."""
    changed: T = _set(settings, [field], text, field)
    return changed


def differences(a: Run, b: Run) -> dict[str, tuple[Any, Any]]:
    """Return ``{path: (value in a, value in b)}`` for every field in which the two runs differ."""
    left, right = _leaves(_plain(a)), _leaves(_plain(b))
    return {p: (left.get(p), right.get(p)) for p in sorted(left.keys() | right.keys()) if left.get(p) != right.get(p)}


def _plain(value: Any) -> Any:
    if is_dataclass(value):
        named = {"name": value.name} if isinstance(value, MethodConfig) else {}
        return named | {f.name: _plain(getattr(value, f.name)) for f in fields(value)}
    return [_plain(v) for v in value] if isinstance(value, tuple) else value


def _leaves(tree: Any, path: str = "") -> dict[str, Any]:
    if isinstance(tree, dict):
        items = tree.items()
    elif isinstance(tree, list) and any(isinstance(v, dict) for v in tree):
        items = {str(i): v for i, v in enumerate(tree)}.items()
    else:
        return {path: tree}
    return {p: leaf for key, value in items for p, leaf in _leaves(value, f"{path}.{key}" if path else key).items()}


def _typed(kind: Any, value: Any, path: str) -> Any:
    """Return ``value`` (as read from JSON) as a value of the annotated type ``kind``."""
    if kind is MethodConfig:
        kind, value = _method_class(value, path)  # which settings these are, their name says
    if is_dataclass(kind):
        return _dataclass(kind, value, path)
    origin, inner = get_origin(kind), get_args(kind)
    if origin in (Union, types.UnionType):
        return None if value is None and type(None) in inner else _typed(next(a for a in inner if a is not type(None)), value, path)
    if origin is Literal:
        if value not in inner:
            raise UserError(f"{path}: {value!r} is none of {', '.join(map(str, inner))}{_hint(str(value), map(str, inner))}")
        return value
    if origin is tuple:
        many = isinstance(value, list | tuple)
        if not many or (inner[-1] is not Ellipsis and len(value) != len(inner)):
            raise UserError(f"{path}: {'any number of' if inner[-1] is Ellipsis else len(inner)} values, not {value!r}")
        kinds = [inner[0]] * len(value) if inner[-1] is Ellipsis else list(inner)
        return tuple(_typed(k, v, f"{path}.{i}") for i, (k, v) in enumerate(zip(kinds, value, strict=True)))
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        raise UserError(f"{path}: {value!r} is not {_KINDS[kind]}")
    return value


def _dataclass(kind: Any, value: Any, path: str) -> Any:
    if not isinstance(value, dict):
        raise UserError(f"{path or 'config'}: an object with named fields, not {value!r}")
    hints = get_type_hints(kind)
    names = [f.name for f in fields(kind)]
    prefix = f"{path}." if path else ""
    for key in value:
        if key not in names:
            raise UserError(f"{prefix}{key}: no such field{_hint(key, names)}")
    missing = [name for name in names if name not in value]
    if missing:
        raise UserError(f"{prefix}{missing[0]}: missing")
    return kind(**{name: _typed(hints[name], value[name], prefix + name) for name in names})


def _method_class(value: Any, path: str) -> tuple[Any, Any]:
    name = value.get("name") if isinstance(value, dict) else value
    if name not in METHODS:
        raise UserError(f"{path}.name: no method {name!r}{_hint(str(name), METHODS)}")
    return METHODS[name], {k: v for k, v in value.items() if k != "name"}


def _set(node: Any, keys: list[str], text: str, path: str) -> Any:
    key, rest = keys[0], keys[1:]
    if isinstance(node, tuple):
        if not key.isdigit():
            return tuple(_set(item, keys, text, path) for item in node)
        if int(key) >= len(node) or not rest:
            raise UserError(f"{path}: there are {len(node)}, numbered from 0; name a field of one, as in views.0.size")
        return tuple(_set(item, rest, text, path) if i == int(key) else item for i, item in enumerate(node))
    hints = get_type_hints(type(node))
    names = [f.name for f in fields(node)]
    if path == "method.name" and key == "name":
        raise UserError(f"method.name: a method is chosen with all its settings, by --method {text} (in Python: method={text!r})")
    if key not in names:
        raise UserError(f"{path}: no field {key!r}{_hint(key, names)}; the fields here: {', '.join(names)}")
    child = getattr(node, key)
    nested = is_dataclass(child) or (isinstance(child, tuple) and any(is_dataclass(item) for item in child))
    if nested != bool(rest):
        inside = ", ".join(f.name for f in fields(child[0] if isinstance(child, tuple) else child)) if nested else "no fields"
        raise UserError(f"{path}: {key} has {inside}" if nested else f"{path}: {key} is a value, it has no fields")
    return replace(node, **{key: _set(child, rest, text, path) if nested else _parse(hints[key], text, path)})


def _parse(kind: Any, text: str, path: str) -> Any:
    """Return ``text``, as typed by a person, as a value of the annotated type ``kind``."""
    origin, inner = get_origin(kind), get_args(kind)
    if origin in (Union, types.UnionType):
        if text.lower() == "none":
            return None
        return _parse(next(a for a in inner if a is not type(None)), text, path)
    if origin is tuple:
        if inner[-1] is Ellipsis and text.lower() == "none":
            return ()
        parts = [p for p in text.strip("()[] ").split(",") if p.strip()]
        kinds = [inner[0]] * len(parts) if inner[-1] is Ellipsis else list(inner)
        if len(parts) != len(kinds):
            raise UserError(f"{path}: {len(kinds)} values with commas between them, not {text!r}")
        return tuple(_parse(k, p.strip(), path) for k, p in zip(kinds, parts, strict=True))
    if kind is bool:
        if text.lower() not in ("true", "false"):
            raise UserError(f"{path}: true or false, not {text!r}")
        return text.lower() == "true"
    if kind in (int, float):
        try:
            value = kind(text)
        except ValueError:
            value = math.nan
        if not math.isfinite(value):
            raise UserError(f"{path}: {text!r} is not {_KINDS[kind]}")
        return value
    return _typed(kind, text, path)


_KINDS = {int: "a whole number", float: "a number", str: "a text", bool: "true or false"}


def _hint(word: str, names: Any) -> str:
    close = get_close_matches(word, list(names), n=1)
    return f"; did you mean {close[0]!r}?" if close else ""
