#!/bin/sh
# Package: onnxruntime-training-cpu 1.19.2, onnx 1.23.2, torch 2.13.0
# One would guess: with the same epsilon, onnxblock's AdamW takes PyTorch's steps.
# What it does: its default mode adds epsilon before the bias correction of the second moment: in
# the first step it weighs 1 / sqrt(1 - b2) = 32 times as much. Where gradients are small, as
# LoRA's are at first, the first steps are up to 30 times shorter. (Its default epsilon is 1e-6
# besides, not 1e-8.)
# Seen:
#   {'adam_mode': 1, 'epsilon': 1e-06, 'weight_decay': 0.0}
#   first step: ONNX Runtime 2.37e-04, PyTorch 6.98e-03
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
import torch

attributes = {a.name: helper.get_attribute_value(a) for a in optimizer_model.graph.node[0].attribute}
print({name: round(attributes[name], 8) for name in ("adam_mode", "epsilon", "weight_decay")})
x = np.array([[1e-7, 0, 0]], np.float32)
state = CheckpointState.load_checkpoint("checkpoint")
module = Module("training_model.onnx", state)
optimizer = Optimizer("optimizer_model.onnx", module)
optimizer.set_learning_rate(0.1)
module.train()
module(x, np.array([1]))
optimizer.step()
step = state.parameters["weight"].data[0, 1]

reference = torch.zeros(3, 4, requires_grad=True)
torch_optimizer = torch.optim.AdamW([reference], lr=0.1, eps=attributes["epsilon"], weight_decay=0)
torch.nn.functional.cross_entropy(torch.from_numpy(x) @ reference, torch.tensor([1])).backward()
torch_optimizer.step()
expected = reference[0, 1].item()
print(f"first step: ONNX Runtime {step:.2e}, PyTorch {expected:.2e}")
assert 20 < expected / step < 32
EOF
