#!/bin/sh
# Package: gguf 0.19.0, numpy 2.4.6
# One would guess: Q8_0 keeps a group of 32 weights at least as well as Q4_0 does, however small
# the weights are.
# What it does: Q8_0 divides the largest weight by 127 and stores this scale as float16. For
# weights below about 3.8e-6, which a young LoRA matrix has, the scale rounds to zero and the
# whole group is lost. Q4_0 divides by 8, so its scale survives.
# Seen:
#   Q8_0 [0. 0. 0.]
#   Q4_0 [2.861023e-06 2.861023e-06 2.861023e-06]
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3.11 -m pip install -q --no-compile --target lib 'gguf==0.19.0' 'numpy==2.4.6'
PYTHONPATH=lib python3.11 - <<'EOF'
import gguf
import numpy as np

weights = np.full((1, 32), 3e-6, np.float32)
kept = {}
for kind in (gguf.GGMLQuantizationType.Q8_0, gguf.GGMLQuantizationType.Q4_0):
    kept[kind.name] = gguf.quants.dequantize(gguf.quants.quantize(weights, kind), kind)[0]
    print(kind.name, kept[kind.name][:3])
assert not kept["Q8_0"].any()
assert np.allclose(kept["Q4_0"], 3e-6, rtol=0.2, atol=0)
EOF
