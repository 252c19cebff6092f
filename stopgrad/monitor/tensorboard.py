"""TensorBoard as a listener: the records of metrics.jsonl as scalars. Optional group ``tensorboard``."""

from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from stopgrad.errors import UserError
from stopgrad.monitor.journal import Listeners


def with_tensorboard(listeners: Listeners, folder: Path) -> Listeners:
    """Return ``listeners`` that also write every record to event files in ``folder``. Raises UserError when TensorBoard is not installed."""
    if find_spec("tensorboard") is None:
        raise UserError("--tensorboard: TensorBoard is not installed; pip install 'stopgrad[tensorboard]'")
    from torch.utils.tensorboard import SummaryWriter  # it imports tensorboard, which few runs want

    writer = SummaryWriter(str(folder))

    def record(values: dict[str, Any]) -> None:
        listeners.record(values)
        for name, value in values.items():
            if name not in ("step", "seconds"):
                writer.add_scalar(name, value, values["step"])
        writer.flush()

    return replace(listeners, record=record)
