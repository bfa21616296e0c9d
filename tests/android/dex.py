"""What a dex file declares and refers to, by dexdump's words."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

_CLASS = re.compile(r"  Class descriptor  : 'L(.+);'")
_PARENT = re.compile(r"  Superclass        : 'L(.+);'")
_INTERFACE = re.compile(r"    #\d+ +: 'L(.+);'")
_NAME = re.compile(r"      name          : '(.+)'")
_DESCRIPTOR = re.compile(r"      type          : '(.+)'")
_CODE = re.compile(r"[0-9a-f]{6}: .*\|[0-9a-f]{4}: (.*)")
_MEMBER = re.compile(r"(?:\{.*\}|v\d+)(?:, v\d+)?, (\[*L[^;]+;|\[+[A-Z])\.([^:]+):(\S+) // (?:method|field)@")
_STATIC_FIELD = re.compile(r"v\d+, L([^;]+);\.([^:]+):(\S+) // field@")
_TYPE = re.compile(r"\[*L([^;]+);(?: //.*)?$")
_REFERRING = ("invoke-", "iget", "iput", "sget", "sput")
_OF_TYPES = ("new-instance", "const-class", "check-cast", "instance-of", "new-array", "filled-new-array")


@dataclass(frozen=True)
class Reference:
    """To a member, or to a type where `name` is empty."""

    owner: str
    name: str = ""
    descriptor: str = ""

    def __str__(self) -> str:
        return f"{self.owner}.{self.name}{self.descriptor}" if self.name else self.owner


@dataclass
class Code:
    method: str
    """With its descriptor: check()V."""
    instructions: list[str] = field(default_factory=list)

    @property
    def references(self) -> Iterator[Reference]:
        for instruction in self.instructions:
            found = reference(instruction)
            if found is not None:
                yield found


@dataclass
class DexClass:
    name: str
    """app/Main$Inner, without L and semicolon."""
    parent: str = "java/lang/Object"
    interfaces: list[str] = field(default_factory=list)
    members: set[tuple[str, str]] = field(default_factory=set)
    methods: list[Code] = field(default_factory=list)

    def method(self, name: str) -> Code:
        """The only one of that name."""
        (found,) = [code for code in self.methods if code.method.partition("(")[0] == name]
        return found


def read(dex: Path) -> dict[str, DexClass]:
    """The classes by name."""
    done = subprocess.run(["dexdump", "-d", str(dex)], capture_output=True, text=True, check=True)
    classes: dict[str, DexClass] = {}
    current, name = DexClass(""), ""
    for line in done.stdout.splitlines():
        if match := _CLASS.match(line):
            current = classes.setdefault(match[1], DexClass(match[1]))
        elif match := _PARENT.match(line):
            current.parent = match[1]
        elif match := _INTERFACE.match(line):
            current.interfaces.append(match[1])
        elif match := _NAME.match(line):
            name = match[1]
        elif match := _DESCRIPTOR.match(line):
            current.members.add((name, match[1]))
            if match[1].startswith("("):
                current.methods.append(Code(name + match[1]))
        elif match := _CODE.match(line):
            current.methods[-1].instructions.append(match[1])
    return classes


def reference(instruction: str) -> Reference | None:
    """What an instruction refers to outside of its method, primitive types and their arrays apart."""
    operation, _, operands = instruction.partition(" ")
    if operation.startswith(_REFERRING):
        match = _MEMBER.match(operands) or _STATIC_FIELD.match(operands)
        if match is None:
            raise ValueError(f"dexdump's line is not understood: {instruction}")
        owner = match[1]
        # Arrays have the members of Object.
        return Reference(
            "java/lang/Object" if owner.startswith("[") else owner.strip("L;"), match[2], match[3]
        )
    if operation.startswith(_OF_TYPES):
        type_found = _TYPE.search(operands.partition(" // ")[0])
        return Reference(type_found[1]) if type_found else None
    return None
