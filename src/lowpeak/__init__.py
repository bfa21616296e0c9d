"""lowpeak: compile a causal LM with a LoRA adapter into on-device training that fits a memory budget."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lowpeak.api import compile_for_device, memory_time_curve
    from lowpeak.gguf_adapter import export_gguf
    from lowpeak.phone.deploy import deploy
    from lowpeak.phone.pull import pull
    from lowpeak_artifact.artifact import Artifact
    from lowpeak_artifact.errors import (
        ArtifactError,
        BudgetTooSmall,
        DataError,
        EnvironmentProblem,
        LowpeakError,
        ModelError,
        UnsupportedOperator,
    )
    from lowpeak_artifact.signature import sign
    from lowpeak_runtime.generate import generate
    from lowpeak_runtime.simulate.simulate import simulate
    from lowpeak_runtime.train.trainer import train

__all__ = [
    "Artifact",
    "ArtifactError",
    "BudgetTooSmall",
    "DataError",
    "EnvironmentProblem",
    "LowpeakError",
    "ModelError",
    "UnsupportedOperator",
    "compile_for_device",
    "deploy",
    "export_gguf",
    "generate",
    "memory_time_curve",
    "pull",
    "sign",
    "simulate",
    "train",
]

_MODULES = {
    "Artifact": "lowpeak_artifact.artifact",
    "compile_for_device": "lowpeak.api",
    "deploy": "lowpeak.phone.deploy",
    "export_gguf": "lowpeak.gguf_adapter",
    "generate": "lowpeak_runtime.generate",
    "memory_time_curve": "lowpeak.api",
    "pull": "lowpeak.phone.pull",
    "sign": "lowpeak_artifact.signature",
    "simulate": "lowpeak_runtime.simulate.simulate",
    "train": "lowpeak_runtime.train.trainer",
}
"""Where the names of `__all__` are that are not errors."""


def __getattr__(name: str) -> Any:
    # Imported when asked for: torch and transformers take seconds, and `lowpeak --help` needs neither.
    if name not in __all__:
        raise AttributeError(f"module 'lowpeak' has no attribute {name!r}")
    return getattr(import_module(_MODULES.get(name, "lowpeak_artifact.errors")), name)


def __dir__() -> list[str]:
    return [*globals(), *__all__]
