"""The offset problem (dynamic storage allocation) as plain values: which buffers are live when, how large
they are, and where they were placed.

    offset
      ^   +-----------------------------------+
      |   | adapter: the whole step           |    a buffer is a rectangle: its live range [lower, upper) is
      |   +-----------------------------------+    fixed, its offset is to be found. Two that overlap in time
      |   | checkpoint 0                |          may not overlap in bytes.
      |   +-----------------------------+---+
      |      | checkpoint 1       |  | grad 0 |    height = the largest offset + size
      |      +--------------------+--+--------+    lower bound = the most bytes live at any one step
      |          | mlp | | mlp backward |
      +----------+-----+-+--------------+-------> step

Rectangles read and write CSV with the header `id,lower,upper,size[,alignment][,offset]` of MiniMalloc
(Moffitt 2023, https://github.com/google/minimalloc), whose benchmark files can thus be solved here.

Input: a CSV file, or buffers. Output: a `MemoryProblem`, with a `MemorySolution` if the file has offsets.
Invariant: a buffer that can be constructed is well-formed, and int64 arithmetic on any problem is exact.
What it does not do: solve (memory.py) or check (validate.py).
"""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lowpeak_artifact.errors import DataError

_ALIASES = {"buffer_id": "id", "buffer": "id", "start": "lower", "end": "upper"}
_REQUIRED = ("id", "lower", "upper", "size")
_LIMIT = 2**62
"""Steps and summed bytes stay below this, so that int64 arithmetic on them is exact."""


@dataclass(frozen=True, slots=True)
class Buffer:
    """A block of bytes that is live in the steps lower <= step < upper.

    `size` and `alignment` are bytes; the offset must be a multiple of `alignment`. A buffer of size 0 takes
    no room. Raises ValueError for an empty live range, a negative size or an alignment below 1.
    """

    id: str
    lower: int
    upper: int
    size: int
    alignment: int = 1

    def __post_init__(self) -> None:
        if not -_LIMIT < self.lower < self.upper < _LIMIT:
            raise ValueError(
                f"buffer {self.id}: the live range [{self.lower}, {self.upper}) is empty or out of range"
            )
        if self.size < 0:
            raise ValueError(f"buffer {self.id}: size {self.size} is negative")
        if self.alignment < 1:
            raise ValueError(f"buffer {self.id}: alignment {self.alignment} is not positive")


@dataclass(frozen=True)
class MemoryProblem:
    """Buffers that share one arena.

    Raises ValueError when two buffers have the same id, or the sizes sum to more than int64 can hold.
    """

    buffers: tuple[Buffer, ...]

    def __post_init__(self) -> None:
        seen: set[str] = set()
        for buffer in self.buffers:
            if buffer.id in seen:
                raise ValueError(f"buffer id {buffer.id} occurs twice")
            seen.add(buffer.id)
        if sum(buffer.size + buffer.alignment for buffer in self.buffers) >= _LIMIT:
            raise ValueError("the sizes and alignments sum up to 2**62 bytes or more")

    def lower_bound(self) -> int:
        """Largest number of bytes live at one step: no placement has a smaller height."""
        lower, upper, size = (
            np.array([getattr(buffer, field) for buffer in self.buffers], dtype=np.int64)
            for field in ("lower", "upper", "size")
        )
        _, step = np.unique(np.concatenate([lower, upper]), return_inverse=True)
        change = np.zeros(step.size + 1, dtype=np.int64)
        np.add.at(change, step, np.concatenate([size, -size]))
        return int(np.cumsum(change).max())


@dataclass(frozen=True)
class MemorySolution:
    """Offsets in bytes, in the order of the problem's buffers; height and lower bound in bytes."""

    offsets: tuple[int, ...]
    height: int
    lower_bound: int


def read_csv(path: str | Path) -> tuple[MemoryProblem, MemorySolution | None]:
    """The problem in a CSV file, and its solution if the file has an `offset` column.

    Columns are identified by header name (`buffer_id`, `start`, `end` are accepted too); others are ignored.
    The solution is what the file states: it has not been validated. Raises DataError with file and line when
    the file cannot be read, a column is missing, or a row is not a buffer.
    """
    try:
        text = Path(path).read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: cannot be read: {error}") from error
    reader = csv.reader(text.splitlines())
    header = [_ALIASES.get(name.strip().lower(), name.strip().lower()) for name in next(reader, [])]
    missing = [name for name in _REQUIRED if name not in header]
    if missing or len(set(header)) < len(header):
        fault = f"column {missing[0]} is missing" if missing else "a column occurs twice"
        raise DataError(f"{path}:1: {fault}; the header is id,lower,upper,size[,alignment][,offset]", line=1)

    buffers: list[Buffer] = []
    offsets: list[int] = []
    lines: dict[str, int] = {}
    try:
        for row in reader:
            if not row:
                continue
            if len(row) != len(header):
                raise ValueError(f"{len(row)} fields, the header has {len(header)}")
            fields = dict(zip(header, row, strict=True))
            buffer = _buffer(fields)
            if buffer.id in lines:
                raise ValueError(f"buffer id {buffer.id} is already on line {lines[buffer.id]}")
            lines[buffer.id] = reader.line_num
            buffers.append(buffer)
            if "offset" in fields:
                offsets.append(_integer(fields, "offset"))
    except (ValueError, csv.Error) as error:
        raise DataError(f"{path}:{reader.line_num}: {error}", line=reader.line_num) from error
    try:
        problem = MemoryProblem(tuple(buffers))
    except ValueError as error:
        raise DataError(f"{path}: {error}") from error
    if "offset" not in header:
        return problem, None
    height = max((offset + buffer.size for offset, buffer in zip(offsets, buffers, strict=True)), default=0)
    return problem, MemorySolution(tuple(offsets), height, problem.lower_bound())


def write_csv(path: str | Path, problem: MemoryProblem, solution: MemorySolution | None = None) -> None:
    """Write `problem`, with the offset column if there is a solution. Raises OSError."""
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow([*_REQUIRED, "alignment", *(["offset"] if solution else [])])
        for index, buffer in enumerate(problem.buffers):
            row = [buffer.id, buffer.lower, buffer.upper, buffer.size, buffer.alignment]
            writer.writerow([*row, solution.offsets[index]] if solution else row)


def _buffer(fields: Mapping[str, str]) -> Buffer:
    lower, upper, size = (_integer(fields, name) for name in ("lower", "upper", "size"))
    return Buffer(fields["id"].strip(), lower, upper, size, _integer(fields, "alignment", default="1"))


def _integer(fields: Mapping[str, str], name: str, default: str = "") -> int:
    text = fields.get(name, default).strip()
    try:
        return int(text)
    except ValueError:
        raise ValueError(f"{name} is {text!r}, not an integer") from None
