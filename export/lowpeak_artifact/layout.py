"""Names of an artifact's files, whatever it was compiled for."""

from __future__ import annotations

CONSTANTS = "constants.safetensors"
SAFETENSORS_WEIGHTS = "weights.safetensors"
ADAPTER = "adapter.safetensors"
ADAPTER_FROZEN = "adapter_frozen.safetensors"
"""What the trained adapter's file holds beside what is trained; there if there is any."""
GRAPH = "graph.json"
PLAN = "plan.csv"
SAMPLE = "sample.safetensors"
