#!/bin/sh
# Package: flatbuffers 25.12.19 (the Python package's flexbuffers)
# One would guess: FlexBuffers hold doubles, so every Python float can be written.
# What it does: to choose a width the encoder first packs the number as a 32-bit float, and that
# raises OverflowError for everything above 3.4e38. A field of width 8 is never tried.
# Seen:
#   1e+38 -> 1e+38
#   1e+39 -> OverflowError: float too large to pack with f format
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3.11 -m pip install -q --no-compile --target lib 'flatbuffers==25.12.19'
PYTHONPATH=lib python3.11 - <<'EOF'
from flatbuffers import flexbuffers

for number in (1e38, 1e39):
    try:
        outcome = flexbuffers.Loads(bytes(flexbuffers.Dumps(number)))
    except OverflowError as error:
        outcome = f"{type(error).__name__}: {error}"
    print(number, "->", outcome)
assert outcome == "OverflowError: float too large to pack with f format"
EOF
