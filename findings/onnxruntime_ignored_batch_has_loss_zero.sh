#!/bin/sh
# Package: onnxruntime-training-cpu 1.19.2 (its inference session), onnx 1.23.2
# One would guess: SoftmaxCrossEntropyLoss over labels that are all ignored is nan, as in PyTorch
# and in onnx's reference evaluator: no mean of nothing.
# What it does: it is 0.0, the best loss there is. A batch whose answers were cut off looks
# learned.
# Seen:
#   ONNX Runtime 0.0 reference nan
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
node = helper.make_node("SoftmaxCrossEntropyLoss", ["logits", "labels"], ["loss"], ignore_index=-100)
inputs = [
    helper.make_tensor_value_info("logits", TensorProto.FLOAT, [2, 3]),
    helper.make_tensor_value_info("labels", TensorProto.INT64, [2]),
]
graph = helper.make_graph([node], "g", inputs, [helper.make_tensor_value_info("loss", TensorProto.FLOAT, [])])
model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
feed = {"logits": np.zeros((2, 3), np.float32), "labels": np.array([-100, -100])}
session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
runtime = float(session.run(None, feed)[0])
expected = float(reference.ReferenceEvaluator(model).run(None, feed)[0])
print("ONNX Runtime", runtime, "reference", expected)
assert runtime == 0.0 and np.isnan(expected)
EOF
