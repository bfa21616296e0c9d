#!/bin/sh
# Package: flwr 1.42.0, numpy 2.4.6
# One would guess: averaging a LoRA factor of rank 2 from one client with one of rank 1 from
# another is refused: the shapes differ.
# What it does: numpy broadcasts: the single row is added to both rows of the other, and the mean
# has rank 2. Only where the first reply is the smaller one is there an error. FedAvg aggregates
# by this function; it checks names, not shapes.
# Seen:
#   rank 2 with rank 1: [[0.5, 0.5, 0.5], [0.5, 0.5, 0.5]]
#   rank 1 with rank 2: ValueError
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3.11 -m pip install -q --no-compile --target lib 'flwr==1.42.0' 'numpy==2.4.6'
PYTHONPATH=lib python3.11 - <<'EOF'
import numpy as np
from flwr.app import Array, ArrayRecord, MetricRecord, RecordDict
from flwr.serverapp.strategy.strategy_utils import aggregate_arrayrecords


def reply(rank, value):
    arrays = ArrayRecord({"lora_A": Array(np.full((rank, 3), value, np.float32))})
    return RecordDict({"arrays": arrays, "metrics": MetricRecord({"num-examples": 1})})


mean = aggregate_arrayrecords([reply(2, 0.0), reply(1, 1.0)], "num-examples")["lora_A"].numpy()
print("rank 2 with rank 1:", mean.tolist())
assert mean.tolist() == [[0.5, 0.5, 0.5], [0.5, 0.5, 0.5]]
try:
    outcome = aggregate_arrayrecords([reply(1, 1.0), reply(2, 0.0)], "num-examples")
except ValueError as error:
    outcome = "ValueError"
print("rank 1 with rank 2:", outcome)
assert outcome == "ValueError"
EOF
