"""What is wrong with one file, in a few words, and whether somebody writes to a folder. Without torch."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from lowpeak_artifact.digest import digest_of
from lowpeak_artifact.regular_file import open_regular
from lowpeak_artifact.safetensors_header import Damaged, read_header

_MOST_JSON_BYTES = 1 << 24


def problem_of(check: Callable[[Path], object], path: Path) -> str | None:
    """None if nothing is wrong. `check` raises Damaged, OSError."""
    try:
        check(path)
    except Damaged as error:
        return str(error)
    except OSError as error:
        return f"it cannot be read: {error.strerror}"
    return None


def read_json(path: Path) -> dict[str, Any]:
    """Raises Damaged, OSError."""
    try:
        with open_regular(path) as file:
            content = file.read(_MOST_JSON_BYTES + 1)
        if len(content) > _MOST_JSON_BYTES:
            raise Damaged(f"it has over {_MOST_JSON_BYTES} bytes")
        value = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise Damaged(f"it is no JSON: {error}") from error
    if not isinstance(value, dict):
        raise Damaged("it is no JSON object")
    return value


def check_tensors(path: Path) -> None:
    """The form of a safetensors file, whose values have no checksum. Raises Damaged, OSError."""
    with open_regular(path) as file:
        read_header(file)


def check_listed(path: Path, record: object) -> None:
    """Against what a manifest says of the file. Raises Damaged, OSError."""
    if not isinstance(record, dict) or not isinstance(record.get("sha256"), str):
        raise Damaged("the manifest does not say what it should be")
    if path.is_symlink():
        raise Damaged(f"it is a link to {os.readlink(path)}; links are not followed")
    with open_regular(path) as file:
        size = os.fstat(file.fileno()).st_size
        if size != record.get("bytes"):
            raise Damaged(f"it has {size} bytes, it should have {record.get('bytes')}")
        actual = digest_of(file)
    if actual != record["sha256"]:
        raise Damaged(f"its sha256 is {actual[:12]}..., it should be {record['sha256'][:12]}...")


@contextlib.contextmanager
def locked(folder: Path, hold: bool) -> Iterator[bool]:
    """Whether a run trains in the folder. `hold`: none begins meanwhile."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(descriptor, (fcntl.LOCK_EX if hold else fcntl.LOCK_SH) | fcntl.LOCK_NB)
            in_use = False
        except BlockingIOError:
            in_use = True
        if not hold:
            # What is only looked at must not keep a run from its beginning.
            fcntl.flock(descriptor, fcntl.LOCK_UN)
        yield in_use
    finally:
        os.close(descriptor)
