#!/bin/sh
# Package: onnxruntime-training-cpu 1.19.2, onnx 1.23.2
# One would guess: the optimizer model that generate_artifacts writes can be loaded by the same
# package; the model given keeps to IR version 8.
# What it does: the training and evaluation models keep IR version 8, but the optimizer's is made
# anew with onnx's newest, which the runtime (10 at most) refuses. onnx is not pinned, so a plain
# pip install cannot train with an optimizer.
# Seen:
#   {'training': 8, 'eval': 8, 'optimizer': 14}
#   Unsupported model IR version: 14, max supported IR version: 10
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
versions = {name: onnx.load(f"{name}_model.onnx").ir_version for name in ("training", "eval", "optimizer")}
print(versions)
module = Module("training_model.onnx", CheckpointState.load_checkpoint("checkpoint"), "eval_model.onnx")
try:
    Optimizer("optimizer_model.onnx", module)
    refusal = None
except Exception as error:
    refusal = str(error)[str(error).index("Unsupported model IR") :].strip()
print(refusal)
assert versions["training"] == 8 and versions["optimizer"] > 10 and refusal
EOF
