"""native/kernels/linear/linear.h by torch tensors, over ctypes."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager
from ctypes import c_float, c_int, c_int64, c_void_p

import torch
from torch import Tensor

from lowpeak_artifact.quantized import QuantizedTensor
from tests.native.build import load

GENERIC, AVX2, NEON, AVX512 = range(4)

WEIGHT_ARGUMENTS = [c_void_p, c_void_p, c_void_p, c_int64, c_int64, c_int64, c_int, c_int]
_DENSE = [c_void_p, c_int64, c_int64, c_int64]
_SIGNATURES: dict[str, tuple[object, list[object]]] = {
    "lowpeak_has_isa": (c_int, [c_int]),
    "lowpeak_best_isa": (c_int, []),
    "lowpeak_threads_create": (c_void_p, [c_int]),
    "lowpeak_threads_destroy": (None, [c_void_p]),
    "lowpeak_matmul_scratch_bytes": (c_int64, [c_int]),
    "lowpeak_linear_forward": (
        None,
        [
            c_void_p,
            c_int64,
            c_int64,
            *WEIGHT_ARGUMENTS,
            c_void_p,
            c_void_p,
            c_int64,
            c_int,
            c_void_p,
            c_void_p,
            c_int,
        ],
    ),
    "lowpeak_linear_input_gradient": (
        None,
        [c_void_p, c_int64, c_int64, *WEIGHT_ARGUMENTS, c_void_p, c_int64, c_int, c_void_p, c_void_p, c_int],
    ),
    "lowpeak_matmul": (
        None,
        [*_DENSE, c_int, *_DENSE, c_int, c_float, *_DENSE, c_int, c_void_p, c_void_p, c_int],
    ),
    "lowpeak_gather_rows": (None, [*WEIGHT_ARGUMENTS, c_void_p, c_int64, c_void_p, c_int64, c_void_p, c_int]),
}


def library() -> ctypes.CDLL:
    """The C API with its signatures declared."""
    found = load()
    for name, (result, arguments) in _SIGNATURES.items():
        function = getattr(found, name)
        function.restype, function.argtypes = result, arguments
    return found


def available_isas() -> list[int]:
    """What this processor runs; GENERIC always."""
    return [isa for isa in (GENERIC, AVX2, NEON, AVX512) if library().lowpeak_has_isa(isa)]


class Linear:
    """The products, with threads, an instruction set and a scratch of the size that they ask for."""

    def __init__(self, workers: int, isa: int) -> None:
        self._library = library()
        self._isa = isa
        self._threads = self._library.lowpeak_threads_create(workers)
        self.scratch_bytes: int = self._library.lowpeak_matmul_scratch_bytes(workers)
        # NaN: whatever is read before it was written shows in a result.
        self._scratch = torch.full((self.scratch_bytes // 4,), float("nan"))

    def close(self) -> None:
        """Ends the threads."""
        self._library.lowpeak_threads_destroy(self._threads)

    def forward(
        self, x: Tensor, weight: QuantizedTensor, bias: Tensor | None, y: Tensor, accumulate: bool
    ) -> None:
        """y (+)= x @ weight^T + bias; rows of x and y may lie apart."""
        self._library.lowpeak_linear_forward(
            x.data_ptr(), x.stride(0), len(x), *weight_arguments(weight),
            None if bias is None else bias.data_ptr(),
            y.data_ptr(), y.stride(0), accumulate, self._threads, self._scratch.data_ptr(), self._isa,
        )  # fmt: skip

    def input_gradient(self, dy: Tensor, weight: QuantizedTensor, dx: Tensor, accumulate: bool) -> None:
        """dx (+)= dy @ weight."""
        self._library.lowpeak_linear_input_gradient(
            dy.data_ptr(), dy.stride(0), len(dy), *weight_arguments(weight),
            dx.data_ptr(), dx.stride(0), accumulate, self._threads, self._scratch.data_ptr(), self._isa,
        )  # fmt: skip

    def matmul(
        self,
        a: Tensor,
        a_transposed: bool,
        b: Tensor,
        b_transposed: bool,
        alpha: float,
        c: Tensor,
        accumulate: bool,
    ) -> None:
        """c (+)= alpha * op(a) @ op(b)."""
        self._library.lowpeak_matmul(
            *_dense(a), a_transposed, *_dense(b), b_transposed, alpha, *_dense(c), accumulate,
            self._threads, self._scratch.data_ptr(), self._isa,
        )  # fmt: skip

    def gather_rows(self, weight: QuantizedTensor, ids: Tensor, out: Tensor) -> None:
        """out[i] = weight[ids[i]]."""
        self._library.lowpeak_gather_rows(
            *weight_arguments(weight),
            ids.data_ptr(),
            len(ids),
            out.data_ptr(),
            out.stride(0),
            self._threads,
            self._isa,
        )


@contextmanager
def linear(workers: int, isa: int) -> Iterator[Linear]:
    """A Linear whose threads end with the block."""
    made = Linear(workers, isa)
    try:
        yield made
    finally:
        made.close()


def weight_arguments(weight: QuantizedTensor) -> tuple[object, ...]:
    """What the C API takes for a QuantizedMatrix."""
    zero_point = None if weight.zero_point is None else weight.zero_point.data_ptr()
    half = weight.scale.dtype == torch.float16
    return (
        weight.data.data_ptr(), weight.scale.data_ptr(), zero_point, *weight.shape,
        weight.format.group_size, weight.format.bits, half,
    )  # fmt: skip


def _dense(matrix: Tensor) -> tuple[int, int, int, int]:
    assert matrix.stride(1) == 1 or matrix.shape[1] == 1
    return matrix.data_ptr(), *matrix.shape, matrix.stride(0)
