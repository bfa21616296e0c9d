"""What stands in a list of passes: stages with a name and a contract, most of them passes over a graph."""

from __future__ import annotations

import inspect
import re
from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, ClassVar

from torch import fx

from lowpeak_compiler.ir.graph import TrainGraph, operator_name, place_of
from lowpeak_compiler.ir.property import Property

Properties = frozenset[Property]
NONE: Properties = frozenset()


class Stage:
    """A frozen dataclass whose fields are its options; the first line of its docstring says what it does.

    `name`: the class's, in snake case. The contract: properties that a graph must have before (`requires`),
    that it has after (`ensures`), and that it may have lost (`ends`).
    """

    name: ClassVar[str]
    requires: ClassVar[Properties] = NONE
    ensures: ClassVar[Properties] = NONE
    ends: ClassVar[Properties] = NONE

    def __init_subclass__(cls) -> None:
        cls.name = re.sub(r"(?<!^)(?=[A-Z])", "_", cls.__name__).lower()

    @classmethod
    def summary(cls) -> str:
        return (inspect.getdoc(cls) or "").partition("\n")[0]

    @classmethod
    def after(cls, properties: Iterable[Property]) -> Properties:
        """What a graph with these properties has after the stage."""
        return frozenset(properties) - cls.ends | cls.ensures

    def options(self) -> str:
        """Its options and their values, in a few words."""
        return ", ".join(f"{name}={_short(value)}" for name, value in vars(self).items())


@dataclass(frozen=True)
class Miss:
    """A node that a fusing pass left as it is, though it looks like the start of its pattern."""

    node: str
    operator: str
    place: str
    """Of the model, as a user knows it."""
    reason: str
    """The condition that failed."""

    @staticmethod
    def of(node: fx.Node, reason: str) -> Miss:
        return Miss(node.name, operator_name(node), place_of(node), reason)


class Pass(Stage, ABC):
    """A stage that rewrites a graph in place. The graph is valid before and after (`TrainGraph.verify`)."""

    @abstractmethod
    def run(self, graph: TrainGraph) -> int:
        """How often it applied."""

    def violation(self, graph: TrainGraph) -> str | None:
        """What shows that `run` did not do what these options ask for; None if nothing does."""
        return None

    def misses(self, graph: TrainGraph) -> list[Miss]:
        """Of a fusing pass, after `run`: near misses, each with the condition that failed."""
        return []


@dataclass(frozen=True)
class Later:
    """A pass in a list whose options are known once there is a graph or a plan.

    `options_text`: what they depend on. A list may leave it out when it is run: nothing is there to be done.
    """

    kind: type[Pass]
    options_text: str

    @property
    def name(self) -> str:
        return self.kind.name

    @property
    def requires(self) -> Properties:
        return self.kind.requires

    @property
    def ensures(self) -> Properties:
        return self.kind.ensures

    def summary(self) -> str:
        return self.kind.summary()

    def after(self, properties: Iterable[Property]) -> Properties:
        return self.kind.after(properties)

    def options(self) -> str:
        return self.options_text


Listed = Stage | Later


def _short(value: Any) -> str:
    if isinstance(value, frozenset | tuple | dict):
        return f"{len(value)} of them"
    return str(value)
