"""Where a rule for an inexact operator enters the operator's record."""

from __future__ import annotations

from collections.abc import Callable

from torch._ops import OpOverload

from lowpeak_artifact.ops.record import attach
from lowpeak_compiler.passes.rewrite import Rule


def replaces(*operators: OpOverload) -> Callable[[Rule], Rule]:
    """The decorated rule is the `replacement` of these operators."""
    return attach("replacement", *operators)
