"""lowpeak: compile a causal LM with a LoRA adapter into on-device training that fits a memory budget."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from lowpeak._packages import require_own_packages

if TYPE_CHECKING:
    from compiler.errors import (
        ArtifactError,
        BudgetTooSmall,
        DataError,
        EnvironmentProblem,
        LowpeakError,
        ModelError,
        UnsupportedOperator,
    )
    from export.artifact import Artifact
    from export.signature import sign
    from lowpeak.api import compile_for_device, memory_time_curve
    from lowpeak.gguf_adapter import export_gguf
    from lowpeak.phone.deploy import deploy
    from lowpeak.phone.pull import pull
    from runtime_py.generate import generate
    from runtime_py.simulate import simulate
    from runtime_py.trainer import train

require_own_packages()

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
    "Artifact": "export.artifact",
    "compile_for_device": "lowpeak.api",
    "deploy": "lowpeak.phone.deploy",
    "export_gguf": "lowpeak.gguf_adapter",
    "generate": "runtime_py.generate",
    "memory_time_curve": "lowpeak.api",
    "pull": "lowpeak.phone.pull",
    "sign": "export.signature",
    "simulate": "runtime_py.simulate",
    "train": "runtime_py.trainer",
}
"""Where the names of `__all__` are that are not errors."""


def __getattr__(name: str) -> Any:
    # Imported when asked for: torch and transformers take seconds, and `lowpeak --help` needs neither.
    if name not in __all__:
        raise AttributeError(f"module 'lowpeak' has no attribute {name!r}")
    return getattr(import_module(_MODULES.get(name, "compiler.errors")), name)


def __dir__() -> list[str]:
    return [*globals(), *__all__]
