"""Training steps of small networks, forward and backward, with the proportions of real ones.

A tape notes forward operations and what each backward reads, and writes the backward out in reverse. Seconds
are milliseconds' worth, bytes are multiples of 1 KiB.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from lowpeak_artifact.kind import Kind
from lowpeak_compiler.plan.cost import Rates
from lowpeak_compiler.plan.measure import Memory
from lowpeak_compiler.plan.planner import Planner
from lowpeak_compiler.plan.program import Op, Program, Value

KIB = 1024
BATCH_KIB = 96
"""Of what a network from a table reads and no operation makes."""


@dataclass(frozen=True)
class _Noted:
    """A forward operation and what its backward takes."""

    name: str
    reads: tuple[int, ...]
    output: int
    seconds: float
    needs: tuple[int, ...]
    weights: int


@dataclass
class Tape:
    """Builds a program; values are known by their index."""

    values: list[Value] = field(default_factory=list)
    ops: list[Op] = field(default_factory=list)
    noted: list[_Noted] = field(default_factory=list)
    results: set[int] = field(default_factory=set)

    def value(self, name: str, kib: int, kind: Kind = Kind.ACTIVATION) -> int:
        self.values.append(Value(name, kib * KIB, kind))
        return len(self.values) - 1

    def op(
        self,
        name: str,
        reads: Iterable[int],
        kib: int,
        milliseconds: float,
        *,
        needs: str = "",
        weights: int = 0,
        in_place: bool = False,
    ) -> int:
        """A forward operation; gives its output.

        `needs`: what the backward reads, `i` the inputs, `o` the output. `weights`: KiB of the gradient of
        its weights, which always reads the inputs. `in_place`: the output may take over the first input.
        """
        reads = tuple(reads)
        output = self.value(name, kib)
        pairs = ((output, reads[0]),) if in_place else ()
        seconds = milliseconds / 1e3
        self.ops.append(Op(name, reads, (output,), seconds, True, pairs))
        needed = (*(reads if "i" in needs else ()), *((output,) if "o" in needs else ()))
        self.noted.append(_Noted(name, reads, output, seconds, needed, weights))
        return output

    def backward(self, loss: int) -> Program:
        """The whole step: gradients of all weights, and of what depends on any."""
        trained: set[int] = set()
        for noted in self.noted:
            if noted.weights or trained.intersection(noted.reads):
                trained.add(noted.output)
        gradients: dict[int, int] = {}
        for noted in reversed(self.noted):
            if noted.output not in trained:
                continue
            incoming = () if noted.output == loss else (gradients[noted.output],)
            if noted.weights:
                gradient = self.value(f"{noted.name}_weights", noted.weights, Kind.GRADIENT)
                self.results.add(gradient)
                reads = (*incoming, *noted.reads)
                self._add(f"{noted.name}_weight_gradient", reads, (gradient,), noted.seconds)
            wanted = [value for value in noted.reads if value in trained]
            if not wanted:
                continue
            outputs = [self.value(f"d_{self.values[v].name}_{noted.name}", self._kib(v)) for v in wanted]
            reads = tuple(dict.fromkeys((*incoming, *noted.needs)))
            self._add(f"{noted.name}_backward", reads, tuple(outputs), noted.seconds)
            for value, output in zip(wanted, outputs, strict=True):
                if value not in gradients:
                    gradients[value] = output
                    continue
                total = self.value(f"d_{self.values[value].name}", self._kib(value))
                pair = ((total, gradients[value]),)
                self._add(f"{noted.name}_sum", (gradients[value], output), (total,), 2e-5, pair)
                gradients[value] = total
        self.values[loss] = Value(self.values[loss].name, self.values[loss].nbytes, Kind.LOSS)
        return Program(tuple(self.values), tuple(self.ops), frozenset({loss, *self.results}))

    def _kib(self, value: int) -> int:
        return self.values[value].nbytes // KIB

    def _add(
        self,
        name: str,
        reads: tuple[int, ...],
        writes: tuple[int, ...],
        seconds: float,
        in_place: tuple[tuple[int, int], ...] = (),
    ) -> None:
        unique = tuple(dict.fromkeys(reads))
        self.ops.append(Op(name, unique, writes, seconds, False, in_place))


def from_csv(path: Path) -> Program:
    """A network of a table: a forward operation a row, the last is the loss; `reads` are names, of operations
    or of the batch. The other columns are the arguments of `Tape.op`.
    """
    tape = Tape()
    known: dict[str, int] = {}
    with path.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            for name in row["reads"].split():
                if name not in known:
                    known[name] = tape.value(name, BATCH_KIB, Kind.BATCH)
            known[row["operation"]] = tape.op(
                row["operation"],
                [known[name] for name in row["reads"].split()],
                int(row["kib"]),
                float(row["milliseconds"]),
                needs=row["needs"],
                weights=int(row["weights"]),
                in_place=bool(row["in_place"]),
            )
    return tape.backward(known["loss"])


def chain(widths: Iterable[int]) -> Program:
    """Layers one after the other, whose outputs have `widths` KiB; wide ones take longer."""
    tape = Tape()
    latest = tape.value("input", 64, Kind.BATCH)
    for number, width in enumerate(widths):
        seconds = 0.2 + width / 100
        latest = tape.op(f"layer{number}", [latest], width, seconds, needs="io", weights=16)
    return tape.backward(tape.op("loss", [latest], 1, 0.1, needs="i"))


def resnet(stages: Iterable[int]) -> Program:
    """Residual blocks of two convolutions; each number is the blocks of a stage, at half the bytes of the one
    before.
    """
    tape = Tape()
    image = tape.value("image", 96, Kind.BATCH)
    width, weights = 256, 9
    latest = tape.op("stem", [image], width, 2.0, weights=weights)
    for stage, blocks in enumerate(stages):
        for block in range(blocks):
            tag = f"{stage}{block}"
            shortcut = latest
            if stage and not block:
                width, weights = width // 2, 4 * weights
                shortcut = tape.op(f"down{tag}", [latest], width, 0.6, weights=weights // 4)
            first = tape.op(f"conv{tag}a", [latest], width, 3.0, weights=weights)
            relu = tape.op(f"relu{tag}a", [first], width, 0.1, needs="o", in_place=True)
            second = tape.op(f"conv{tag}b", [relu], width, 3.0, weights=weights)
            total = tape.op(f"add{tag}", [second, shortcut], width, 0.15, in_place=True)
            latest = tape.op(f"relu{tag}b", [total], width, 0.1, needs="o", in_place=True)
    pooled = tape.op("pool", [latest], 4, 0.1)
    return tape.backward(tape.op("loss", [pooled], 1, 0.2, needs="i", weights=8))


def unet(depth: int) -> Program:
    """Down a number of levels, each of half the bytes, and up again; every level hands its output across."""
    tape = Tape()
    latest = tape.value("image", 128, Kind.BATCH)
    width, weights = 512, 4
    skips: list[tuple[int, int]] = []
    for level in range(depth):
        conv = tape.op(f"conv_down{level}", [latest], width, 4.0, weights=weights)
        skips.append((tape.op(f"relu_down{level}", [conv], width, 0.2, needs="o", in_place=True), width))
        width, weights = width // 2, 2 * weights
        latest = tape.op(f"pool{level}", [skips[-1][0]], width // 2, 0.15, needs="io")
    conv = tape.op("conv_bottom", [latest], width, 4.0, weights=weights)
    latest = tape.op("relu_bottom", [conv], width, 0.1, needs="o", in_place=True)
    for level in reversed(range(depth)):
        skip, width = skips[level]
        conv = tape.op(f"conv_up{level}", [latest, skip], width, 5.0, weights=weights)
        latest = tape.op(f"relu_up{level}", [conv], width, 0.2, needs="o", in_place=True)
    return tape.backward(tape.op("loss", [latest], 1, 0.3, needs="i", weights=1))


def transformer(layers: int, *, rank: int = 2) -> Program:
    """Decoder layers with LoRA on the query and value projections; frozen weights lie elsewhere."""
    tape = Tape()
    tokens = tape.value("tokens", 1, Kind.BATCH)
    hidden, key_value, mlp = 96, 32, 256
    latest = tape.op("embedding", [tokens], hidden, 0.1)
    for layer in range(layers):
        norm = tape.op(f"norm{layer}a", [latest], hidden, 0.15, needs="i")
        query = tape.op(f"query{layer}", [norm], hidden, 1.2, weights=rank * 2)
        key = tape.op(f"key{layer}", [norm], key_value, 0.4)
        value = tape.op(f"value{layer}", [norm], key_value, 0.5, weights=rank)
        mixed = tape.op(f"attention{layer}", [query, key, value], hidden, 2.0, needs="io")
        residual = tape.op(f"project{layer}", [mixed, latest], hidden, 1.2)
        norm = tape.op(f"norm{layer}b", [residual], hidden, 0.15, needs="i")
        gate = tape.op(f"gate{layer}", [norm], mlp, 3.2)
        up = tape.op(f"up{layer}", [norm], mlp, 3.2)
        product = tape.op(f"swiglu{layer}", [gate, up], mlp, 0.4, needs="i", in_place=True)
        latest = tape.op(f"down{layer}", [product, residual], hidden, 3.2)
    return tape.backward(tape.op("loss", [latest], 1, 6.0, needs="i"))


def small_networks() -> dict[str, Program]:
    """Some of each kind, so small that optima can be proven."""
    return {
        "chain of 6": chain([32, 128, 256, 64, 32, 16]),
        "even chain of 6": chain([64] * 6),
        "even chain of 8": chain([64] * 8),
        "chain of 8": chain([32, 64, 128, 256, 128, 64, 32, 16]),
        "ResNet, 1 block": resnet([1]),
        "ResNet, 1 + 1 blocks": resnet([1, 1]),
        "U-Net, 1 level": unet(1),
        "U-Net, 2 levels": unet(2),
        "decoder layer": transformer(1),
        "2 decoder layers": transformer(2),
        "inception.csv": from_csv(Path(__file__).with_name("inception.csv")),
        "uneven_chain.csv": from_csv(Path(__file__).with_name("uneven_chain.csv")),
    }


def small_planner(program: Program) -> Planner:
    """That keeps or recomputes."""
    return Planner(program, Rates(1e9, 1e9, 1e9, 1e9, 0.0), Memory(1), offload=False)


def smallest_peak(planner: Planner) -> int:
    """The smallest whole number of KiB, in bytes, that the planner has a plan within."""
    return -(-planner.smallest().needed_bytes // KIB) * KIB
