"""How one operation is done tile by tile along the token axis."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from torch import fx

from lowpeak_compiler.ir.nodes import function_of


class CannotTile(Exception):
    """The graph has no token axis, or one that an operation does not leave as an axis; the text says why."""


@dataclass(frozen=True)
class Piece:
    """A tile in the making: rows [start, start + rows) of the tokens."""

    args: tuple[Any, ...]
    """The operation's arguments, operands replaced by their tiles or wholes."""
    start: int
    rows: int
    previous: fx.Node | None
    """The tile made before it, if the operation carries results from tile to tile."""
    call: Callable[..., fx.Node]
    """Puts one more operation in front: operator, then its arguments."""


Call = tuple[Callable[..., Any], tuple[Any, ...]]


def same_call(node: fx.Node, piece: Piece) -> Call:
    """The operation itself."""
    return function_of(node), piece.args


@dataclass(frozen=True)
class Split:
    """`axes[i]`: the token axis of output i, None for one that is only there as a whole."""

    axes: tuple[int | None, ...]
    needs: Mapping[fx.Node, int]
    """Operands of which a tile reads its own rows, with their token axis; it reads the others whole."""
    call: Callable[[fx.Node, Piece], Call] = same_call
    """Operator and arguments of a tile."""
    carried: tuple[int, ...] = ()
    """Outputs that every tile adds to. One with a token axis is made from the last tile to the first, and a
    tile's rows of it are complete with that tile.
    """
