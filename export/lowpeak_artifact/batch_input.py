"""One tensor that a graph takes with every step, and what it may hold.

Kernels index with what they are given: an id without a row is read out of bounds by some of them, taken for
another row by others. So every tensor is checked here before any runtime sees it.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from lowpeak_artifact.errors import DataError


@dataclass(frozen=True)
class Ids:
    """What integers stand for that an operator indexes with: they are from `least` to `rows` - 1."""

    rows: int
    """Of the embedding, or classes of the loss."""
    ignored: int | None = None
    """One more value that is allowed, and means no label."""
    least: int = 0
    """Below 0 only for indexing in Python's manner, which counts from the end."""

    def both(self, other: Ids) -> Ids:
        """Of a tensor that is used in two places."""
        ignored = self.ignored if self.ignored == other.ignored else None
        return Ids(min(self.rows, other.rows), ignored, max(self.least, other.least))

    def require(self, name: str, values: Tensor) -> None:
        """Raises DataError naming the first of `values` that is none of these, and its place."""
        wrong = (values < self.least) | (values >= self.rows)
        if self.ignored is not None:
            wrong &= values != self.ignored
        if not bool(wrong.any()):
            return
        place = wrong.nonzero()[0].tolist()
        value = int(values[tuple(place)])
        alternative = "" if self.ignored is None else f", or {self.ignored} for no label"
        raise DataError(
            f"{name}{place} is {value}{_in_words(place)}, but there are {self.rows} rows for its values: "
            f"they must be from {self.least} to {self.rows - 1}{alternative}",
            id=value,
            rows=self.rows,
            **dict(zip(("example", "token"), place, strict=False)),
        )


@dataclass(frozen=True)
class BatchInput:
    """`dtype` as torch prints it without the prefix, e.g. float32."""

    name: str
    shape: list[int]
    dtype: str
    ids: Ids | None
    """None for what is not known to be indexed with."""

    def taken(self, tensor: Tensor) -> Tensor:
        """The tensor in the graph's dtype. Raises DataError for another shape, values that the dtype cannot
        hold, NaN, and ids without a row.
        """
        if list(tensor.shape) != self.shape:
            raise DataError(
                f"the artifact takes {self.name} of shape {tuple(self.shape)}, it is {tuple(tensor.shape)}"
            )
        values = converted(self.name, tensor, getattr(torch, self.dtype))
        if values.is_floating_point() and bool(values.isnan().any()):
            place = values.isnan().nonzero()[0].tolist()
            raise DataError(f"{self.name}{place} is NaN: the loss of the batch would be none")
        if self.ids is not None:
            self.ids.require(self.name, values)
        return values


def converted(name: str, tensor: Tensor, dtype: torch.dtype) -> Tensor:
    """The same numbers in `dtype`. Raises DataError when it cannot hold them."""
    if tensor.dtype == dtype:
        return tensor
    actual, wanted = (str(each).removeprefix("torch.") for each in (tensor.dtype, dtype))
    values = tensor.to(dtype)
    if (tensor.is_floating_point() and not dtype.is_floating_point) or not torch.equal(
        values.to(tensor.dtype), tensor
    ):
        raise DataError(f"{name} must be {wanted}, it is {actual} and would lose digits: convert it yourself")
    return values


def _in_words(place: list[int]) -> str:
    """Of what has the shape of a batch of sequences."""
    return f" (example {place[0]}, token {place[1]})" if len(place) == 2 else ""
