"""The attention kernels called from torch tensors, by ctypes."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor

from tests.native.linear import library


def _pointer(tensor: Tensor) -> ctypes.c_void_p:
    assert tensor.dtype == torch.float32 and tensor.stride(-1) == 1
    return ctypes.c_void_p(tensor.data_ptr())


def _integers(values: list[int]) -> ctypes.Array[ctypes.c_int64]:
    return (ctypes.c_int64 * len(values))(*values)


def _strides(*tensors: Tensor) -> list[int]:
    """Token and head stride of [heads, tokens, dim] each; the head stride of [heads, tokens]."""
    return [stride for tensor in tensors for stride in reversed(tensor.stride()[:-1])]


@dataclass(frozen=True)
class Attention:
    """Attention of one sequence; the queries it is given are those from token `begin` on.

    All tensors are [heads, tokens, dim] views of any strides with a contiguous dim; outputs are written into.
    """

    workers: int
    isa: int
    scale: float
    threads: ctypes.c_void_p

    def _shape(self, query: Tensor, key: Tensor, begin: int) -> ctypes.Array[ctypes.c_int64]:
        heads, tokens, dim = query.shape
        return _integers([heads, key.shape[0], dim, begin, begin + tokens])

    def scratch(self, direction: str, query: Tensor, key: Tensor, begin: int = 0) -> Tensor:
        """The scratch of a call, filled with NaN."""
        measure = getattr(library(), f"lowpeak_attention_{direction}_scratch_bytes")
        measure.restype = ctypes.c_int64
        size = measure(self._shape(query, key, begin), self.workers, self.isa)
        return torch.full((size // 4,), torch.nan)

    def forward(
        self, query: Tensor, key: Tensor, value: Tensor, out: Tensor, logsumexp: Tensor, scratch: Tensor,
        begin: int = 0,
    ) -> None:  # fmt: skip
        tensors = (query, key, value, out, logsumexp)
        library().lowpeak_attention_forward(
            *map(_pointer, tensors),
            _integers(_strides(*tensors)),
            self._shape(query, key, begin),
            ctypes.c_float(self.scale),
            self.threads,
            _pointer(scratch),
            self.isa,
        )

    def backward(
        self, inputs: tuple[Tensor, ...], gradients: tuple[Tensor, ...], scratch: Tensor, begin: int = 0,
        written: int = 0,
    ) -> None:  # fmt: skip
        """inputs: grad, query, key, value, out, logsumexp; gradients: of query, key and value."""
        tensors = (*inputs, *gradients)
        library().lowpeak_attention_backward(
            *map(_pointer, tensors),
            _integers(_strides(*tensors)),
            self._shape(inputs[1], inputs[2], begin),
            ctypes.c_int64(written),
            ctypes.c_float(self.scale),
            self.threads,
            _pointer(scratch),
            self.isa,
        )


@contextmanager
def attention(workers: int, isa: int, scale: float) -> Iterator[Attention]:
    """Attention on threads that live as long as the context."""
    threads = ctypes.c_void_p(library().lowpeak_threads_create(workers))
    try:
        yield Attention(workers, isa, scale, threads)
    finally:
        library().lowpeak_threads_destroy(threads)
