"""Randomness as a function: every random number is drawn from a generator keyed by what it is for.

No draw depends on one made before it, so workers, restarts and devices cannot change any (promise 2). Philox takes 128 bits of
key; torch's CPU generator would use 32 bits of its seed, in which the steps of a long run would meet.
"""

import hashlib

import numpy as np


def generator(*key: int | str) -> np.random.Generator:
    """Return the generator of ``key``, such as ``("order", seed, epoch)``."""
    return np.random.Generator(np.random.Philox(key=int.from_bytes(_digest(*key)[:16], "little")))


def seed_of(*key: int | str) -> int:
    """Return 63 bits that depend on every part of ``key``, for what insists on a global seed."""
    return int.from_bytes(_digest(*key)[:8], "little") >> 1


def _digest(*key: int | str) -> bytes:
    return hashlib.sha256("/".join(map(str, key)).encode()).digest()
