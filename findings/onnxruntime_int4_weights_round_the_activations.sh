#!/bin/sh
# Package: onnxruntime-training-cpu 1.19.2 (its inference session), onnx 1.23.2
# One would guess: a MatMul with a DequantizeLinear of int4 weights multiplies float32
# activations; optimization changes the speed alone.
# What it does: from ORT_ENABLE_EXTENDED on (so by default) the two are fused, and the activations
# are rounded to few bits. One large activation costs the others their digits: the error is tens
# of thousands of times larger.
# Seen:
#   ORT_DISABLE_ALL: error 3.6e-06
#   ORT_ENABLE_BASIC: error 3.6e-06
#   ORT_ENABLE_EXTENDED: error 1.5e-01
#   ORT_ENABLE_ALL: error 1.5e-01
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3.11 -m pip install -q --no-compile --target lib 'onnxruntime-training-cpu==1.19.2' 'onnx==1.23.2' \
  'numpy==2.4.6'
PYTHONPATH=lib python3.11 - <<'EOF'
import numpy as np
import onnxruntime
from onnx import TensorProto, helper, reference

onnxruntime.set_default_logger_severity(3)
generator = np.random.default_rng(0)
weights = generator.integers(-8, 8, (64, 8))
activations = generator.normal(size=(4, 64)).astype(np.float32)
activations[:, 0] = 100.0
nodes = [
    helper.make_node("DequantizeLinear", ["weights", "scales"], ["w"], axis=0, block_size=32),
    helper.make_node("MatMul", ["x", "w"], ["y"]),
]
initializers = [
    helper.make_tensor("weights", TensorProto.INT4, (64, 8), weights.flatten().tolist()),
    helper.make_tensor("scales", TensorProto.FLOAT, (2, 8), [0.01] * 16),
]
inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, [4, 64])]
outputs = [helper.make_tensor_value_info("y", TensorProto.FLOAT, [4, 8])]
graph = helper.make_graph(nodes, "g", inputs, outputs, initializers)
model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
exact, errors = activations.astype(np.float64) @ (weights * 0.01), {}
for level in ("ORT_DISABLE_ALL", "ORT_ENABLE_BASIC", "ORT_ENABLE_EXTENDED", "ORT_ENABLE_ALL"):
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = getattr(onnxruntime.GraphOptimizationLevel, level)
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    errors[level] = float(np.abs(session.run(None, {"x": activations})[0] - exact).max())
    print(f"{level}: error {errors[level]:.1e}")
assert errors["ORT_ENABLE_BASIC"] < 1e-4 and errors["ORT_ENABLE_ALL"] > 1e-2
EOF
