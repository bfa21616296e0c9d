#!/bin/sh
# Package: executorch 1.5.1, onnxruntime-training-cpu 1.19.2 (its inference session), torch
# 2.13.0, onnx 1.23.2
# One would guess: layer norm of values around 10,000 is as good as PyTorch's; the runtimes'
# kernels subtract the mean first.
# What it does: both take the variance as mean(x * x) - mean(x)**2 in float32. With a mean of
# 10,000 and a spread of 1 little is left of it: the result is 0.4 of what it should be, in both
# runtimes alike. ExecuTorch's group_norm does the same.
# Seen:
#   last value: PyTorch 1.5275, ExecuTorch 0.6187, ONNX Runtime 0.6187
#   ExecuTorch group_norm [-0.2217661589384079, 0.0, 0.2217661589384079]
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3.11 -m pip install -q --no-compile --target lib 'torch==2.13.0' 'executorch==1.5.1' \
  'onnxruntime-training-cpu==1.19.2' 'onnx==1.23.2' 'numpy==2.4.6'
PYTHONPATH=lib python3.11 - <<'EOF'
import onnxruntime
import torch
from executorch.exir import to_edge
from executorch.extension.pybindings.portable_lib import _load_for_executorch_from_buffer as load
from torch.export import export
from onnx import TensorProto, helper


class Norms(torch.nn.Module):
    def forward(self, x):
        return torch.nn.functional.layer_norm(x, (8,)), torch.nn.functional.group_norm(x[:, :3], 1)


x = torch.arange(8.0)[None] / 2 + 10000
program = to_edge(export(Norms(), (x,))).to_executorch().buffer
layer, group = (value[0].tolist() for value in load(program).forward((x,)))

shapes = {"x": [1, 8], "scale": [8], "bias": [8]}
inputs = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in shapes.items()]
output = helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 8])
graph = helper.make_graph([helper.make_node("LayerNormalization", list(shapes), ["y"])], "g", inputs, [output])
model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
feed = {"x": x.numpy(), "scale": torch.ones(8).numpy(), "bias": torch.zeros(8).numpy()}
onnx_layer = session.run(None, feed)[0][0].tolist()
eager = Norms()(x)[0][0].tolist()
print(f"last value: PyTorch {eager[-1]:.4f}, ExecuTorch {layer[-1]:.4f}, ONNX Runtime {onnx_layer[-1]:.4f}")
print("ExecuTorch group_norm", group)
assert eager[-1] > 1.5 and layer[-1] < 0.7 and onnx_layer[-1] < 0.7
EOF
