"""stopgrad: pretrain image backbones without labels, judge them, hand them over. Importing it imports no torch."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from stopgrad.api import embed, evaluate, load_backbone, pretrain, write_report
    from stopgrad.errors import UserError
    from stopgrad.monitor import Listeners

__version__ = "0.1.0"

_HOMES = {
    **dict.fromkeys(("embed", "evaluate", "load_backbone", "pretrain", "write_report"), "stopgrad.api"),
    "UserError": "stopgrad.errors",
    "Listeners": "stopgrad.monitor",
}

__all__ = ["Listeners", "UserError", "__version__", "embed", "evaluate", "load_backbone", "pretrain", "write_report"]


def __getattr__(name: str) -> Any:
    """Import a public name from its home when it is first used."""
    if name not in _HOMES:
        raise AttributeError(f"module 'stopgrad' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return __all__
