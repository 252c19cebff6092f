"""The table of the methods: their names and the classes of their settings, one frozen class a method.

They stand apart from the methods themselves because reading a configuration must not cost an import of torch. The name of a method is
that of its files: ``methods/NAME.py`` and ``recipes/NAME.py``. ``problems()`` lists contradictions, ``suspects()`` what in the settings is
known to end in collapse and what to try instead: the monitor quotes it.
"""

from dataclasses import dataclass
from typing import ClassVar

from stopgrad.config.contrastive import MoCoConfig, SimCLRConfig, SupConConfig
from stopgrad.config.method import MethodConfig, wrong_share
from stopgrad.config.siamese import BYOLConfig, EMConfig, SimSiamConfig, SwAVConfig


@dataclass(frozen=True, kw_only=True)
class SupervisedConfig(MethodConfig):
    """Supervised cross-entropy: the baseline that sees the labels. Needs labels."""

    name: ClassVar[str] = "supervised"
    views: ClassVar[int | None] = 1
    needs_labels: ClassVar[bool] = True

    smoothing: float
    """Label smoothing: the share of the target spread over all classes (BYOL's strong baseline: 0.1)."""

    def problems(self, views: int, epochs: int) -> list[str]:
        return super().problems(views, epochs) + wrong_share("method.smoothing", self.smoothing)


CONFIGS: tuple[type[MethodConfig], ...] = (
    SimSiamConfig,
    EMConfig,
    SimCLRConfig,
    MoCoConfig,
    BYOLConfig,
    SwAVConfig,
    SupConConfig,
    SupervisedConfig,
)
METHODS: dict[str, type[MethodConfig]] = {config.name: config for config in CONFIGS}
