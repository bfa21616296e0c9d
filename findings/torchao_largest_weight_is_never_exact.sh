#!/bin/sh
# Package: torchao 0.18.0, torch 2.13.0
# One would guess: symmetric int4 keeps the largest weight of a group nearly exactly (scale =
# largest / 8, or / 7).
# What it does: the scale is largest / 7.5, and codes run from -8 to 7: the largest weight is
# always off by one part in fifteen, too small if it is positive, too large if it is negative.
# Outliers, which matter most, err most.
# Seen:
#   0.8 -> 0.7467 ; -0.8 -> -0.8533
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3.11 -m pip install -q --no-compile --target lib 'torchao==0.18.0' 'torch==2.13.0' 'numpy==2.4.6'
PYTHONPATH=lib python3.11 - <<'EOF'
import torch
from torchao.quantization import IntxWeightOnlyConfig, quantize_
from torchao.quantization.granularity import PerGroup


def after(largest):
    layer = torch.nn.Linear(32, 1, bias=False)
    torch.nn.init.constant_(layer.weight, 0.1)
    layer.weight.data[0, 0] = largest
    quantize_(layer, IntxWeightOnlyConfig(weight_dtype=torch.int4, granularity=PerGroup(32)))
    return round(layer.weight.dequantize()[0, 0].item(), 4)


print("0.8 ->", after(0.8), "; -0.8 ->", after(-0.8))
assert (after(0.8), after(-0.8)) == (0.7467, -0.8533)
EOF
