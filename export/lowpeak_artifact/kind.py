"""Why a value is in memory."""

from __future__ import annotations

from enum import StrEnum


class Kind(StrEnum):
    """Why a value is in memory; also the categories of the memory timeline."""

    BATCH = "batch"
    ADAPTER = "adapter"
    GRADIENT = "gradient"
    LOSS = "loss"
    WEIGHT = "dequantized weight"
    ACTIVATION = "activation"
