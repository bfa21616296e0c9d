#!/bin/sh
# Package: onnxruntime-training-cpu 1.19.2, onnx 1.23.2
# One would guess: a Dropout node whose training_mode is false passes the gradient on as it passes
# the values on.
# What it does: the loss is that of a model without dropout, but the gradient is multiplied by 1 /
# (1 - ratio): twice as large at a ratio of 0.5. A model exported for inference trains with
# another learning rate below each such node.
# Seen:
#   ratio 0.0 (1.3863, [0.25, -0.75, 0.25, 0.25])
#   ratio 0.5 (1.3863, [0.5, -1.5, 0.5, 0.5])
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3.11 -m pip install -q --no-compile --target lib 'onnxruntime-training-cpu==1.19.2' 'onnx==1.23.2' \
  'numpy==2.4.6' 'torch==2.13.0'
PYTHONPATH=lib python3.11 - <<'EOF'
import numpy as np
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.training import artifacts
from onnxruntime.training.api import CheckpointState, Module


def loss_and_gradient(ratio):
    nodes = [
        helper.make_node("MatMul", ["x", "weight"], ["hidden"]),
        helper.make_node("Dropout", ["hidden", "ratio", "training_mode"], ["kept", "mask"]),
        helper.make_node("Identity", ["kept"], ["y"]),
    ]
    weight = np.zeros((3, 4), np.float32)
    constants = {"weight": weight, "ratio": np.float32(ratio), "training_mode": np.array(False)}
    initializers = [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()]
    inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 3])]
    outputs = [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", 4])]
    graph = helper.make_graph(nodes, "g", inputs, outputs, initializers)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    artifacts.generate_artifacts(model, requires_grad=["weight"], loss=artifacts.LossType.CrossEntropyLoss)
    state = CheckpointState.load_checkpoint("checkpoint")
    module = Module("training_model.onnx", state)
    module.train()
    loss = module(np.array([[1, 2, 3]], np.float32), np.array([1]))
    return round(float(loss), 4), state.parameters["weight"].grad[0].tolist()


plain, idle = loss_and_gradient(0.0), loss_and_gradient(0.5)
print("ratio 0.0", plain)
print("ratio 0.5", idle)
assert plain[0] == idle[0] and idle[1] == [2 * value for value in plain[1]]
EOF
