"""The batches of a run, made before it starts: a safetensors file, read when a step needs them.

buckets      int64 [batches]                  the bucket of each
<i>.<input>  [batches of bucket i, *shape]    in the order of the steps
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from torch import Tensor

Batch = tuple[int, Mapping[str, Tensor]]
"""The index of its bucket, and its graph inputs by name."""

_BUCKETS = "buckets"


def packed(batches: Iterable[Batch]) -> dict[str, Tensor]:
    """The tensors of the file."""
    chosen: list[int] = []
    rows: dict[str, list[Tensor]] = {}
    for bucket, inputs in batches:
        chosen.append(bucket)
        for name, tensor in inputs.items():
            rows.setdefault(f"{bucket}.{name}", []).append(tensor)
    return {_BUCKETS: torch.tensor(chosen), **{name: torch.stack(tensors) for name, tensors in rows.items()}}


class BatchFile:
    def __init__(self, file: Any) -> None:
        self._rows = {name: file.get_slice(name) for name in file.keys() if name != _BUCKETS}  # noqa: SIM118
        self._places: list[tuple[int, int]] = []
        counts: dict[int, int] = {}
        for bucket in file.get_tensor(_BUCKETS).tolist():
            row = counts.get(bucket, 0)
            self._places.append((bucket, row))
            counts[bucket] = row + 1

    def at(self, index: int) -> Batch:
        bucket, row = self._places[index]
        start = f"{bucket}."
        inputs = {n.removeprefix(start): rows[row] for n, rows in self._rows.items() if n.startswith(start)}
        return bucket, inputs


@contextmanager
def batch_file(path: str | Path) -> Iterator[BatchFile]:
    with safe_open(path, "pt") as file:
        yield BatchFile(file)
