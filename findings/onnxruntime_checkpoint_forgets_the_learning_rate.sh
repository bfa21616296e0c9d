#!/bin/sh
# Package: onnxruntime-training-cpu 1.19.2, onnx 1.23.2
# One would guess: a checkpoint saved with include_optimizer_state=True goes on with the learning
# rate that was set.
# What it does: the moments and the step count are in it, the learning rate is not: after loading
# it is 0.001 whatever it was.
# Seen:
#   saved 0.25 loaded 0.001
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
state = CheckpointState.load_checkpoint("checkpoint")
optimizer = Optimizer("optimizer_model.onnx", Module("training_model.onnx", state))
optimizer.set_learning_rate(0.25)
CheckpointState.save_checkpoint(state, "saved", include_optimizer_state=True)

module = Module("training_model.onnx", CheckpointState.load_checkpoint("saved"))
loaded = Optimizer("optimizer_model.onnx", module)
print("saved", optimizer.get_learning_rate(), "loaded", round(loaded.get_learning_rate(), 6))
assert optimizer.get_learning_rate() == 0.25 and abs(loaded.get_learning_rate() - 0.001) < 1e-6
EOF
