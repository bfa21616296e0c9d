"""How one operation is done tile by tile along the token axis."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from torch import fx

from lowpeak_compiler.ir.nodes import function_of


class CannotTile(Exception):
    """The graph has no token axis, or an operation does not preserve it as one axis; the text says which."""


@dataclass(frozen=True)
class Piece:
    """The tile that is being built: rows [start, start + rows) of the tokens."""

    args: tuple[Any, ...]
    """The operation's arguments, each operand replaced by its tile or its whole value."""
    start: int
    rows: int
    previous: fx.Node | None
    """The tile that was built before it, if the operation has loop-carried results."""
    call: Callable[..., fx.Node]
    """Inserts one more operation before the tile: operator, then its arguments."""


Call = tuple[Callable[..., Any], tuple[Any, ...]]


def same_call(node: fx.Node, piece: Piece) -> Call:
    """The operation itself."""
    return function_of(node), piece.args


@dataclass(frozen=True)
class Split:
    """`axes[i]`: the token axis of output i; None for an output that has none, and exists as a whole only."""

    axes: tuple[int | None, ...]
    needs: Mapping[fx.Node, int]
    """Operands of which a tile reads its own rows only, with their token axis. Others are read whole."""
    call: Callable[[fx.Node, Piece], Call] = same_call
    """Operator and arguments of a tile."""
    carried: tuple[int, ...] = ()
    """Loop-carried outputs: accumulators that every tile adds to. If one has a token axis, tiles run from the
    last to the first, and a tile's rows of it are complete after that tile.
    """
