"""Which of how many processes this is, as torchrun's environment says. Imports no torch."""

import os
from dataclasses import dataclass


@dataclass(frozen=True)
class World:
    """This process among all that train together."""

    rank: int = 0
    size: int = 1
    local_rank: int = 0
    local_size: int = 1
    """Processes on this machine."""

    @property
    def first(self) -> bool:
        """Whether this process writes the files and speaks to the user."""
        return self.rank == 0


def world() -> World:
    """Return the place of this process: RANK, WORLD_SIZE, LOCAL_RANK and LOCAL_WORLD_SIZE; alone without them."""
    rank, size, local_rank, local_size = (
        int(os.environ.get(name, default)) for name, default in (("RANK", 0), ("WORLD_SIZE", 1), ("LOCAL_RANK", 0), ("LOCAL_WORLD_SIZE", 1))
    )
    return World(rank, size, local_rank, local_size)
