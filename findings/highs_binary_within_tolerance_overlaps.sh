#!/bin/sh
# Package: highspy 1.16.0 (HiGHS 1.16.0)
# One would guess: two buffers that live together, kept apart by a binary and a big M of the
# arena's size in bytes, do not overlap in a solution that is called optimal.
# What it does: a binary may be off by 1e-6. Times a big M of 1e9 that frees a thousand bytes:
# both buffers are put at offset 0, the peak is that of the larger one alone, and the status is
# Optimal. With M = 1e3 the same model is solved rightly.
# Seen:
#   Running HiGHS 1.16.0 (git hash: f3f113d): Copyright (c) 2026 under MIT licence terms
#   Includes third-party software components, see THIRD_PARTY_NOTICES.md for full details
#   M = 1e9: Optimal offsets 0.0 0.0 peak 300.0 binary 2e-07
#   M = 1e3: Optimal peak 499.999999
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3.11 -m pip install -q --no-compile --target lib 'highspy==1.16.0'
PYTHONPATH=lib python3.11 - <<'EOF'
import highspy


def place(size_a, size_b, arena):
    model = highspy.Highs()
    model.silent()
    a, b = model.addVariable(0, arena), model.addVariable(0, arena)
    peak, a_is_below = model.addVariable(0, arena), model.addBinary()
    model.addConstr(a + size_a <= b + arena * (1 - a_is_below))
    model.addConstr(b + size_b <= a + arena * a_is_below)
    model.addConstr(a + size_a <= peak)
    model.addConstr(b + size_b <= peak)
    model.minimize(peak)
    values = [model.val(v) for v in (a, b, peak)]
    return model.modelStatusToString(model.getModelStatus()), values, model.val(a_is_below)


status, (a, b, peak), binary = place(300, 200, 1_000_000_000)
print("M = 1e9:", status, "offsets", a, b, "peak", peak, "binary", binary)
assert status == "Optimal" and (a, b, peak) == (0, 0, 300)
status, (a, b, peak), binary = place(300, 200, 1_000)
print("M = 1e3:", status, "peak", peak)
assert status == "Optimal" and abs(peak - 500) < 1e-3
EOF
