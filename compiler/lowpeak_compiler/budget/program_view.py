"""A TrainGraph as the planner sees it: values, operations, costs; and the way back,
from values to places in the arena.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from operator import getitem

from torch import fx

from lowpeak_artifact.kind import Kind
from lowpeak_compiler.budget.devices import DeviceProfile
from lowpeak_compiler.budget.targets import Target
from lowpeak_compiler.ir import op_table
from lowpeak_compiler.ir.graph import Adapter, Batch, State, TrainGraph, forward_nodes, tensors_of
from lowpeak_compiler.ir.nodes import call_args, operand
from lowpeak_compiler.plan.cost import Rates
from lowpeak_compiler.plan.program import Io, Op, Program, Value

INPUT_KINDS = {Batch: Kind.BATCH, Adapter: Kind.ADAPTER}


@dataclass(frozen=True)
class Location:
    """A tensor lies `offset` bytes into value `value`; value None:
    into the frozen tensor of placeholder `frozen`.
    """

    value: int | None
    offset: int
    frozen: str | None = None


@dataclass(frozen=True)
class ProgramView:
    """`locations[node name]`: where each tensor of the node lies. `views`: nodes that need no operation.

    `outside`: values that lie in a mapped file, not in the arena; the program counts no bytes for them.
    """

    program: Program
    locations: dict[str, tuple[Location, ...]]
    views: frozenset[str]
    outside: frozenset[int]


def rates(device: DeviceProfile, target: Target) -> Rates:
    return Rates(
        device.gflops * 1e9 * target.matmul_efficiency,
        device.memory_bytes_per_second,
        device.disk_read_bytes_per_second,
        device.disk_write_bytes_per_second,
        target.seconds_per_op,
    )


def program_view(graph: TrainGraph, target: Target, device: DeviceProfile) -> ProgramView:
    """Values and operations of the graph in its present order; views resolved where the target has them."""
    speed = rates(device, target)
    forward = {node.name for node in forward_nodes(graph)}
    values: list[Value] = []
    ops: list[Op] = []
    locations: dict[str, tuple[Location, ...]] = {}
    views: set[str] = set()

    def define(name: str, nbytes: int, kind: Kind) -> int:
        values.append(Value(name, nbytes, kind))
        return len(values) - 1

    for node in graph.graph.nodes:
        if node.op == "output":
            continue
        nbytes = [t.numel() * t.element_size() for t in tensors_of(node)]
        if node.op == "placeholder":
            kind = INPUT_KINDS.get(type(graph.roles[node.name]))
            if kind is Kind.ADAPTER and target.pages:
                kind = None
            if isinstance(graph.roles[node.name], State):
                assert target.pages, "state lies outside of the arena"
            value = define(node.name, nbytes[0], kind) if kind else None
            locations[node.name] = (Location(value, 0, None if kind else node.name),)
            continue
        alias = _alias(node, locations, target)
        if alias is not None:
            locations[node.name] = (alias,)
            views.add(node.name)
            continue
        kind = op_table.category(node)
        names = [node.name] if len(nbytes) == 1 else [f"{node.name}.{i}" for i in range(len(nbytes))]
        writes = tuple(define(n, size, kind) for n, size in zip(names, nbytes, strict=True))
        locations[node.name] = tuple(Location(value, 0) for value in writes)
        reads = dict.fromkeys(
            location.value
            for read in node.all_input_nodes
            for location in locations[read.name]
            if location.value is not None
        )
        io = _io(node)
        in_place = _in_place(node, writes, locations) if node.target in target.in_place else ()
        ops.append(
            Op(
                node.name,
                tuple(reads),
                writes,
                _seconds(node, io, speed),
                node.name in forward,
                in_place,
                tile_of=node.meta.get("tile_of"),
                io=io,
                disk_seconds=_disk_seconds(node, io, speed),
            )
        )
    results = []
    for number, node in enumerate(graph.results):
        index, kind = locations[node.name][0].value, Kind.GRADIENT if number else Kind.LOSS
        assert index is not None, "a frozen tensor is a result"
        results.append(index)
        if values[index].kind in (Kind.ACTIVATION, Kind.WEIGHT):
            values[index] = Value(values[index].name, values[index].nbytes, kind)
    taken = results[1:] if target.gradients_in_state else []
    outside: frozenset[int] = _sums(ops, results[1:]) if target.pages else frozenset()
    for index in outside:
        values[index] = replace(values[index], nbytes=0, kind=Kind.GRADIENT)
    program = Program(tuple(values), tuple(ops), frozenset(results), frozenset(taken))
    return ProgramView(program, locations, frozenset(views), outside)


def _sums(ops: list[Op], results: list[int]) -> frozenset[int]:
    """The values and what they are summed up in: each is its last addend's sum with one more."""
    backward = {value for op in ops if not op.forward for value in op.writes}
    made_in = {written: read for op in ops for written, read in op.in_place if read in backward}
    accumulators: set[int] = set()
    for value in results:
        pending: int | None = value
        while pending is not None and pending not in accumulators:
            accumulators.add(pending)
            pending = made_in.get(pending)
    return frozenset(accumulators)


def _io(node: fx.Node) -> Io | None:
    io = op_table.io(node)
    return Io(io) if io else None


def _disk_seconds(node: fx.Node, io: Io | None, speed: Rates) -> float:
    match io:
        case Io.WRITE:
            return op_table.moved_bytes(node) / speed.disk_write_bytes
        case Io.READ:
            return op_table.moved_bytes(node) / speed.disk_read_bytes
    return 0.0


def _seconds(node: fx.Node, io: Io | None, speed: Rates) -> float:
    if io in (Io.READ, Io.WAIT):
        return speed.seconds_per_op
    return speed.compute_seconds(op_table.flops(node), op_table.moved_bytes(node))


def _alias(node: fx.Node, locations: dict[str, tuple[Location, ...]], target: Target) -> Location | None:
    if node.target is getitem:
        _, index = call_args(node)
        return locations[operand(node).name][int(index)]
    offset = op_table.view_offset(node)
    if offset is None:
        return None
    source = locations[operand(node).name][0]
    if source.value is None and target.frozen_slices:
        return Location(None, source.offset + offset, source.frozen)
    if node.target not in target.views or (source.value is None and offset):
        return None
    return Location(source.value, source.offset + offset, source.frozen)


def _in_place(
    node: fx.Node, writes: tuple[int, ...], locations: dict[str, tuple[Location, ...]]
) -> tuple[tuple[int, int], ...]:
    """(result, value that it may take over): whole values, of which no other operand is a part."""
    pairs = op_table.in_place_operands(node)
    allowed = {taken for _, taken in pairs}
    parts = {locations[other.name][0].value for other in node.all_input_nodes if other not in allowed}
    return tuple(
        (writes[output], place.value)
        for output, taken in pairs
        if (place := locations[taken.name][0]).value is not None
        and place.offset == 0
        and place.value not in parts
    )
