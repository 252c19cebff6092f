"""TensorBoard as a listener: the records of metrics.jsonl as scalars. Optional group ``tensorboard``."""

from dataclasses import replace
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stopgrad.errors import UserError
from stopgrad.monitor.journal import Listeners

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter


def with_tensorboard(listeners: Listeners, folder: Path) -> Listeners:
    """Return ``listeners`` that also write every record to event files in ``folder``. Raises UserError when TensorBoard is not installed."""
    if find_spec("tensorboard") is None:
        raise UserError("--tensorboard: TensorBoard is not installed; pip install 'stopgrad[tensorboard]'")
    writer = cache(lambda: _writer(folder))  # made at the first record: the run directory stands by then

    def record(values: dict[str, Any]) -> None:
        listeners.record(values)
        for name, value in values.items():
            if name not in ("step", "seconds"):
                writer().add_scalar(name, value, values["step"])
        writer().flush()

    return replace(listeners, record=record)


def _writer(folder: Path) -> "SummaryWriter":
    from torch.utils.tensorboard import SummaryWriter  # it imports tensorboard, which few runs want

    return SummaryWriter(str(folder))
