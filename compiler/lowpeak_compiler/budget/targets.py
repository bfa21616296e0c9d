"""What each target can do. Passes and planner read this table; they know no target by name."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from torch._ops import OpOverload

from lowpeak_artifact.errors import ModelError
from lowpeak_artifact.ops.record import OPERATORS, Runtime


@dataclass(frozen=True)
class Target:
    """Abilities of a runtime with a kernel set."""

    name: str
    kernels: str
    views: frozenset[object]
    """Operators whose result is another name for bytes of an operand; the others copy."""
    frozen_slices: bool
    """A slice of a frozen tensor's rows is a part of the weights file, whatever `views` says."""
    in_place: frozenset[object]
    """Operators whose output may take the bytes of an input that dies."""
    offload: bool
    """Values can be stored to a file and loaded back."""
    fused: frozenset[str]
    """`lowpeak::` operators with a kernel of their own; the others are lowered to core ATen."""
    pages: bool
    """Frozen tensors, adapter and gradients lie in mapped files, and their pages are given back after the
    operation that uses them (lowpeak_export/executorch/paging.py).
    """
    rows_at_a_time: Mapping[object, int]
    """With `pages`: operators that give a weight's rows back as they go, and how many they hold."""
    blocked_dequantization: bool
    """Matrices are dequantized whole or by ranges of rows, without zero points; see
    passes/lower/blocked_dequantization.py.
    """
    inexact: frozenset[object]
    """Operators whose kernels give other values than torch, beyond float32 rounding, and are replaced; see
    passes/lower/replace_inexact.py.
    """
    gradients_in_state: bool
    """Gradients are added to buffers that live as long as the adapter; otherwise they lie in the arena."""
    state_tensors: Mapping[str, int]
    """Tensors of optimizer state for each trainable tensor, by optimizer."""
    checkpoint_copies: float
    """Bytes that the runtime takes to write a checkpoint, by those of the adapter; 0 if we write it."""
    alignment: int
    """Bytes."""
    runtime_bytes: int
    """Anonymous memory of the runtime beside the arena, whatever the program."""
    attention_scratch_bytes: int = field(default=0, kw_only=True)
    """The part of them that attention's backward may use."""
    runtime_bytes_per_op: int
    """Anonymous memory that the runtime needs for each operation of the program."""
    code_bytes: int
    """Pages of the program that trains and of its libraries; a Python process has them before it trains."""
    code_bytes_per_op: int
    """Pages of the program's file that are read for each operation."""
    matmul_efficiency: float
    """Share of the device's matrix speed that the kernels reach."""
    seconds_per_op: float

    @property
    def tiles(self) -> bool:
        """Whether the target has what tokens in tiles need: kernels of a range of queries and of rows."""
        return {"causal_attention_backward_add", "matmul_add", "write_rows"} <= self.fused


def _views(runtime: Runtime) -> frozenset[object]:
    return frozenset(
        op for op, record in OPERATORS.items() if record.view and runtime in record.view.runtimes
    )


def _in_place(runtime: Runtime) -> frozenset[object]:
    return frozenset(op for op, record in OPERATORS.items() if record.in_place and runtime in record.in_place)


def _inexact(runtime: Runtime) -> frozenset[object]:
    return frozenset(op for op, record in OPERATORS.items() if record.inexact and runtime in record.inexact)


def _names(operators: Iterable[object]) -> frozenset[str]:
    """Of those that are ours."""
    ours = (op for op in operators if isinstance(op, OpOverload) and op.namespace == "lowpeak")
    return frozenset(op._opname for op in ours)


MAPPED_AROUND_BYTES = 2 * 2_097_152
"""Pages that come along with a tensor of a mapped file, before and after it: on Linux a fault maps up to
what one page table holds, where the page cache has it in one piece.
"""

KERNEL_SCRATCH_BYTES = 3_730_000
"""Of our kernels on four threads: the loss needs most, 2.1 MB of logits and 0.4 MB a thread, which the
backward of attention has for itself at another time. tests/native/test_numbers.py compares it with what they
ask for.
"""

OFFLOAD_BUFFER_BYTES = 2_100_000
"""What waits to be written to the offload file: `timeline.BUFFERED_BYTES`."""

EXECUTORCH = Target(
    "executorch",
    "stock",
    views=_views("executorch"),
    frozen_slices=False,
    in_place=_in_place("executorch"),
    offload=False,
    fused=frozenset(),
    pages=False,
    rows_at_a_time={},
    blocked_dequantization=False,
    inexact=_inexact("executorch"),
    gradients_in_state=False,
    state_tensors={"adamw": 2, "sgd": 0},
    checkpoint_copies=0.0,
    alignment=16,
    runtime_bytes=3_000_000,
    runtime_bytes_per_op=480,
    code_bytes=8_200_000,
    code_bytes_per_op=160,
    matmul_efficiency=0.45,
    seconds_per_op=5e-6,
)
EXECUTORCH_LOWPEAK = replace(
    EXECUTORCH,
    kernels="lowpeak",
    offload=True,
    fused=_names(op for op, record in OPERATORS.items() if record.kernel),
    pages=True,
    rows_at_a_time={op: record.rows_at_a_time for op, record in OPERATORS.items() if record.rows_at_a_time},
    runtime_bytes=EXECUTORCH.runtime_bytes + KERNEL_SCRATCH_BYTES + OFFLOAD_BUFFER_BYTES,
    attention_scratch_bytes=2_000_000,
    # And the instructions that ask for pages and give them back.
    runtime_bytes_per_op=EXECUTORCH.runtime_bytes_per_op + 120,
    # SmolLM2-135M at 512 tokens: 5.8 to 6.2 s of processor time with AVX2, 5.9 s predicted at 70 GFLOP/s.
    matmul_efficiency=1.0,
)
ONNXRUNTIME = Target(
    "onnxruntime",
    "stock",
    views=_views("onnxruntime"),
    frozen_slices=True,
    in_place=_in_place("onnxruntime"),
    offload=False,
    fused=_names(op for op, record in OPERATORS.items() if record.onnx),
    pages=False,
    rows_at_a_time={},
    blocked_dequantization=True,
    inexact=_inexact("onnxruntime"),
    gradients_in_state=True,
    state_tensors={"adamw": 2, "sgd": 1},
    checkpoint_copies=4.0,
    alignment=64,
    runtime_bytes=2_500_000,
    runtime_bytes_per_op=11_200,
    code_bytes=0,
    code_bytes_per_op=0,
    matmul_efficiency=0.8,
    seconds_per_op=10e-6,
)
SIMULATOR = replace(
    EXECUTORCH,
    name="simulator",
    offload=True,
    runtime_bytes=0,
    runtime_bytes_per_op=0,
    code_bytes=0,
    code_bytes_per_op=0,
    matmul_efficiency=1.0,
    seconds_per_op=20e-6,
)
TARGETS = {
    (target.name, target.kernels): target
    for target in (EXECUTORCH, EXECUTORCH_LOWPEAK, ONNXRUNTIME, SIMULATOR)
}


def target(name: str, kernels: str) -> Target:
    """The entry for a runtime and kernel set; ModelError lists what there is."""
    if (name, kernels) not in TARGETS:
        known = ", ".join(f"target={n!r} with kernels={k!r}" for n, k in TARGETS)
        raise ModelError(f"no target {name!r} with kernels {kernels!r} in this version; there are {known}")
    return TARGETS[name, kernels]
