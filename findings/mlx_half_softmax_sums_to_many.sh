#!/bin/sh
# Package: mlx 0.32.4 with mlx-cpu 0.32.4, on the CPU
# One would guess: a softmax over a vocabulary sums to about 1, in bfloat16 and float16 as well.
# What it does: on the CPU the exponentials are added up in the half type itself, where the sum
# stops growing (at 256 in bfloat16, at 2048 in float16). Over 32,000 equal logits the
# probabilities sum to 125. precise=True is right, and so is logsumexp.
# Seen:
#   {'bfloat16': 125.0, 'float16': 15.625, 'bfloat16, precise': 0.99945068359375}
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3.11 -m pip install -q --no-compile --target lib 'mlx==0.32.4' 'mlx-cpu==0.32.4'
PYTHONPATH=lib python3.11 - <<'EOF'
import mlx.core as mx


def total(dtype, width, **options):
    return mx.softmax(mx.zeros((1, width), dtype=dtype), **options).astype(mx.float32).sum().item()


sums = {
    "bfloat16": total(mx.bfloat16, 32_000),
    "float16": total(mx.float16, 32_000),
    "bfloat16, precise": total(mx.bfloat16, 32_000, precise=True),
}
print(sums)
assert sums["bfloat16"] > 100 and sums["float16"] > 10
assert abs(sums["bfloat16, precise"] - 1) < 0.01
EOF
