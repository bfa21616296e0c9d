"""The route that ONNX Runtime Training documents: exported forward, `generate_artifacts`, default session.

A part of benchmarks/onnxruntime.py: `export_classic` makes the artifacts, and `python -m
benchmarks.classic_onnx job.json` trains them in a process that tells the events of
lowpeak_runtime/train/events.py.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import torch

from lowpeak_artifact.artifact import Artifact
from lowpeak_compiler.frontend.causal_lm import CausalLMLoss
from lowpeak_export.onnx.model import IR_VERSION
from lowpeak_runtime.data.batch_file import BatchFolder
from lowpeak_runtime.simulate.reference_model import own_weights
from lowpeak_runtime.train.events import end_event, ready_event, step_event
from lowpeak_runtime.train.session import Job
from lowpeak_runtime.train.stop import StopRequest
from lowpeak_runtime.train.worker import Emit, main


def export_classic(artifact: Artifact, folder: Path) -> None:
    """The artifact's model (its weights as float32) and adapter. Needs onnxscript."""
    import onnx
    from onnxruntime.training import artifacts

    reference = own_weights(artifact)
    model, frozen = reference.module, reference.frozen
    model = model.to_empty(device="cpu")
    model.get_base_model().tie_weights()  # type: ignore[operator,union-attr]
    values = {**frozen, **artifact.adapter()}
    own = {**dict(model.named_parameters(remove_duplicate=False)), **dict(model.named_buffers())}
    with torch.no_grad():
        # A tied matrix has one name in the artifact.
        for name in own.keys() & values.keys():
            own[name].copy_(values[name])
    spec = artifact.manifest.largest.batch
    shape = (spec.batch_size, spec.seq_len)
    example = torch.zeros(shape, dtype=torch.int64), torch.ones(shape, dtype=torch.int64)
    exported = torch.onnx.export(
        CausalLMLoss(model).eval(),
        example,
        dynamo=True,
        opset_version=18,
        input_names=["input_ids", "targets"],
        output_names=["loss"],
        verbose=False,
    )
    assert exported is not None
    forward = exported.model_proto
    forward.ir_version = IR_VERSION
    floats = [i for i in forward.graph.initializer if i.data_type == onnx.TensorProto.FLOAT and i.dims]
    # The exporter's optimizer transposes weights and renames them; without it, operators that have no
    # gradient stay. Only the adapter's matrices have its rank for an axis.
    assert artifact.manifest.adapter_config is not None
    rank = artifact.manifest.adapter_config["r"]
    trained = [i.name for i in floats if len(i.dims) == 2 and rank in i.dims]
    artifacts.generate_artifacts(
        forward,
        requires_grad=trained,
        frozen_params=[i.name for i in floats if i.name not in trained],
        optimizer=artifacts.OptimType.AdamW,
        artifact_directory=folder,
    )
    optimizer = folder / "optimizer_model.onnx"
    model = onnx.load(optimizer)
    model.ir_version = IR_VERSION
    onnx.save(model, optimizer)


def run(job: Job, emit: Emit, stop: StopRequest) -> None:
    """Default session options, but for the number of threads."""
    import onnxruntime
    from onnxruntime.training.api import CheckpointState, Module, Optimizer

    emit(ready_event())
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.log_severity_level = 3
    folder = Path(job.artifact)
    state = CheckpointState.load_checkpoint(folder / "checkpoint")
    module = Module(folder / "training_model.onnx", state, session_options=options)
    optimizer = Optimizer(folder / "optimizer_model.onnx", module)
    optimizer.set_learning_rate(job.optimizer.learning_rate)
    module.train()
    batches = BatchFolder(job.batches)
    for step in range(job.total_steps):
        started = time.perf_counter()
        batch = batches.at(step, stop)
        if batch is None:
            break
        inputs = batch[1]
        loss = float(module(*(inputs[name].numpy() for name in module.input_names())))
        optimizer.step()
        module.lazy_reset_grad()
        emit(step_event(step, loss, time.perf_counter() - started, None))
    emit(end_event(job.total_steps, job.total_steps, None))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], run))
