#!/bin/sh
# Package: safetensors 0.8.0, torch 2.13.0
# One would guess: what load_file reads from a file, load reads from the same file's bytes.
# What it does: MXFP4's types are known to one of them. A tensor of float8_e8m0fnu scales is saved
# and read by load_file; load raises KeyError, which does not say that a type is meant.
# Seen:
#   load_file tensor([1., 1.], dtype=torch.float8_e8m0fnu)
#   load KeyError 'F8_E8M0'
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3.11 -m pip install -q --no-compile --target lib 'safetensors==0.8.0' 'torch==2.13.0' 'numpy==2.4.6'
PYTHONPATH=lib python3.11 - <<'EOF'
import torch
from safetensors.torch import load, load_file, save_file

scales = torch.full((2,), 127, dtype=torch.uint8).view(torch.float8_e8m0fnu)
save_file({"scales": scales}, "scales.safetensors")
print("load_file", load_file("scales.safetensors")["scales"])
try:
    outcome = load(open("scales.safetensors", "rb").read())
except KeyError as error:
    outcome = f"KeyError {error}"
print("load", outcome)
assert outcome == "KeyError 'F8_E8M0'"
EOF
