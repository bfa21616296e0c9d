"""The ExecuTorch files of an artifact: a program for each bucket, and weights.ptd."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from importlib.util import find_spec
from typing import Any, BinaryIO

from torch import Tensor, fx

from lowpeak_artifact.errors import EnvironmentProblem
from lowpeak_artifact.executorch_layout import GENERATE, PROGRAM, WEIGHTS
from lowpeak_artifact.safetensors_file import Declared, Entry
from lowpeak_compiler.budget.targets import Target
from lowpeak_export.emitter import Emission


class ExecuTorchEmitter:
    def __init__(self, target: Target) -> None:
        self.target = target

    weights_file = WEIGHTS
    packages: tuple[str, ...] = ("executorch",)
    session_options: dict[str, Any] = {}  # noqa: RUF012

    def require_packages(self) -> None:
        if find_spec("executorch") is None:
            raise EnvironmentProblem(
                "compiling for ExecuTorch needs its package: pip install 'lowpeak[executorch]'"
            )

    def check_operators(self, operations: Iterable[fx.Node]) -> None:
        from lowpeak_export.executorch.kernels import check_operators

        check_operators(operations, self.target.fused)

    def write_weights(
        self, file: BinaryIO, tensors: Iterable[Declared], load: Callable[[str], Tensor]
    ) -> list[Entry]:
        from lowpeak_export.executorch.weights import write_flat_tensors

        return write_flat_tensors(file, tensors, load)

    def write_program(self, emission: Emission) -> None:
        from lowpeak_export.executorch.program import emit

        program = (emission.folder / PROGRAM).with_stem(f"program{emission.suffix}")
        of_target = self.target
        program.write_bytes(
            emit(emission.step, emission.adapter, of_target.fused, of_target.pages, of_target.rows_at_a_time)
        )
        if emission.decoder is not None:
            from lowpeak_export.executorch.generate import emit_generator

            generator = emit_generator(emission.decoder, of_target.fused, of_target.rows_at_a_time)
            (emission.folder / GENERATE).write_bytes(generator)
