"""Why a value is in memory."""

from __future__ import annotations

from enum import Enum


class Kind(str, Enum):
    """Why a value is in memory; also the categories of the memory timeline."""

    BATCH = "batch"
    ADAPTER = "adapter"
    GRADIENT = "gradient"
    LOSS = "loss"
    WEIGHT = "dequantized weight"
    ACTIVATION = "activation"

    __str__ = str.__str__
