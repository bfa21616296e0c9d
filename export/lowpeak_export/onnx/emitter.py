"""The ONNX Runtime Training files of an artifact: three models and a checkpoint beside the weights."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import BinaryIO

from torch import Tensor, fx

from lowpeak_artifact.errors import UnsupportedOperator
from lowpeak_artifact.layout import CONSTANTS, SAFETENSORS_WEIGHTS
from lowpeak_artifact.onnx_layout import CHECKPOINT, EVAL_MODEL, OPTIMIZER_MODEL, TRAINING_MODEL
from lowpeak_artifact.safetensors_file import Declared, Entry, write_in_order
from lowpeak_export.emitter import Emission
from lowpeak_export.onnx.runtime import PACKAGE, SESSION_OPTIONS, require_runtime, session_options


class OnnxEmitter:
    weights_file = SAFETENSORS_WEIGHTS
    packages: tuple[str, ...] = (PACKAGE, "onnx", "onnx-ir")
    session_options = SESSION_OPTIONS

    def require_packages(self) -> None:
        require_runtime()

    def check_operators(self, operations: Iterable[fx.Node]) -> None:
        from lowpeak_export.onnx.operators import check_operators

        check_operators(operations)

    def write_weights(
        self, file: BinaryIO, tensors: Iterable[Declared], load: Callable[[str], Tensor]
    ) -> list[Entry]:
        return write_in_order(file, tensors, load)

    def write_program(self, emission: Emission) -> None:
        import onnx
        import onnx_ir

        from lowpeak_export.onnx.model import ExternalFiles, eval_model, training_model
        from lowpeak_export.onnx.optimizer import default_optimizer_model

        files = ExternalFiles(self.weights_file, emission.weights, CONSTANTS, emission.constants)
        models = {
            TRAINING_MODEL: training_model(emission.step, files),
            EVAL_MODEL: eval_model(emission.step, files),
            OPTIMIZER_MODEL: default_optimizer_model(emission.optimizer),
        }
        for name, model in models.items():
            onnx_ir.save(model, emission.folder / name)
            onnx.checker.check_model(emission.folder / name)
        _write_checkpoint(emission)
        _require_kernels(emission.folder / EVAL_MODEL)
        _require_kernels(emission.folder / TRAINING_MODEL)


def _write_checkpoint(emission: Emission) -> None:
    """The adapter's first values, trainable."""
    from onnx import numpy_helper
    from onnxruntime.training import onnxblock

    trained = [
        numpy_helper.from_array(emission.adapter[name].contiguous().numpy(), name)
        for name in emission.step.graph.gradients
    ]
    onnxblock.save_checkpoint((trained, []), str(emission.folder / CHECKPOINT))


def _require_kernels(model: Path) -> None:
    """Loads the model: an operator may have a kernel for some types only."""
    import onnxruntime
    from onnxruntime.capi.onnxruntime_pybind11_state import Fail, InvalidGraph, NotImplemented

    try:
        onnxruntime.InferenceSession(
            str(model), session_options(SESSION_OPTIONS), providers=["CPUExecutionProvider"]
        )
    except (Fail, InvalidGraph, NotImplemented) as error:
        raise UnsupportedOperator(
            f"ONNX Runtime has no kernel for an operation of the step: {error}; change that part of the "
            "model, or compile for target='executorch'"
        ) from error
