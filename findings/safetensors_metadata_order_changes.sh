#!/bin/sh
# Package: safetensors 0.8.0
# One would guess: the same tensors with the same metadata are the same file, as a format that is
# compared and pinned by its hash needs.
# What it does: the entries of __metadata__ are written in the order of a table that is seeded anew
# at every call: two calls in one process give files of two hashes. With one entry, or
# none, files are equal.
# Seen:
#   files of one entry: 1 hash
#   files of six entries: 20 hashes
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3.11 -m pip install -q --no-compile --target lib 'safetensors==0.8.0' 'numpy==2.4.6'
PYTHONPATH=lib python3.11 - <<'EOF'
import hashlib

import numpy
from safetensors.numpy import save


def hashes(entries):
    metadata = {f"key{i}": str(i) for i in range(entries)}
    files = [save({"weight": numpy.zeros(3, "float32")}, metadata) for _ in range(20)]
    return len({hashlib.sha256(file).hexdigest() for file in files})


print("files of one entry:", hashes(1), "hash")
print("files of six entries:", hashes(6), "hashes")
assert hashes(1) == 1 and hashes(6) > 1
EOF
