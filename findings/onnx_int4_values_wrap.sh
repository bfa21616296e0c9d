#!/bin/sh
# Package: onnx 1.23.2, ml_dtypes 0.6.0
# One would guess: helper.make_tensor refuses values that the type cannot hold: 300 as INT8 raises
# OverflowError.
# What it does: INT4 and UINT4 keep the low four bits in silence: a weight of 9 becomes -7, and -1
# becomes 15.
# Seen:
#   INT4 [7, -8, -7] UINT4 [15, 0, 15]
#   INT8 OverflowError: Python integer 300 out of bounds for int8
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3.11 -m pip install -q --no-compile --target lib 'onnx==1.23.2' 'ml_dtypes==0.6.0' 'numpy==2.4.6'
PYTHONPATH=lib python3.11 - <<'EOF'
from onnx import TensorProto, helper, numpy_helper


def stored(kind, values):
    return numpy_helper.to_array(helper.make_tensor("t", kind, (len(values),), values)).astype(int).tolist()


signed, unsigned = stored(TensorProto.INT4, [7, 8, 9]), stored(TensorProto.UINT4, [15, 16, -1])
print("INT4", signed, "UINT4", unsigned)
try:
    outcome = stored(TensorProto.INT8, [300])
except OverflowError as error:
    outcome = f"OverflowError: {error}"
print("INT8", outcome)
assert signed == [7, -8, -7] and unsigned == [15, 0, 15] and outcome.startswith("OverflowError")
EOF
