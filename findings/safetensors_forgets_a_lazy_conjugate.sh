#!/bin/sh
# Package: safetensors 0.8.0, torch 2.13.0
# One would guess: save stores the values that the tensor shows.
# What it does: torch's conj() only sets a flag, and save writes the memory below it: the
# conjugate of the rotary table comes back unconjugated, every rotation turned round. It passes
# the check for contiguity.
# Seen:
#   saved (1-2j) loaded (1+2j) contiguous True
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3.11 -m pip install -q --no-compile --target lib 'safetensors==0.8.0' 'torch==2.13.0' 'numpy==2.4.6'
PYTHONPATH=lib python3.11 - <<'EOF'
import torch
from safetensors.torch import load, save

table = torch.tensor([1 + 2j]).conj()
loaded = load(save({"table": table}))["table"]
print("saved", table.item(), "loaded", loaded.item(), "contiguous", table.is_contiguous())
assert table.item() == 1 - 2j and loaded.item() == 1 + 2j
EOF
