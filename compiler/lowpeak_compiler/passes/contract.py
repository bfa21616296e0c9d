"""A list of passes whose contracts fit each other: checked when it is made, cut by name.

A pass that requires a property follows one that ensures it, and no pass between them ends it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches

from lowpeak_compiler.ir.property import Property
from lowpeak_compiler.passes.stage import Later, Listed, Pass

Passes = tuple[Listed, ...]
Made = Mapping[type[Pass], Pass | None]
"""By kind, what a Later becomes; None: nothing is there to be done."""


class ContractError(ValueError):
    """The contracts of a list's passes do not fit each other."""


@dataclass(frozen=True)
class Pipeline:
    """`forward` and `joint` run once, `variant` for each way to lower the joint graph, `plan` on the chosen
    one. Raises ContractError.
    """

    forward: Passes
    joint: Passes
    variant: Passes
    plan: Passes

    def __post_init__(self) -> None:
        require_fit(self.stages)

    @property
    def stages(self) -> Passes:
        return (*self.forward, *self.joint, *self.variant, *self.plan)

    @property
    def names(self) -> list[str]:
        return [stage.name for stage in self.stages]

    def until(self, name: str) -> Pipeline:
        """The list up to this pass. Raises ValueError that names the near one, and all there are."""
        require_known(name, self.names)
        left = self.names.index(name) + 1
        parts = {}
        for part in ("forward", "joint", "variant", "plan"):
            whole: Passes = getattr(self, part)
            parts[part] = whole[: max(left, 0)]
            left -= len(whole)
        return replace(self, **parts)


def require_known(name: str, names: Sequence[str]) -> None:
    if name not in names:
        near = get_close_matches(name.lower().replace("-", "_"), names, 1, 0.6)
        meant = f"; did you mean {near[0]}?" if near else "."
        raise ValueError(f"no pass {name!r} in this list{meant} It has: {', '.join(names)}")


def require_fit(stages: Sequence[Listed]) -> None:
    """Raises ContractError naming the pass that lacks a property, and the pass that ended or ensures it."""
    holds: frozenset[Property] = frozenset()
    ended: dict[Property, str] = {}
    for position, stage in enumerate(stages):
        for missing in sorted(stage.requires - holds, key=str):
            later = next((other.name for other in stages[position:] if missing in other.ensures), None)
            if missing in ended:
                why = f"which {ended[missing]!r} before it ends"
            elif later is not None:
                why = f"which {later!r} ensures, but runs after it"
            else:
                why = "which no pass of the list ensures"
            raise ContractError(f"{stage.name!r} requires {missing.name!r} ({missing.meaning}), {why}")
        after = stage.after(holds)
        ended.update(dict.fromkeys(holds - after, stage.name))
        holds = after


def made(stages: Iterable[Listed], later: Made) -> tuple[Pass, ...]:
    """The passes of a part of the list, those with options from `later` where it has one."""
    passes = (later.get(stage.kind) if isinstance(stage, Later) else stage for stage in stages)
    return tuple(each for each in passes if isinstance(each, Pass))
