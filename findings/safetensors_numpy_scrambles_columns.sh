#!/bin/sh
# Package: safetensors 0.8.0, numpy 2.4.6
# One would guess: safetensors.numpy stores an array that is not C-contiguous by value, or refuses
# it as safetensors.torch does.
# What it does: it writes the array's memory as it lies beside the array's shape. A
# Fortran-ordered array, such as a transposed weight, is read back with its values in other
# places, in silence.
# Seen:
#   saved  [[0.0, 1.0, 2.0], [3.0, 4.0, 5.0]]
#   loaded [[0.0, 3.0, 1.0], [4.0, 2.0, 5.0]]
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3.11 -m pip install -q --no-compile --target lib 'safetensors==0.8.0' 'numpy==2.4.6'
PYTHONPATH=lib python3.11 - <<'EOF'
import numpy as np
from safetensors.numpy import load, save

weight = np.asfortranarray([[0.0, 1.0, 2.0], [3.0, 4.0, 5.0]])
loaded = load(save({"weight": weight}))["weight"]
print("saved ", weight.tolist())
print("loaded", loaded.tolist())
assert loaded.tolist() == [[0.0, 3.0, 1.0], [4.0, 2.0, 5.0]]
EOF
