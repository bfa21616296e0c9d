#!/bin/sh
# Package: mlx-lm 0.32.2, mlx 0.32.4 with mlx-cpu 0.32.4
# One would guess: LoRA training with prompts masked learns the tokens of the answer, and no
# padding.
# What it does: default_loss lets through one position too many: `steps <= lengths` holds for the
# first padding token as well. Each sequence that is shorter than the padded batch also trains the
# model to say token 0 after its end, and the token count by which the loss is divided holds it
# too.
# Seen:
#   tokens counted 3 tokens learned [8, 9, 0]
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3.11 -m pip install -q --no-compile --target lib 'mlx==0.32.4' 'mlx-cpu==0.32.4' 'mlx-lm==0.32.2'
PYTHONPATH=lib python3.11 - <<'EOF'
import mlx.core as mx
from mlx_lm.tuner.trainer import default_loss, iterate_batches

# one example of 5 tokens, of which the first 3 are the prompt: two tokens are to be learned
[(batch, lengths)] = list(iterate_batches([([5, 6, 7, 8, 9], 3)], 1, 64))
targets = batch[:, 1:]


def loss_if_known(position):
    logits = mx.zeros((*targets.shape, 16))
    if position is not None:
        logits[0, position, targets[0, position]] = 50.0
    loss, count = default_loss(lambda inputs: logits, batch, lengths)
    return loss.item(), count.item()


unknown, count = loss_if_known(None)
learned = [targets[0, p].item() for p in range(targets.shape[1]) if loss_if_known(p)[0] < unknown - 0.1]
print("tokens counted", count, "tokens learned", learned)
assert count == 3 and learned == [8, 9, 0]
EOF
