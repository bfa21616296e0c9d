"""A framework jar to compile against, out of signature files.

Its class files have no code, like those of the JDK's own ct.sym: compilers and D8 read
declarations only. Nothing can be run with them.
"""

from __future__ import annotations

import re
import struct
import zipfile
from collections.abc import Iterable
from pathlib import Path

from tests.android.signatures import Member, Type

JAVA_8 = 52
_FLAGS = {
    "public": 0x0001, "private": 0x0002, "protected": 0x0004, "static": 0x0008, "final": 0x0010,
    "volatile": 0x0040, "transient": 0x0080, "abstract": 0x0400,
}  # fmt: skip
_SUPER, _VARARGS, _INTERFACE, _ANNOTATION, _ENUM = 0x0020, 0x0080, 0x0200, 0x2000, 0x4000


def write_jar(types: Iterable[Type], jar: Path) -> None:
    """Writes all of the types; those of java.* and javax.* are the JDK's."""
    listed = [one for one in types if not one.name.startswith(("java/", "javax/"))]
    nested: dict[str, list[Type]] = {}
    for one in listed:
        if one.outer:
            nested.setdefault(one.outer, []).append(one)
    with zipfile.ZipFile(jar, "w") as archive:
        for one in listed:
            archive.writestr(f"{one.name}.class", _class_file(one, nested))


class _Constants:
    """A class file's constant pool."""

    def __init__(self) -> None:
        self.data = b""
        self.count = 1
        self._known: dict[bytes, int] = {}

    def _add(self, entry: bytes, slots: int = 1) -> int:
        if entry not in self._known:
            self._known[entry] = self.count
            self.data += entry
            self.count += slots
        return self._known[entry]

    def text(self, text: str) -> int:
        encoded = text.encode("utf-16", "surrogatepass").decode("utf-16").encode().replace(b"\0", b"\xc0\x80")
        return self._add(struct.pack(">BH", 1, len(encoded)) + encoded)

    def type(self, name: str) -> int:
        return self._add(struct.pack(">BH", 7, self.text(name)))

    def value(self, descriptor: str, written: str) -> int:
        """A constant of a field, as a signature file writes it."""
        if descriptor == "Ljava/lang/String;":
            text = written[1:-1].encode().decode("unicode_escape")
            return self._add(struct.pack(">BH", 8, self.text(text)))
        if descriptor == "J":
            return self._add(struct.pack(">Bq", 5, int(written.rstrip("L"))), 2)
        if descriptor in "FD":
            number = _number(written)
            if descriptor == "F":
                return self._add(struct.pack(">Bf", 4, number))
            return self._add(struct.pack(">Bd", 6, number), 2)
        integer = {"true": 1, "false": 0}.get(written)
        return self._add(struct.pack(">Bi", 3, int(written) if integer is None else integer))


def _number(written: str) -> float:
    """A float's or double's constant; infinities and NaN are quotients of zeros and ones."""
    quotient = re.fullmatch(r"\((-?)([01])\.0f?/0\.0f?\)", written)
    if quotient is None:
        return float(written.rstrip("fFdD"))
    return float("nan") if quotient[2] == "0" else float(f"{quotient[1]}inf")


def _class_file(described: Type, nested: dict[str, list[Type]]) -> bytes:
    constants = _Constants()
    fields = [_member(one, described, constants) for one in described.members if one.is_field]
    methods = [_member(one, described, constants) for one in described.members if not one.is_field]
    flags = _type_flags(described) & ~(_FLAGS["static"] | _FLAGS["protected"])
    header = struct.pack(
        f">HHHH{len(described.interfaces)}H",
        flags if described.kind in ("interface", "@interface") else flags | _SUPER,
        constants.type(described.name),
        constants.type(described.parent),
        len(described.interfaces),
        *map(constants.type, described.interfaces),
    )
    attributes = [_attribute("Signature", struct.pack(">H", constants.text(described.signature)), constants)]
    inner = [described] * bool(described.outer) + nested.get(described.name, [])
    if inner:
        entries = [
            struct.pack(
                ">HHHH",
                constants.type(one.name),
                constants.type(one.outer or ""),
                constants.text(one.name.rpartition("$")[2]),
                _type_flags(one),
            )
            for one in inner
        ]
        attributes.append(_attribute("InnerClasses", _table(entries), constants))
    body = header + _table(fields) + _table(methods) + _table(attributes)
    return struct.pack(">IHHH", 0xCAFEBABE, 0, JAVA_8, constants.count) + constants.data + body


def _type_flags(one: Type) -> int:
    flags = sum(_FLAGS.get(name, 0) for name in one.modifiers)
    if one.kind in ("interface", "@interface"):
        flags |= _INTERFACE | _FLAGS["abstract"]
    return flags | {"enum": _ENUM, "@interface": _ANNOTATION}.get(one.kind, 0)


def _member(one: Member, owner: Type, constants: _Constants) -> bytes:
    flags = sum(_FLAGS.get(name, 0) for name in one.modifiers)
    attributes = []
    if one.is_field:
        if owner.kind == "enum" and one.descriptor == f"L{owner.name};":
            flags |= _ENUM
        if one.value is not None:
            index = constants.value(one.descriptor, one.value)
            attributes.append(_attribute("ConstantValue", struct.pack(">H", index), constants))
    else:
        in_interface = owner.kind in ("interface", "@interface")
        if in_interface and not one.modifiers & {"default", "static"}:
            flags |= _FLAGS["abstract"]
        if one.varargs:
            flags |= _VARARGS
        if one.throws:
            thrown = [struct.pack(">H", constants.type(name)) for name in one.throws]
            attributes.append(_attribute("Exceptions", _table(thrown), constants))
    if one.signature != one.descriptor:
        signature = struct.pack(">H", constants.text(one.signature))
        attributes.append(_attribute("Signature", signature, constants))
    head = struct.pack(">HHH", flags, constants.text(one.name), constants.text(one.descriptor))
    return head + _table(attributes)


def _attribute(name: str, body: bytes, constants: _Constants) -> bytes:
    return struct.pack(">HI", constants.text(name), len(body)) + body


def _table(entries: list[bytes]) -> bytes:
    return struct.pack(">H", len(entries)) + b"".join(entries)
