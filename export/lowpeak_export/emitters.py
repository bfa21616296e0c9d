"""The emitter of a target, imported when asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, BinaryIO

from torch import Tensor, fx

from lowpeak_artifact.layout import SAFETENSORS_WEIGHTS
from lowpeak_artifact.safetensors_file import Declared, Entry, write_in_order
from lowpeak_compiler.budget.targets import Target
from lowpeak_export.emitter import Emission, Emitter


class SimulatorEmitter:
    """The simulator runs the graph itself."""

    weights_file = SAFETENSORS_WEIGHTS
    packages: tuple[str, ...] = ()
    session_options: dict[str, Any] = {}  # noqa: RUF012

    def require_packages(self) -> None:
        return

    def check_operators(self, operations: Iterable[fx.Node]) -> None:
        return

    def write_weights(
        self, file: BinaryIO, tensors: Iterable[Declared], load: Callable[[str], Tensor]
    ) -> list[Entry]:
        return write_in_order(file, tensors, load)

    def write_program(self, emission: Emission) -> None:
        return


def emitter(target: Target) -> Emitter:
    """Raises EnvironmentProblem when the target's packages are not installed."""
    chosen: Emitter
    if target.name == "executorch":
        from lowpeak_export.executorch.emitter import ExecuTorchEmitter

        chosen = ExecuTorchEmitter(target)
    elif target.name == "onnxruntime":
        from lowpeak_export.onnx.emitter import OnnxEmitter

        chosen = OnnxEmitter()
    else:
        chosen = SimulatorEmitter()
    chosen.require_packages()
    return chosen
