"""Where the numbers of an ExecuTorch program lie in its file, by what they mean: schema/program.fbs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

from flatbuffers.encode import Get
from flatbuffers.number_types import UOffsetTFlags
from flatbuffers.table import Table

KERNEL_TYPES = (
    "none",
    "null",
    "int",
    "bool",
    "double",
    "tensor",
    "string",
    "ints",
    "doubles",
    "bools",
    "tensors",
)


@dataclass(frozen=True)
class Place:
    start: int
    width: int
    kind: str


@lru_cache(maxsize=8)
def places_of(data: bytes) -> list[Place]:
    """Of a whole program."""
    program = Table(data, Get(UOffsetTFlags.packer_type, data, 0))
    return list(_program(program))


def _field(table: Table, number: int) -> int | None:
    offset = table.Offset(4 + 2 * number)
    return table.Pos + offset if offset else None


def _scalar(table: Table, number: int, width: int, kind: str) -> Iterator[Place]:
    start = _field(table, number)
    if start is not None:
        yield Place(start, width, kind)


def _numbers(table: Table, number: int, width: int, kind: str) -> Iterator[Place]:
    offset = table.Offset(4 + 2 * number)
    if offset:
        start = table.Vector(offset)
        yield Place(start - 4, 4, "size of a list")
        for index in range(table.VectorLen(offset)):
            yield Place(start + index * width, width, kind)


def _tables(table: Table, number: int) -> Iterator[Table]:
    offset = table.Offset(4 + 2 * number)
    if offset:
        start = table.Vector(offset)
        for index in range(table.VectorLen(offset)):
            yield Table(table.Bytes, table.Indirect(start + 4 * index))


def _table(table: Table, number: int) -> Iterator[Table]:
    offset = table.Offset(4 + 2 * number)
    if offset:
        yield Table(table.Bytes, table.Indirect(table.Pos + offset))


def _program(program: Table) -> Iterator[Place]:
    for start in (0, 12, 16, 20, 24, 32):
        yield Place(start, 4, "header")
    for segment in _tables(program, 4):
        yield from _scalar(segment, 0, 8, "segment")
        yield from _scalar(segment, 1, 8, "segment")
    for stored in [*_table(program, 5), *_tables(program, 6)]:
        yield from _scalar(stored, 0, 4, "segment's number")
        yield from _numbers(stored, 1, 8, "place in a segment")
    for plan in _tables(program, 1):
        yield from _numbers(plan, 3, 4, "input")
        yield from _numbers(plan, 4, 4, "output")
        yield from _numbers(plan, 8, 8, "buffer")
        for value in _tables(plan, 2):
            yield from _value(value)
        for chain in _tables(plan, 5):
            for instruction in _tables(chain, 2):
                yield from _scalar(instruction, 0, 1, "kind of an instruction")
                for call in _table(instruction, 1):
                    yield from _scalar(call, 0, 4, "operator")
                    yield from _numbers(call, 1, 4, "argument")


def _value(value: Table) -> Iterator[Place]:
    yield from _scalar(value, 0, 1, "kind of a value")
    start = _field(value, 0)
    kind = value.Bytes[start] if start is not None else 0
    name = KERNEL_TYPES[kind] if kind < len(KERNEL_TYPES) else "none"
    for content in _table(value, 1):
        if name in ("int", "double"):
            yield from _scalar(content, 0, 8, name)
        elif name == "bool":
            yield from _scalar(content, 0, 1, name)
        elif name in ("ints", "doubles"):
            yield from _numbers(content, 0, 8, name)
        elif name == "tensors":
            yield from _numbers(content, 0, 4, name)
        elif name == "tensor":
            yield from _tensor(content)


def _tensor(tensor: Table) -> Iterator[Place]:
    yield from _scalar(tensor, 0, 1, "type")
    yield from _numbers(tensor, 2, 4, "tensor's size")
    yield from _numbers(tensor, 3, 1, "order of axes")
    yield from _scalar(tensor, 5, 4, "constant")
    for allocation in _table(tensor, 6):
        yield from _scalar(allocation, 0, 4, "memory")
        yield from _scalar(allocation, 1, 4, "offset")
    for extra in _table(tensor, 9):
        yield from _scalar(extra, 2, 1, "location")
