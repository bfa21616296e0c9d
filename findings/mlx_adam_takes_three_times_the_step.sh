#!/bin/sh
# Package: mlx 0.32.4 with mlx-cpu 0.32.4
# One would guess: Adam's first step has the length of the learning rate, as in PyTorch and optax.
# What it does: bias correction is off unless asked for (and so for AdamW), so that the first step
# is (1 - b1) / sqrt(1 - b2) = 3.16 times the learning rate, the third 5 times. A learning rate
# that was tuned elsewhere is too large here.
# Seen:
#   default [0.3162, 0.425, 0.495] with bias_correction [0.1, 0.1, 0.1]
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3.11 -m pip install -q --no-compile --target lib 'mlx==0.32.4' 'mlx-cpu==0.32.4'
PYTHONPATH=lib python3.11 - <<'EOF'
import mlx.core as mx
import mlx.optimizers as optimizers


def steps(**options):
    adam, weights, seen = optimizers.Adam(learning_rate=0.1, **options), {"w": mx.zeros(1)}, []
    for _ in range(3):
        updated = adam.apply_gradients({"w": mx.array([1.0])}, weights)
        seen.append(round((weights["w"] - updated["w"]).item(), 4))
        weights = updated
    return seen


plain, corrected = steps(), steps(bias_correction=True)
print("default", plain, "with bias_correction", corrected)
assert abs(plain[0] - 0.3162) < 1e-3 and abs(corrected[0] - 0.1) < 1e-3
EOF
