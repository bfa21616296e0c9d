#!/bin/sh
# Package: onnxruntime-training-cpu 1.19.2 (its inference session), onnx 1.23.2
# One would guess: ReduceMax gives nan where a nan is, as Max does and as onnx's reference
# evaluator does.
# What it does: ReduceMax and ArgMax skip it. A check "is the largest gradient finite" passes with
# a nan in it.
# Seen:
#   Max ONNX Runtime [1.0, nan, 3.0] reference [1.0, nan, 3.0]
#   ReduceMax ONNX Runtime [3.0] reference [nan]
#   ArgMax ONNX Runtime [2] reference [1]
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
floats = np.array([1.0, np.nan, 3.0], np.float32)


def both(operator, kind):
    value = helper.make_tensor_value_info("x", TensorProto.FLOAT, [3])
    result = helper.make_tensor_value_info("y", kind, None)
    inputs = ["x", "x"] if operator == "Max" else ["x"]
    graph = helper.make_graph([helper.make_node(operator, inputs, ["y"])], "g", [value], [result])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    evaluators = (session, reference.ReferenceEvaluator(model))
    return [np.ravel(each.run(None, {"x": floats})[0]).tolist() for each in evaluators]


kinds = {"Max": TensorProto.FLOAT, "ReduceMax": TensorProto.FLOAT, "ArgMax": TensorProto.INT64}
for operator, kind in kinds.items():
    runtime, expected = both(operator, kind)
    print(operator, "ONNX Runtime", runtime, "reference", expected)
    if operator == "ReduceMax":
        assert runtime == [3.0] and np.isnan(expected[0])
    if operator == "ArgMax":
        assert runtime == [2] and expected == [1]
EOF
