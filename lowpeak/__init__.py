"""lowpeak: compile a Hugging Face causal LM with a LoRA adapter into on-device training that fits a memory budget."""

from lowpeak._packages import require_own_packages

require_own_packages()

from compiler.errors import (  # noqa: E402  the check comes first
    ArtifactError,
    BudgetTooSmall,
    DataError,
    EnvironmentProblem,
    LowpeakError,
    ModelError,
    UnsupportedOperator,
)
from export.artifact import Artifact  # noqa: E402
from lowpeak.api import compile_for_device  # noqa: E402
from runtime_py.simulate import simulate  # noqa: E402
from runtime_py.trainer import train  # noqa: E402

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
    "simulate",
    "train",
]
