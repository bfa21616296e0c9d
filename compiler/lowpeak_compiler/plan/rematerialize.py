"""Decisions about the tensors saved for the backward, and a program with the decisions carried out.

keep       the value stays in memory until its last use
recompute  its operation runs once more, just before the backward needs the value
offload    a store writes the value to a file after its definition; just before the backward needs it, a load
           starts reading it into new memory, and a wait returns that memory once it has been read

Input: the baseline program (nothing recomputed or offloaded) and decisions. Output: a program.
Invariant: the backward reads each value under the decision made for it; forward operations do not change.
What it does not do: choose the decisions, or the best place of a load.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from lowpeak_compiler.plan.cost import Rates
from lowpeak_compiler.plan.program import Io, Op, Program, Value

COPY_SUFFIX = "_recomputed"
STORE_SUFFIX = "_store"
LOAD_SUFFIX = "_load"
LOADED_SUFFIX = "_loaded"


@dataclass(frozen=True)
class Decisions:
    """Names of operations to recompute and of values to offload; all else that the backward needs is kept."""

    recompute: frozenset[str] = frozenset()
    offload: frozenset[str] = frozenset()


def carry_out(program: Program, decisions: Decisions, rates: Rates) -> Program:
    """The program with recomputed operations, stores and loads inserted; backward operations read their
    results. A value that is to be offloaded but that no backward operation reads is not stored.
    """
    builder = _Builder(program, decisions, rates)
    result = builder.build()
    unread = {program.values[value].name for value in builder.tokens if value not in builder.replaced}
    if not unread:
        return result
    return carry_out(program, replace(decisions, offload=decisions.offload - unread), rates)


@dataclass
class _Builder:
    """`replaced`: value that the backward reads instead of a forward one; `tokens`: result of each value's
    store, by which its load depends on it.
    """

    program: Program
    decisions: Decisions
    rates: Rates
    values: list[Value] = field(default_factory=list)
    ops: list[Op] = field(default_factory=list)
    replaced: dict[int, int] = field(default_factory=dict)
    tokens: dict[int, int] = field(default_factory=dict)

    def build(self) -> Program:
        self.values = list(self.program.values)
        self.producer = {value: step for step, op in enumerate(self.program.ops) for value in op.writes}
        for op in self.program.ops:
            self.ops.append(op if op.forward else self._redirected(op))
            for value in op.writes:
                if self.program.values[value].name in self.decisions.offload:
                    self._store(value)
        return replace(self.program, values=tuple(self.values), ops=tuple(self.ops))

    def _redirected(self, op: Op) -> Op:
        """The operation reading the backward's version of each operand; missing ones are inserted first."""
        source = {value: self._in_backward(value) for value in op.reads}
        if all(value == read for value, read in source.items()):
            return op
        return replace(
            op,
            reads=tuple(dict.fromkeys(source.values())),
            in_place=tuple((written, source[value]) for written, value in op.in_place),
        )

    def _in_backward(self, value: int) -> int:
        if value in self.replaced:
            return self.replaced[value]
        if value in self.tokens:
            self._load(value)
            return self.replaced[value]
        step = self._recomputed_by(value)
        if step is None:
            return value
        self._recompute(step)
        return self.replaced[value]

    def _recompute(self, wanted: int) -> None:
        """Recomputes the operation at step `wanted`, and before it, in their order, those that it needs."""
        needed = {wanted}
        pending = [wanted]
        while pending:
            for value in self.program.ops[pending.pop()].reads:
                step = self._recomputed_by(value)
                if step is not None and step not in needed:
                    needed.add(step)
                    pending.append(step)
        for step in sorted(needed):
            op = self.program.ops[step]
            redirected = self._redirected(op)
            writes = tuple(self._new_value(v, COPY_SUFFIX) for v in op.writes)
            copies = dict(zip(op.writes, writes, strict=True))
            for value, copy in copies.items():
                self.replaced.setdefault(value, copy)
            in_place = tuple((copies[written], value) for written, value in redirected.in_place)
            self.ops.append(
                Op(op.name + COPY_SUFFIX, redirected.reads, writes, op.seconds, False, in_place, op.name)
            )

    def _recomputed_by(self, value: int) -> int | None:
        """The step that must be recomputed for the backward to have the value; None if there is none."""
        step = self.producer.get(value)
        if step is None or value in self.replaced or value in self.tokens:
            return None
        op = self.program.ops[step]
        return step if op.forward and op.name in self.decisions.recompute else None

    def _store(self, value: int) -> None:
        name = self.program.values[value].name
        token = len(self.values)
        self.values.append(Value(name + STORE_SUFFIX, 0, self.program.values[value].kind))
        nbytes = self.program.values[value].nbytes
        self.ops.append(
            Op(
                name + STORE_SUFFIX,
                (value,),
                (token,),
                self.rates.compute_seconds(0, 2 * nbytes),
                True,
                io=Io.WRITE,
                disk_seconds=nbytes / self.rates.disk_write_bytes,
            )
        )
        self.tokens[value] = token

    def _load(self, value: int) -> None:
        name = self.program.values[value].name
        pending, loaded = self._new_value(value, LOAD_SUFFIX), self._new_value(value, LOADED_SUFFIX)
        call = self.rates.seconds_per_op
        reading = self.program.values[value].nbytes / self.rates.disk_read_bytes
        self.ops.append(
            Op(
                name + LOAD_SUFFIX,
                (self.tokens[value],),
                (pending,),
                call,
                False,
                io=Io.READ,
                disk_seconds=reading,
            )
        )
        self.ops.append(
            Op(name + LOADED_SUFFIX, (pending,), (loaded,), call, False, ((loaded, pending),), io=Io.WAIT)
        )
        self.replaced[value] = loaded

    def _new_value(self, value: int, suffix: str) -> int:
        original = self.program.values[value]
        self.values.append(Value(original.name + suffix, original.nbytes, original.kind))
        return len(self.values) - 1
