"""What the demo runs on: a small chat data set that ships with the package."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from importlib.resources import as_file, files
from pathlib import Path

DATA = "demo_chat.jsonl"


@contextmanager
def demo_data() -> Iterator[Path]:
    """The JSONL as a file, however the package is installed."""
    with as_file(files("lowpeak") / DATA) as path:
        yield path
