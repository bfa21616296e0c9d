#!/bin/sh
# Package: optax 0.2.8, jax 0.10.2
# One would guess: a label of -1 or -100 is ignored or an error, as -100 is ignored in PyTorch.
# What it does: -1 is the last class, in silence: padding marked with -1 teaches the last token of
# the vocabulary. Others out of range are nan.
# Seen:
#   {3: 0.3408, -1: 0.3408, -100: nan, 4: nan}
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3.11 -m pip install -q --no-compile --target lib 'optax==0.2.8' 'jax==0.10.2' 'jaxlib==0.10.2' \
  'numpy==2.4.6'
PYTHONPATH=lib python3.11 - <<'EOF'
import jax.numpy as jnp
from optax import softmax_cross_entropy_with_integer_labels as cross_entropy

logits = jnp.array([[0.0, 0.0, 0.0, 2.0]])
losses = {label: round(cross_entropy(logits, jnp.array([label])).item(), 4) for label in (3, -1, -100, 4)}
print(losses)
assert losses[-1] == losses[3] and losses[-100] != losses[-100] and losses[4] != losses[4]
EOF
