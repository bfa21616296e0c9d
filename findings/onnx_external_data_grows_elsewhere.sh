#!/bin/sh
# Package: onnx 1.23.2
# One would guess: saving a model with external data over its earlier files replaces both, or is
# refused, wherever the model lies.
# What it does: the file of that name is looked for in the working folder, not beside the model.
# Saved into another folder three times, the data file has three times the size: new tensors are
# put behind the old ones. And with a file of the name in the working folder, a model is not saved
# into a folder that is empty.
# Seen:
#   20000 bytes, then 40000, then 60000
#   into an empty folder: FileExistsError
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3.11 -m pip install -q --no-compile --target lib 'onnx==1.23.2' 'numpy==2.4.6'
mkdir model empty
PYTHONPATH=lib python3.11 - <<'EOF'
import os
from copy import deepcopy
from pathlib import Path

import numpy
import onnx
from onnx import helper, numpy_helper

weight = numpy_helper.from_array(numpy.ones(5000, "float32"), "weight")
ends = [helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [5000]) for name in ("x", "y")]
graph = helper.make_graph([helper.make_node("Add", ["x", "weight"], ["y"])], "sum", ends[:1], ends[1:], [weight])
model = helper.make_model(graph)


def save(folder):
    path = f"{folder}/model.onnx"
    onnx.save_model(deepcopy(model), path, save_as_external_data=True, location="weights.bin")


sizes = []
for _ in range(3):
    save("model")
    sizes.append(os.path.getsize("model/weights.bin"))
print(sizes[0], "bytes, then", sizes[1], "then", sizes[2])
Path("weights.bin").touch()
try:
    save("empty")
    refused = None
except FileExistsError as error:
    refused = type(error).__name__
print("into an empty folder:", refused)
assert sizes == [20000, 40000, 60000] and refused
EOF
