#!/bin/sh
# Package: ml_dtypes 0.6.0, numpy 2.4.6
# One would guess: numpy's sum and mean of bfloat16 are as good as its own of float16 (pairwise,
# the mean in float32); int4 sums are wider, as numpy's of int8 are.
# What it does: bfloat16 is added up one by one in bfloat16: the sum of 1000 ones is 256 and their
# mean 0.256. int4 sums wrap within four bits: 7 + 7 is -2. The dot product is right.
# Seen:
#   {'bfloat16 sum': 256.0, 'bfloat16 mean': 0.255859375, 'bfloat16 dot': 1000.0, 'float16 mean': 1.0, 'int4 sum': -2, 'int8 sum': 200}
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3.11 -m pip install -q --no-compile --target lib 'ml_dtypes==0.6.0' 'numpy==2.4.6'
PYTHONPATH=lib python3.11 - <<'EOF'
import ml_dtypes
import numpy as np

ones = np.ones(1000, ml_dtypes.bfloat16)
seen = {
    "bfloat16 sum": float(ones.sum()),
    "bfloat16 mean": float(ones.mean()),
    "bfloat16 dot": float(ones @ ones),
    "float16 mean": float(np.ones(1000, np.float16).mean()),
    "int4 sum": int(np.array([7, 7], ml_dtypes.int4).sum()),
    "int8 sum": int(np.array([100, 100], np.int8).sum()),
}
print(seen)
assert (seen["bfloat16 sum"], seen["bfloat16 dot"], seen["float16 mean"]) == (256, 1000, 1)
assert abs(seen["bfloat16 mean"] - 0.256) < 1e-3 and (seen["int4 sum"], seen["int8 sum"]) == (-2, 200)
EOF
