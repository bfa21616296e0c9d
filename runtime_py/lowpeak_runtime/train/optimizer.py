"""The optimizer of a training run: torch.optim over the adapter's tensors, its bytes known before the run.

State is allocated at once, so that a run which begins within its budget stays there, and a checkpoint always
has the same tensors.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal, get_args

import torch
from torch import Tensor

from lowpeak_artifact.errors import DataError

Algorithm = Literal["adamw", "sgd"]
Schedule = Literal["constant", "cosine"]

_STEP_COUNT_BYTES = 4


@dataclass(frozen=True)
class OptimizerOptions:
    """How the adapter is updated. Raises ValueError for values that make no sense."""

    algorithm: Algorithm = "adamw"
    """adamw keeps two numbers a parameter, sgd none without momentum."""

    learning_rate: float = 2e-4
    """After the warm-up."""

    weight_decay: float = 0.0
    """Decoupled for adamw, added to the gradient for sgd."""

    betas: tuple[float, float] = (0.9, 0.999)
    """adamw: decay of the mean of gradients and of their squares."""

    epsilon: float = 1e-8
    """adamw: added to the root of the mean square."""

    momentum: float = 0.0
    """sgd only; with it there is one number a parameter."""

    clip_norm: float | None = None
    """Gradients are scaled down to this global 2-norm when theirs is larger; None: never."""

    warmup_steps: int = 0
    """Steps in which the learning rate rises linearly to its value."""

    schedule: Schedule = "constant"
    """After the warm-up; cosine falls to zero at the run's last step."""

    def __post_init__(self) -> None:
        for name, kinds in (("algorithm", Algorithm), ("schedule", Schedule)):
            if getattr(self, name) not in get_args(kinds):
                known = " or ".join(get_args(kinds))
                raise ValueError(f"{name} must be {known}, not {getattr(self, name)!r}")
        object.__setattr__(self, "betas", tuple(self.betas))
        positive = {"learning_rate": self.learning_rate, "epsilon": self.epsilon}
        if self.clip_norm is not None:
            positive["clip_norm"] = self.clip_norm
        for name, value in positive.items():
            if not (math.isfinite(value) and value > 0):
                raise ValueError(f"{name} must be positive, not {value}")
        if not (math.isfinite(self.weight_decay) and self.weight_decay >= 0):
            raise ValueError(f"weight_decay must be 0 or more, not {self.weight_decay}")
        if len(self.betas) != 2 or not all(0 <= beta < 1 for beta in (*self.betas, self.momentum)):
            raise ValueError(f"betas and momentum must be in [0, 1): {self.betas}, {self.momentum}")
        if self.warmup_steps < 0:
            raise ValueError(f"warmup_steps must be 0 or more, not {self.warmup_steps}")

    def learning_rate_at(self, step: int, total_steps: int) -> float:
        """For the update after `step` earlier ones, of `total_steps` in the run."""
        if step < self.warmup_steps:
            return self.learning_rate * (step + 1) / self.warmup_steps
        if self.schedule == "constant":
            return self.learning_rate
        share = (step - self.warmup_steps) / max(1, total_steps - self.warmup_steps)
        return self.learning_rate * 0.5 * (1 + math.cos(math.pi * min(1.0, share)))


def warm_up(options: OptimizerOptions) -> None:
    """torch.optim imports torch's compiler, 70 MB, in its first step: no part of what training needs."""
    parameter = torch.zeros(1)
    AdapterOptimizer({"p": parameter}, {"p": torch.zeros(1)}, options, 1).update(0)


def not_finite(what: str, step: int) -> DataError:
    """Of a step that would spoil the adapter."""
    return DataError(
        f"{what} at step {step}: train again with a lower learning rate or with clip_norm", step=step
    )


def spoiled(tensor: str, step: int) -> DataError:
    """Of a step after which the adapter, or the optimizer's state, is of no use; no checkpoint has it."""
    return not_finite(f"the update makes {tensor} infinite or NaN", step)


