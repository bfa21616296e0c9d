"""How the runtime's own files of an artifact are written: one emitter a target, imported when asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Protocol

from torch import Tensor, fx

from lowpeak_artifact.safetensors_file import Declared, Entry
from lowpeak_compiler.budget.planned import PlannedStep
from lowpeak_compiler.decode import Decoder


@dataclass(frozen=True)
class Emission:
    """What the runtime's files are made from. `weights` and `constants` are written already, in `folder`."""

    step: PlannedStep
    suffix: str
    """Of the files' names, before the extension."""
    adapter: Mapping[str, Tensor]
    """First values by name."""
    optimizer: str
    weights: list[Entry]
    constants: list[Entry]
    folder: Path
    decoder: Decoder | None
    """The program that generates, to be written too; targets have one that have its operators."""


class Emitter(Protocol):
    """Of one target."""

    weights_file: str
    packages: tuple[str, ...]
    """Distributions whose versions the artifact records."""
    session_options: dict[str, Any]
    """What the runtime has to be told for the plan to hold."""

    def require_packages(self) -> None:
        """Raises EnvironmentProblem when a package that compiling needs is missing."""

    def check_operators(self, operations: Iterable[fx.Node]) -> None:
        """Raises UnsupportedOperator for the first operation that the runtime cannot run."""

    def write_weights(
        self, file: BinaryIO, tensors: Iterable[Declared], load: Callable[[str], Tensor]
    ) -> list[Entry]:
        """The frozen tensors, one by one; where each lies."""

    def write_program(self, emission: Emission) -> None:
        """The files that the runtime runs."""
