#!/bin/sh
# Package: torch 2.13.0, ml_dtypes 0.6.0
# One would guess: both convert float32 to float8 alike: these formats are specified.
# What it does: 1000 as float8_e4m3fn is 448 in torch and nan in ml_dtypes (and so in what JAX or
# numpy write). As an e8m0 scale, -2 is 2 in torch and nan in ml_dtypes. torch does not saturate
# float8_e5m2: 1e6 is infinite.
# Seen:
#   float8_e4m3fn of 1000: torch 448, ml_dtypes nan
#   float8_e8m0fnu of -2: torch 2, ml_dtypes nan
#   float8_e5m2 of 1e+06: torch inf, ml_dtypes inf
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3.11 -m pip install -q --no-compile --target lib 'torch==2.13.0' 'ml_dtypes==0.6.0' 'numpy==2.4.6'
PYTHONPATH=lib python3.11 - <<'EOF'
import ml_dtypes
import numpy as np
import torch

cases = [("float8_e4m3fn", 1000.0), ("float8_e8m0fnu", -2.0), ("float8_e5m2", 1e6)]
seen = []
for name, number in cases:
    in_torch = torch.tensor([number]).to(getattr(torch, name)).float().item()
    in_numpy = float(np.float32(number).astype(getattr(ml_dtypes, name)))
    seen.append((in_torch, in_numpy))
    print(f"{name} of {number:g}: torch {in_torch:g}, ml_dtypes {in_numpy:g}")
assert seen[0][0] == 448 and seen[1][0] == 2 and np.isnan([seen[0][1], seen[1][1]]).all()
assert seen[2] == (float("inf"), float("inf"))
EOF
