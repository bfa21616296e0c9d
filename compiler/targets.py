"""What each target can do. Passes and planner read this table; they know no target by name."""

from __future__ import annotations

from dataclasses import dataclass

from compiler.errors import ModelError


@dataclass(frozen=True)
class Target:
    """Abilities of a runtime with a kernel set."""

    name: str
    kernels: str
    views: bool
    """A view is another name for the same bytes; otherwise it is a copy."""
    in_place: bool
    """An output may take the bytes of an input that dies, where the operator allows."""
    offload: bool
    """Values can be stored to a file and loaded back."""
    fused: frozenset[str]
    """`lowpeak::` operators with a kernel of their own; the others are lowered to core ATen."""
    alignment: int
    """Bytes."""
    runtime_bytes: int
    """Anonymous memory of the runtime beside the arena, whatever the program."""
    runtime_bytes_per_op: int
    """Anonymous memory that the runtime needs for each operation of the program."""
    matmul_efficiency: float
    """Share of the device's matrix speed that the kernels reach."""
    seconds_per_op: float


_LOWERED: frozenset[str] = frozenset()
TARGETS = {
    (target.name, target.kernels): target
    for target in (
        Target("executorch", "stock", True, True, False, _LOWERED, 16, 3_000_000, 560, 0.45, 5e-6),
        Target("simulator", "stock", True, True, True, _LOWERED, 16, 0, 0, 1.0, 20e-6),
    )
}


def target(name: str, kernels: str) -> Target:
    """The entry for a runtime and kernel set; ModelError lists what there is."""
    if (name, kernels) not in TARGETS:
        known = ", ".join(f"target={n!r} with kernels={k!r}" for n, k in TARGETS)
        raise ModelError(f"no target {name!r} with kernels {kernels!r} in this version; there are {known}")
    return TARGETS[name, kernels]
