"""The route that ONNX Runtime Training documents: exported forward, `generate_artifacts`, default session.

A part of benchmarks/onnxruntime.py: `export_classic` makes the artifacts, and `python -m
benchmarks.classic_onnx job.json` trains them in a process that tells the events of runtime_py/worker.py.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from compiler.batch import IGNORE_INDEX
from export.artifact import Artifact
from runtime_py.reference import eager_model
from runtime_py.session import Job
from runtime_py.worker import Emit, StopRequest, main, tell_baseline


class _Loss(nn.Module):
    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, input_ids: Tensor, targets: Tensor) -> Tensor:
        logits = self.model(input_ids=input_ids, use_cache=False).logits
        return nn.functional.cross_entropy(logits.flatten(0, 1), targets.flatten(), ignore_index=IGNORE_INDEX)


def export_classic(artifact: Artifact, folder: Path) -> None:
    """The artifact's model (its weights as float32) and adapter. Needs onnxscript."""
    import onnx
    from onnxruntime.training import artifacts

    model, frozen = eager_model(artifact)
    model = model.to_empty(device="cpu")
    values = {**frozen, **artifact.adapter()}
    own = {**dict(model.named_parameters(remove_duplicate=False)), **dict(model.named_buffers())}
    with torch.no_grad():
        # A tied matrix has one name in the artifact.
        for name in own.keys() & values.keys():
            own[name].copy_(values[name])
    spec = artifact.manifest.batch
    shape = (spec.batch_size, spec.seq_len)
    example = torch.zeros(shape, dtype=torch.int64), torch.ones(shape, dtype=torch.int64)
    exported = torch.onnx.export(
        _Loss(model).eval(),
        example,
        dynamo=True,
        optimize=False,
        opset_version=18,
        input_names=["input_ids", "targets"],
        output_names=["loss"],
        verbose=False,
    )
    assert exported is not None
    forward = exported.model_proto
    forward.ir_version = 10
    floats = [i for i in forward.graph.initializer if i.data_type == onnx.TensorProto.FLOAT and i.dims]
    trained = [i.name for i in floats if "lora_" in i.name]
    artifacts.generate_artifacts(
        forward,
        requires_grad=trained,
        frozen_params=[i.name for i in floats if "lora_" not in i.name],
        optimizer=artifacts.OptimType.AdamW,
        artifact_directory=folder,
    )


def run(job: Job, emit: Emit, stop: StopRequest) -> None:
    """Default session options, but for the number of threads."""
    import onnxruntime
    from onnxruntime.training.api import CheckpointState, Module, Optimizer

    tell_baseline(emit)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.log_severity_level = 3
    folder = Path(job.artifact)
    state = CheckpointState.load_checkpoint(folder / "checkpoint")
    module = Module(folder / "training_model.onnx", state, session_options=options)
    optimizer = Optimizer(folder / "optimizer_model.onnx", module)
    optimizer.set_learning_rate(job.optimizer.learning_rate)
    batches = load_file(job.batches)
    module.train()
    for step in range(job.total_steps):
        started = time.perf_counter()
        loss = float(module(*(batches[name][step].numpy() for name in module.input_names())))
        optimizer.step()
        module.lazy_reset_grad()
        seconds = time.perf_counter() - started
        emit({"event": "step", "step": step, "loss": loss, "seconds": seconds, "tokens_per_second": None})
    emit({"event": "done", "step": job.total_steps})


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], run))
