"""Names of the files of an artifact for ExecuTorch."""

from __future__ import annotations

PROGRAM = "program.pte"
GENERATE = "generate.pte"
WEIGHTS = "weights.ptd"
