#!/bin/sh
# Package: onnxruntime-training-cpu 1.19.2, onnx 1.23.2
# One would guess: ScatterND with reduction "add" adds every row that is given for a place, as its
# specification says; it is the gradient of an embedding, where a token stands in a text many times.
# What it does: rows are added in several threads at once, without a lock: terms are lost, others at
# every run, and nothing is said. With one thread the sum is right, with two about half of it is
# there. The option use_deterministic_compute changes nothing; ScatterElements is right.
# Seen, of 100000 rows of ones for one place, 50 runs:
#   ScatterND, 1 thread: 100000 to 100000
#   ScatterND, 2 threads: 38037 to 61020
#   ScatterElements, 2 threads: 100000 to 100000
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3.11 -m pip install -q --no-compile --target lib 'onnxruntime-training-cpu==1.19.2' 'onnx==1.23.2' \
    'numpy==2.4.6'
PYTHONPATH=lib python3.11 - <<'EOF'
import numpy
import onnxruntime
from onnx import TensorProto, helper

ROWS, WIDTH = 100_000, 4


def sums(operator, places, threads, **attributes):
    node = helper.make_node(operator, ["table", "places", "rows"], ["sum"], reduction="add", **attributes)
    inputs = [
        helper.make_tensor_value_info("table", TensorProto.FLOAT, [7, WIDTH]),
        helper.make_tensor_value_info("places", TensorProto.INT64, list(places.shape)),
        helper.make_tensor_value_info("rows", TensorProto.FLOAT, [ROWS, WIDTH]),
    ]
    result = helper.make_tensor_value_info("sum", TensorProto.FLOAT, [7, WIDTH])
    graph = helper.make_graph([node], "sum", inputs, [result])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.use_deterministic_compute = True
    session = onnxruntime.InferenceSession(model.SerializeToString(), options)
    table, rows = numpy.zeros((7, WIDTH), "float32"), numpy.ones((ROWS, WIDTH), "float32")
    given = {"table": table, "places": places, "rows": rows}
    found = [float(session.run(None, given)[0][0, 0]) for _ in range(50)]
    print(f"{operator}, {threads} thread{'s' * (threads > 1)}: {min(found):.0f} to {max(found):.0f}")
    return min(found)


whole = numpy.zeros((ROWS, 1), "int64")
assert sums("ScatterND", whole, 1) == ROWS
assert sums("ScatterND", whole, 2) < ROWS
assert sums("ScatterElements", numpy.zeros((ROWS, WIDTH), "int64"), 2, axis=0) == ROWS
EOF
