"""The members of an uncompressed tar, by their headers alone: names, kinds and places. Written for archives of unknown origin.

POSIX ustar and pax, and what GNU tar adds: long names, sizes in base 256, sparse files. Nothing of a header is trusted: its checksum must
be right, its numbers be numbers, and no member reaches beyond the archive.
"""

import os
from collections.abc import Iterator, Mapping
from typing import NamedTuple

BLOCK = 512
MOST_SAID = 2**20
"""Bytes that a header may say of a name and the like; more is damage."""
AHEAD = 8 * BLOCK
"""Bytes read at once."""
_SEARCHED = 2**20
_ZEROS = bytes(BLOCK)
_REGULAR = (b"0", b"\0", b"7")


class Damaged(Exception):
    """What cannot be the header of a member. The message is the reason."""


class Member(NamedTuple):
    """A member, whatever it is."""

    name: bytes
    kind: bytes
    """Its type flag; ``0`` for a file, whichever of the three ways it is written."""
    sparse: bool
    """Whether holes were left out, so that its bytes are no file."""
    offset: int
    """Where in the archive its bytes begin."""
    size: int
    """Its bytes as the header says; 0 for what has none."""
    missing: int
    """Bytes of it that lie beyond the end of the archive."""
    first: bytes
    """Its first bytes, up to 512."""


def members(file: int, length: int) -> Iterator[Member]:
    """Yield the members of the archive open as ``file``, of ``length`` bytes, in their order; archives behind one another are one.

    Raises Damaged where there is no member, or no end, and OSError.
    """
    place, ended = 0, length == 0
    always: Mapping[bytes, bytes] = {}
    coming: dict[bytes, bytes] = {}
    window, begin = b"", 0
    while place < length:
        if not begin <= place <= begin + len(window) - 2 * BLOCK:  # labels and texts are short: the next header has often been read already
            window, begin = os.pread(file, AHEAD, place), place
        head, first = window[place - begin : place - begin + BLOCK], place - begin + BLOCK
        if not head.strip(b"\0"):
            place = _behind_zeros(file, place, length)
            ended = place == length
            continue
        _check(head)
        kind = head[156:157]
        size = _number(head[124:136])
        place += BLOCK
        if kind in b"xgLK":
            said = _said(file, place, size, length)
            place += -(-size // BLOCK) * BLOCK
            if kind == b"g":
                always = {**always, **_records(said)}
            elif kind == b"x":
                coming |= _records(said)
            elif kind == b"L":
                coming[b"path"] = said.partition(b"\0")[0]
            continue
        known = {**always, **coming}
        coming = {}
        size = 0 if kind in b"123456" else _decimal(known.get(b"size", b"")) or size
        sparse = kind == b"S" or any(key.startswith(b"GNU.sparse.") for key in known)
        place += _more_heads(file, place, length) if kind == b"S" and head[482] else 0
        name = known.get(b"path") or _name(head)
        missing = max(0, place + size - length)
        yield Member(name, b"0" if kind in _REGULAR else kind, sparse, place, size, missing, window[first : first + min(size, BLOCK)])
        place += -(-size // BLOCK) * BLOCK
        ended = missing > 0  # whoever is told of it is told of the archive's end
    if not ended:
        raise Damaged("truncated: without the zeros that end an archive")


def _check(head: bytes) -> None:
    if len(head) < BLOCK:
        raise Damaged(f"truncated: it ends after {len(head)} bytes of a header")
    said = head[148:156].strip(b" \0")
    if said.strip(b"01234567") or int(said or b"0", 8) != sum(head[:148]) + 8 * 32 + sum(head[156:]):
        raise Damaged("no header of a member")


def _number(field: bytes) -> int:
    """Return a number: octal digits, or the bytes themselves where the first bit is set."""
    if field[0] & 0x80:
        return int.from_bytes(bytes([field[0] & 0x7F]) + field[1:], "big")
    text = field.partition(b"\0")[0].strip(b" ")
    if text.strip(b"01234567"):
        raise Damaged(f"a header with {text!r} for a number")
    return int(text or b"0", 8)


def _decimal(text: bytes) -> int:
    if text and (not text.isdigit() or len(text) > 20):
        raise Damaged(f"a header with {text[:20]!r} for a number")
    return int(text or b"0")


def _name(head: bytes) -> bytes:
    name = head[:100].partition(b"\0")[0]
    before = head[345:500].partition(b"\0")[0] if head[257:263] == b"ustar\0" else b""  # GNU's own form has times there
    return before + b"/" + name if before else name


def _said(file: int, place: int, size: int, length: int) -> bytes:
    """Return what a header says of the next member, ``size`` bytes at ``place``."""
    if size > MOST_SAID:
        raise Damaged(f"a header of {size} bytes")
    said = os.pread(file, size, place)
    if len(said) < size:
        raise Damaged(f"truncated: {len(said)} of {size} bytes of a header are there")
    return said


def _records(said: bytes) -> dict[bytes, bytes]:
    """Return what pax records say: each is its own length, a space, key=value and a line's end."""
    found: dict[bytes, bytes] = {}
    while said.strip(b"\0"):
        digits = said.partition(b" ")[0]
        size = _decimal(digits[:21])
        record = said[len(digits) + 1 : size]
        if size <= len(digits) + 1 or size > len(said) or not record.endswith(b"\n"):
            raise Damaged("a pax header whose records do not fit")
        key, _, value = record[:-1].partition(b"=")
        found[key] = value
        said = said[size:]
    return found


def _more_heads(file: int, place: int, length: int) -> int:
    """Return the bytes of the headers that go on listing a sparse file's parts."""
    begin = place
    while place < length:
        head = os.pread(file, BLOCK, place)
        place += BLOCK
        if len(head) < BLOCK or not head[504]:
            break
    return place - begin


def _behind_zeros(file: int, place: int, length: int) -> int:
    """Return where the first block of more than zeros begins, or ``length``: zeros end an archive, but another one may follow."""
    while place < length:
        found = os.pread(file, _SEARCHED, place)
        rest = found.lstrip(b"\0")
        if rest:
            return place + (len(found) - len(rest)) // BLOCK * BLOCK
        place += max(len(found), 1)
    return length
