#!/bin/sh
# Package: ortools 9.15.6755 (CP-SAT)
# One would guess: an interval of length zero takes no room, so it may lie inside another one.
# What it does: add_no_overlap and add_no_overlap_2d call it infeasible; add_cumulative with a
# demand above the capacity allows it. A planner that hands tensors without elements to the first
# two finds no plan at all.
# Seen:
#   {'no_overlap': 'INFEASIBLE', 'no_overlap_2d': 'INFEASIBLE', 'cumulative': 'OPTIMAL'}
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3.11 -m pip install -q --no-compile --target lib 'ortools==9.15.6755'
PYTHONPATH=lib python3.11 - <<'EOF'
from ortools.sat.python import cp_model


def status(constrain):
    model = cp_model.CpModel()
    long = model.new_fixed_size_interval_var(0, 10, "long")
    empty = model.new_fixed_size_interval_var(5, 0, "empty")
    constrain(model, long, empty)
    solver = cp_model.CpSolver()
    return solver.status_name(solver.solve(model))


def plane(model, long, empty):
    rows = [model.new_fixed_size_interval_var(0, 4, name) for name in "ab"]
    model.add_no_overlap_2d([long, empty], rows)


seen = {
    "no_overlap": status(lambda model, long, empty: model.add_no_overlap([long, empty])),
    "no_overlap_2d": status(plane),
    "cumulative": status(lambda model, long, empty: model.add_cumulative([long, empty], [5, 9], 6)),
}
print(seen)
assert seen == {"no_overlap": "INFEASIBLE", "no_overlap_2d": "INFEASIBLE", "cumulative": "OPTIMAL"}
EOF
