#!/bin/sh
# Package: onnxruntime-training-cpu 1.19.2, onnx 1.23.2
# One would guess: LinearLRScheduler(optimizer, warmup_step_count=2, total_step_count=10, ...)
# warms up in 2 steps and ends at 10.
# What it does: the two counts are handed on in the wrong order: it warms up for 10 steps, and
# then the rate is 0 at once. With the counts exchanged it does what was meant.
# Seen:
#   warm-up 2, total 10: [0.01, 0.02, 0.03, 0.04, 0.05, 0.06, 0.07, 0.08, 0.09, 0.0, 0.0]
#   warm-up 10, total 2: [0.05, 0.1, 0.0875, 0.075, 0.0625, 0.05, 0.0375, 0.025, 0.0125, 0.0, 0.0]
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3.11 -m pip install -q --no-compile --target lib 'onnxruntime-training-cpu==1.19.2' 'onnx==1.23.2' \
  'numpy==2.4.6' 'torch==2.13.0'
PYTHONPATH=lib python3.11 - <<'EOF'
import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.training import artifacts
from onnxruntime.training.api import CheckpointState, Module, Optimizer

weight = numpy_helper.from_array(np.zeros((3, 4), np.float32), "weight")
inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 3])]
outputs = [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", 4])]
node = helper.make_node("MatMul", ["x", "weight"], ["y"])
graph = helper.make_graph([node], "g", inputs, outputs, [weight])
model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
artifacts.generate_artifacts(
    model,
    requires_grad=["weight"],
    loss=artifacts.LossType.CrossEntropyLoss,
    optimizer=artifacts.OptimType.AdamW,
)
optimizer_model = onnx.load("optimizer_model.onnx")
optimizer_model.ir_version = 8  # onnx wrote one that the runtime refuses
onnx.save(optimizer_model, "optimizer_model.onnx")
from onnxruntime.training.api import LinearLRScheduler

x, labels = np.ones((1, 3), np.float32), np.array([1])


def rates(**counts):
    module = Module("training_model.onnx", CheckpointState.load_checkpoint("checkpoint"))
    optimizer = Optimizer("optimizer_model.onnx", module)
    schedule = LinearLRScheduler(optimizer, initial_lr=0.1, **counts)
    module.train()
    seen = []
    for _ in range(11):
        module(x, labels)
        optimizer.step()
        module.lazy_reset_grad()
        schedule.step()
        seen.append(round(optimizer.get_learning_rate(), 4))
    return seen


as_named = rates(warmup_step_count=2, total_step_count=10)
exchanged = rates(warmup_step_count=10, total_step_count=2)
print("warm-up 2, total 10:", as_named)
print("warm-up 10, total 2:", exchanged)
assert max(as_named) == as_named[8] == 0.09 and as_named[9] == 0
assert max(exchanged) == exchanged[1] == 0.1
EOF
