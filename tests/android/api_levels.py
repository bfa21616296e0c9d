"""The API level that brought a member of the framework, by the database that D8 carries.

It is two arrays, hashes of references and levels, in Java's serialization. The hashes are those of D8's own
values: of a text, its length * 7 + the hash of its bytes and a zero; of a type, its descriptor's; of a field,
holder + type * 7 + name * 31; of a method, holder * 7 + prototype * 29 + name * 31; of a prototype,
shorty * 7 + returned type * 13 + parameters * 31.
"""

from __future__ import annotations

import re
import struct
import zipfile
from collections.abc import Iterable
from pathlib import Path

_DESCRIPTOR = re.compile(r"\[*(?:L[^;]+;|[ZBCSIJFDV])")
_MASK = 0xFFFFFFFF
_AMBIGUOUS = -1


class ApiLevels:
    """Of Android's types and members, java.* included."""

    def __init__(self, d8: Path) -> None:
        with zipfile.ZipFile(d8) as jar:
            hashes = _array(jar.read("api_database/api_database_hash_lookup.ser"), "i")
            levels = _array(jar.read("api_database/api_database_api_level.ser"), "b")
        self._levels = dict(zip(hashes, levels, strict=True))

    @property
    def newest(self) -> int:
        return max(self._levels.values())

    def type(self, name: str) -> int | None:
        """`name`: android/app/Activity. None where it is not known, or its hash is another's, too."""
        return self._level(_text(f"L{name};"))

    def member(self, owner: str, name: str, descriptor: str) -> int | None:
        """As `type`; of the very type that declares or inherits it."""
        holder, called = _text(f"L{owner};"), _text(name)
        if not descriptor.startswith("("):
            return self._level(holder + _text(descriptor) * 7 + called * 31)
        *parameters, returned = _DESCRIPTOR.findall(descriptor)
        shorty = "".join("L" if one[0] in "L[" else one for one in (returned, *parameters))
        prototype = _text(shorty) * 7 + _text(returned) * 13 + _bytes(map(_text, parameters)) * 31
        return self._level(holder * 7 + prototype * 29 + called * 31)

    def _level(self, value: int) -> int | None:
        value &= _MASK
        level = self._levels.get(value - (1 << 32) if value >> 31 else value)
        return None if level == _AMBIGUOUS else level


def _array(data: bytes, item: str) -> tuple[int, ...]:
    # After the class: end of its data, no superclass, count, items.
    start = data.index(b"xp") + 2
    (count,) = struct.unpack_from(">i", data, start)
    return struct.unpack_from(f">{count}{item}", data, start + 4)


def _text(text: str) -> int:
    return len(text) * 7 + _bytes(text.encode() + b"\0")


def _bytes(values: Iterable[int]) -> int:
    """java.util.Arrays.hashCode."""
    made = 1
    for value in values:
        made = (31 * made + value) & _MASK
    return made
