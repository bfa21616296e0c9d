"""A JSONL file by the number of its examples: looked through once, then encoded as training comes to them.

What is held is where each line begins, 8 bytes a line; never a line or an example.
"""

from __future__ import annotations

import hashlib
import json
import os
from array import array
from collections.abc import Iterator, Sequence
from io import BufferedReader, FileIO
from pathlib import Path
from typing import Any

from transformers import PreTrainedTokenizerBase

from lowpeak_artifact.errors import DataError
from lowpeak_artifact.json_types import json_type
from lowpeak_artifact.regular_file import open_regular, read_into
from lowpeak_runtime.data.encode import Example, encode_many
from lowpeak_runtime.data.record import well_formed

_PIECE_BYTES = 1 << 20


class JsonlFile:
    """`sha256` is of the file's bytes. See lowpeak_runtime/data/data.py's Source."""

    def __init__(self, path: str | Path, tokenizer: PreTrainedTokenizerBase) -> None:
        """Looks through the whole file; blank lines are skipped.

        Raises DataError, with the line number in `numbers["line"]`, when the file cannot be read, or a line
        is no JSON object, not of the one kind that the file has, or not well formed.
        """
        if not tokenizer.is_fast:
            raise DataError(
                f"{type(tokenizer).__name__} does not say where in the text its tokens are: load a fast "
                "tokenizer"
            )
        self._path = path
        self._tokenizer = tokenizer
        self._starts = array("q")
        digest = hashlib.sha256()
        try:
            with _opened(path) as file:
                self._state = _state(file.fileno())
                for start in _checked_lines(path, file, digest.update):
                    self._starts.append(start)
        except OSError as error:
            raise _unreadable(path, error) from error
        if not self._starts:
            raise DataError(f"{path} is empty: it needs one JSON object a line")
        self.sha256 = digest.hexdigest()
        self._starts.append(self._state[-1])

    def __len__(self) -> int:
        return len(self._starts) - 1

    def examples(self, numbers: Sequence[int]) -> list[Example | DataError]:
        """The examples of these numbers, from 0; the error of one that cannot be trained on in its place.

        Raises DataError when the file is not what it was.
        """
        try:
            with _opened(self._path) as file:
                if _state(file.fileno()) != self._state:
                    raise DataError(f"{self._path} was changed since training began: train on a copy")
                lines = [self._line(file.fileno(), number) for number in numbers]
        except OSError as error:
            raise _unreadable(self._path, error) from error
        outcomes = encode_many([_parse(line) for line in lines], self._tokenizer)
        return [self._checked(number, outcome) for number, outcome in zip(numbers, outcomes, strict=True)]

    def _line(self, descriptor: int, number: int) -> bytes:
        start, end = self._starts[number : number + 2]
        line = bytearray(end - start)
        read_into(descriptor, start, memoryview(line))
        return bytes(line)

    def _checked(self, number: int, outcome: Example | DataError) -> Example | DataError:
        if isinstance(outcome, Example):
            if outcome.trainable_tokens:
                return outcome
            outcome = DataError("has no token to train on: no assistant turn, or an empty completion")
        numbers = {**outcome.numbers, "line": self._line_number(number)}
        return DataError(f"{self.place(number)}: {outcome}", **numbers)

    def place(self, number: int) -> str:
        return f"{self._path}, line {self._line_number(number)}"

    def _line_number(self, number: int) -> int:
        """From 1, blank lines included."""
        left, line = self._starts[number], 1
        with _opened(self._path) as file:
            while piece := file.read(min(left, _PIECE_BYTES)):
                left -= len(piece)
                line += piece.count(b"\n")
        return line


def _opened(path: str | Path) -> BufferedReader[FileIO]:
    return BufferedReader(open_regular(Path(path)))


def read_jsonl(path: str | Path, tokenizer: PreTrainedTokenizerBase) -> list[Example]:
    """Every example of a file that is small enough for that. Raises DataError as JsonlFile, and for a line
    that has nothing to train on.
    """
    file = JsonlFile(path, tokenizer)
    examples = []
    for outcome in file.examples(range(len(file))):
        if isinstance(outcome, DataError):
            raise outcome
        examples.append(outcome)
    return examples


def _checked_lines(path: str | Path, lines: Iterator[bytes], read: Any) -> Iterator[int]:
    """Where each line begins that is not blank; `read` is told all lines."""
    first: tuple[int, str] | None = None
    start = 0
    for number, line in enumerate(lines, start=1):
        read(line)
        if line.strip():
            try:
                kind = _kind(_parse(line))
                if first is None:
                    first = number, kind
                elif kind != first[1]:
                    raise DataError(f"has {kind}, but line {first[0]} has {first[1]}: split the file")
            except DataError as error:
                raise DataError(f"{path}, line {number}: {error}", line=number) from error
            yield start
        start += len(line)


def _kind(record: dict[str, Any]) -> str:
    try:
        return well_formed(record)
    except RecursionError as error:
        raise DataError("is nested too deeply") from error


def _parse(line: bytes) -> dict[str, Any]:
    try:
        record = json.loads(line.decode("utf-8-sig").strip())
    except json.JSONDecodeError as error:
        raise DataError(f"is not JSON: {error.msg} at column {error.colno}") from error
    except UnicodeDecodeError as error:
        raise DataError(f"is not UTF-8: byte {error.start + 1} is {line[error.start]:#04x}") from error
    except RecursionError as error:
        raise DataError("is nested too deeply") from error
    except ValueError as error:
        raise DataError(f"has a value that cannot be read: {error}") from error
    if not isinstance(record, dict):
        raise DataError(f"is {json_type(record)}, not an object")
    return record


def _state(descriptor: int) -> tuple[int, ...]:
    """Changes when the file does. Its size is the last."""
    status = os.fstat(descriptor)
    return status.st_dev, status.st_ino, status.st_mtime_ns, status.st_size


def _unreadable(path: str | Path, error: OSError) -> DataError:
    return DataError(f"{path} cannot be read: {error.strerror or error}")
