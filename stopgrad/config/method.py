"""What the settings of every method have in common, and the checks that they share."""

from dataclasses import dataclass
from typing import ClassVar, Literal

Sign = Literal["alike", "stuck", "leaking"]
"""How a collapse shows."""


@dataclass(frozen=True, kw_only=True)
class MethodConfig:
    """What the settings of every method have."""

    name: ClassVar[str]
    views: ClassVar[int | None] = 2
    """Views of an image that the method takes; None: it says in ``problems``."""
    needs_labels: ClassVar[bool] = False
    keys_in_queue: ClassVar[bool] = False
    """Whether positives are told from keys of other batches only: BN statistics may then give them away."""
    joins_views: ClassVar[bool] = False
    """Whether views pass the backbone together, which BN over parts of the batch would cut."""

    @property
    def pairs(self) -> int:
        """How often the views are drawn of an image in a step."""
        return 1

    @property
    def negatives(self) -> bool:
        """Whether other images are pushed away."""
        return False

    @property
    def one_part(self) -> bool:
        """Whether the loss is over the whole batch (negatives, codes, targets), which accumulated parts would change."""
        return False

    @property
    def slow_copy(self) -> bool:
        """Whether a slowly following copy (momentum encoder) makes the targets."""
        return False

    @property
    def width(self) -> int | None:
        """d, the width of the outputs that the monitor watches; None: there are none, or they are the backbone's own."""
        widths: tuple[int, ...] = getattr(self, "projector", ())
        return widths[-1] if widths else None

    @property
    def centred(self) -> bool:
        """Whether BN ends the projector: outputs then have mean 0 over the batch."""
        return False

    @property
    def lowest_loss(self) -> float | None:
        """The loss when the views of every image agree fully; None where that says nothing."""
        return None

    def problems(self, views: int, epochs: int) -> list[str]:
        """Return contradictions, one line each, naming the field."""
        return [] if self.views in (None, views) else [f"views: {self.name} takes {self.views}, not {views}"]

    def suspects(self, sign: Sign) -> list[str]:
        """Return why these settings would show this sign of collapse and what to try, where that is known.

        alike: the outputs are nearly equal; stuck: the loss stays at chance; leaking: the task is solved without looking at the image.
        """
        return []


def wrong_heads(projector: tuple[int, ...], hidden: int | None = None, least: int = 1) -> list[str]:
    """Return what is wrong with the widths of projector and predictor; ``least``: layers that the projector must have."""
    right = len(projector) >= least and all(width >= 1 for width in projector)
    found = [] if right else [f"method.projector: {'none, or layers' if least == 0 else 'at least one layer,'} of a width of at least 1 each"]
    return found if hidden is None or hidden >= 1 else [*found, f"method.predictor_hidden: at least 1, not {hidden}"]


def wrong_share(field: str, value: float | None) -> list[str]:
    """Return a line when ``value`` is neither None nor from 0 to 1."""
    return [] if value is None or 0 <= value <= 1 else [f"{field}: from 0 to 1, not {value}"]


def wrong_temperature(value: float) -> list[str]:
    """Return a line when a temperature is not above 0."""
    return [] if value > 0 else [f"method.temperature: above 0, not {value}"]


def too_few(field: str, value: int, least: int = 0) -> list[str]:
    """Return a line when a number is below ``least``."""
    return [] if value >= least else [f"{field}: at least {least}, not {value}"]
