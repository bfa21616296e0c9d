"""Names of an artifact's files, whatever it was compiled for. Nothing here needs torch."""

from __future__ import annotations

MANIFEST = "manifest.json"
SIGNATURE = "manifest.json.minisig"
"""Lies beside the manifest and is listed by none: it is verified by itself (signature.py)."""
CONSTANTS = "constants.safetensors"
SAFETENSORS_WEIGHTS = "weights.safetensors"
ADAPTER = "adapter.safetensors"
ADAPTER_FROZEN = "adapter_frozen.safetensors"
"""What the trained adapter's file holds beside what is trained; there if there is any."""
GRAPH = "graph.json"
PLAN = "plan.csv"
SAMPLE = "sample.safetensors"
