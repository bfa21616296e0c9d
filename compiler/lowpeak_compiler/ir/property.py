"""A named property of a graph, with what shows that a graph has it not."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lowpeak_compiler.ir.graph import TrainGraph


@dataclass(frozen=True)
class Property:
    """Passes require, ensure and end properties; a graph carries those that it has been given.

    `violation`: says which node of a graph shows that the graph has it not, None if none does. It is called
    after every pass, and is linear in the nodes. Without one the property is a promise about the order of
    passes only.
    """

    name: str
    meaning: str
    violation: Callable[[TrainGraph], str | None] | None = field(default=None, compare=False, repr=False)

    def __str__(self) -> str:
        return self.name