def optimizer_bytes(parameters: Iterable[tuple[int, int]], options: OptimizerOptions) -> int:
    """Bytes of optimizer state for parameters given as (elements, bytes an element)."""
    copies = 2 if options.algorithm == "adamw" else int(options.momentum > 0)
    counter = _STEP_COUNT_BYTES if options.algorithm == "adamw" else 0
    return sum(copies * count * itemsize + counter for count, itemsize in parameters)


class AdapterOptimizer:
    """Updates `parameters` in place from `gradients`, both by name; the tensors stay the caller's."""

    def __init__(
        self,
        parameters: Mapping[str, Tensor],
        gradients: Mapping[str, Tensor],
        options: OptimizerOptions,
        total_steps: int,
    ) -> None:
        self._options, self._total_steps = options, total_steps
        self._gradients = [gradients[name] for name in parameters]
        for name, parameter in parameters.items():
            parameter.grad = gradients[name]
        self._optimizer = _torch_optimizer(list(parameters.values()), options)
        self.state: dict[str, Tensor] = {}
        """What a checkpoint has to keep beside the parameters; written in place to restore it."""
        for name, parameter in parameters.items():
            state = _initial_state(parameter, options)
            self._optimizer.state[parameter].update(state)
            self.state.update({f"{part}.{name}": tensor for part, tensor in state.items()})
        self._tensors = {
            **{f"adapter.{name}": tensor for name, tensor in parameters.items()},
            **{f"optimizer.{name}": tensor for name, tensor in self.state.items()},
        }

    def update(self, step: int) -> None:
        """Applies the gradients, scaled in place when it clips; `step` is the number of updates before.

        Raises DataError, and nothing is changed, when a gradient is not finite; and when the update makes a
        tensor infinite or NaN, which must not come into a checkpoint then.
        """
        norm = math.hypot(*(float(torch.linalg.vector_norm(g, dtype=torch.float32)) for g in self._gradients))
        if not math.isfinite(norm):
            raise not_finite("the gradient is not finite", step)
        limit = self._options.clip_norm
        if limit is not None and norm > limit:
            for gradient in self._gradients:
                gradient.mul_(limit / norm)
        rate = self._options.learning_rate_at(step, self._total_steps)
        for group in self._optimizer.param_groups:
            group["lr"] = rate
        try:
            self._optimizer.step()
        except RuntimeError as error:
            if "without overflow" not in str(error):
                raise
            raise not_finite(f"the learning rate {rate:g} is beyond what an update can have", step) from error
        for name, tensor in self._tensors.items():
            if not is_finite(tensor):
                raise spoiled(name, step)


def is_finite(tensor: Tensor) -> bool:
    """Without a temporary as large as the tensor."""
    if not tensor.is_floating_point() or not tensor.numel():
        return True
    return bool(torch.isfinite(torch.stack(torch.aminmax(tensor))).all())


def _torch_optimizer(parameters: list[Tensor], options: OptimizerOptions) -> torch.optim.Optimizer:
    # foreach would make a temporary as large as the whole adapter, instead of its largest tensor.
    if options.algorithm == "adamw":
        return torch.optim.AdamW(
            parameters,
            lr=options.learning_rate,
            betas=options.betas,
            eps=options.epsilon,
            weight_decay=options.weight_decay,
            foreach=False,
        )
    return torch.optim.SGD(
        parameters,
        lr=options.learning_rate,
        momentum=options.momentum,
        weight_decay=options.weight_decay,
        foreach=False,
    )


def _initial_state(parameter: Tensor, options: OptimizerOptions) -> dict[str, Tensor]:
    """As torch.optim makes it in the first step; names are torch.optim's."""
    if options.algorithm == "adamw":
        parts = {"exp_avg": torch.zeros_like(parameter), "exp_avg_sq": torch.zeros_like(parameter)}
        return {"step": torch.tensor(0.0), **parts}
    return {"momentum_buffer": torch.zeros_like(parameter)} if options.momentum else {}
