"""The options of one compilation in three records: what is trained, for which target, within what.

Each default stands here once; each record refuses values that make no sense, before anything is done.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

from lowpeak_artifact.errors import ModelError

Loss = Literal["exact", "subset"]
Quantization = Literal["int4", "int8", "none"]
OptimizerName = Literal["adamw", "sgd"]
MEGABYTE = 1_000_000
LORA_RANK, LORA_ALPHA = 16, 8
"""Of the adapter that a model without one gets; its scale is alpha / rank."""


@dataclass(frozen=True)
class TrainingOptions:
    """What one step trains: all that its loss, gradients and update depend on beside the model itself.

    Raises ModelError for values that make no sense.
    """

    seq_len: int
    """Tokens of a sequence."""

    batch_size: int = 1
    """Sequences of a batch."""

    loss: Loss = "exact"
    """`exact` cross-entropy, or that over a `subset` of the vocabulary."""

    subset_size: int = 1000
    """Tokens of the subset, for loss="subset"."""

    trainable_ratio: float = 1.0
    """Largest share of a batch's tokens that can have a label; below 1 logits are made for these only."""

    quantization: Quantization = "int4"
    """Storage of frozen matrices that the checkpoint does not hold quantized."""

    group_size: int = 32
    """Columns that share a scale."""

    optimizer: OptimizerName = "adamw"
    """Whose state the budget includes."""

    def __post_init__(self) -> None:
        self._require(self.seq_len >= 2, "seq_len", "at least 2 tokens")
        self._require(self.batch_size >= 1, "batch_size", "at least 1")
        self._require(0 < self.trainable_ratio <= 1, "trainable_ratio", "above 0 and at most 1")
        self._require(self.group_size in (32, 64, 128), "group_size", "32, 64 or 128")
        for name, allowed in (("loss", Loss), ("quantization", Quantization), ("optimizer", OptimizerName)):
            self._require(
                getattr(self, name) in get_args(allowed), name, f"one of {', '.join(get_args(allowed))}"
            )

    def _require(self, holds: bool, name: str, what: str) -> None:
        _require(holds, name, getattr(self, name), what)

    @property
    def tokens(self) -> int:
        """Tokens of a batch."""
        return self.batch_size * self.seq_len

    @property
    def rows(self) -> int | None:
        """Tokens of a batch that can have a label, when logits are masked; None: all."""
        return None if self.trainable_ratio == 1 else max(1, math.ceil(self.tokens * self.trainable_ratio))


@dataclass(frozen=True)
class TargetOptions:
    """What the step is compiled for. `budget/targets.py` and `budget/devices.py` know the names."""

    target: str = "executorch"
    """Runtime."""

    kernels: str = "stock"
    """Kernel set of the runtime."""

    device: str = "generic-phone"
    """Name of a device profile: it predicts times."""


@dataclass(frozen=True)
class Budget:
    """What the step must fit. Raises ModelError for a budget that is not a positive number."""

    megabytes: float
    """Megabytes (10**6 bytes) that the training step may hold resident."""

    def __post_init__(self) -> None:
        sensible = math.isfinite(self.megabytes) and self.megabytes > 0
        _require(sensible, "budget_mb", self.megabytes, "a positive number")

    @property
    def nbytes(self) -> int:
        return int(self.megabytes * MEGABYTE)


def as_record(training: TrainingOptions, for_target: TargetOptions, budget: Budget) -> dict[str, Any]:
    """The options by the names that compile_for_device has for them."""
    return {"budget_mb": budget.megabytes, **asdict(training), **asdict(for_target)}


def _require(holds: bool, name: str, value: object, what: str) -> None:
    if not holds:
        raise ModelError(f"{name} is {value!r}; it must be {what}")
