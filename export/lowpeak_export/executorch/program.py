"""The planned step -> an ExecuTorch program (.pte), written directly in ExecuTorch's own schema.

Order, offsets and aliases are the plan's: a view is another tensor at the same bytes, an operator is one
kernel call. Frozen tensors are external, by name, in the weights file; adapter tensors are state in the arena
with their first value in the program. The methods `__et_training_*_forward` say which outputs are gradients
and parameters, as ExecuTorch's training module expects.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from operator import getitem
from typing import Any

import torch
from executorch.exir import schema
from executorch.exir._serialize._program import PTEFile, serialize_pte_binary
from executorch.exir.tensor import scalar_type_enum
from executorch.exir.version import EXECUTORCH_SCHEMA_VERSION
from torch import Tensor, fx

from lowpeak_artifact.errors import UnsupportedOperator
from lowpeak_compiler.budget.planned import PlannedStep
from lowpeak_compiler.ir.graph import (
    Adapter,
    Batch,
    Constant,
    Frozen,
    Quantized,
    operator_name,
    place_of,
    tensors_of,
)
from lowpeak_compiler.ir.nodes import call_args
from lowpeak_export.executorch.kernels import RowIds, kernel_call
from lowpeak_export.executorch.paging import GIVE_BACK, READ_AHEAD, mapped_tensors, needed_next
from lowpeak_export.graph_records import frozen_key

METHOD = "forward"
ARENA = 1
FILE = 2
"""The memory that a runtime may map from a file: adapter and gradients, where the target has them there."""


def emit(
    step: PlannedStep,
    adapter: Mapping[str, Tensor],
    fused: frozenset[str] = frozenset(),
    pages: bool = False,
    by_rows: Collection[object] = (),
) -> bytes:
    """`adapter`: first values by name; `fused`: the `lowpeak::` operators that the runtime has kernels for;
    `pages`: whether it is told what to read ahead and to give back, but for operators that go `by_rows`.

    Raises UnsupportedOperator for an operator without a kernel.
    """
    plan = PlanBuilder(step, fused, pages, by_rows, adapter)
    fqns = [name for name in step.graph.gradients]
    parameters = {role.name: node for node, role in step.graph.inputs() if isinstance(role, Adapter)}
    results = [*step.graph.results, *(parameters[name] for name in fqns)]
    plans = [
        plan.execution_plan(METHOD, results),
        _constant_method(f"__et_training_gradients_index_{METHOD}", [schema.Int(1)]),
        _constant_method(f"__et_training_parameters_index_{METHOD}", [schema.Int(1 + len(fqns))]),
        _constant_method(f"__et_training_fqn_{METHOD}", [schema.String(name) for name in fqns]),
    ]
    return program_of(plans, plan.constants, plan.initial)


def program_of(
    plans: list[schema.ExecutionPlan], constants: list[schema.Buffer], initial: list[schema.Buffer]
) -> bytes:
    """The file of methods that share their constants; `initial`: first values of what they write into."""
    program = schema.Program(
        version=EXECUTORCH_SCHEMA_VERSION,
        execution_plan=plans,
        constant_buffer=[schema.Buffer(b""), *constants],
        backend_delegate_data=[],
        segments=[],
        constant_segment=schema.SubsegmentOffsets(segment_index=0, offsets=[]),
        mutable_data_segments=[],
        named_data=[],
    )
    mutable = [schema.Buffer(b""), *initial]
    return bytes(serialize_pte_binary(PTEFile(program, mutable_data=mutable, named_data=None)))


class PlanBuilder:
    """Builds the execution plan of a step: values, operators and instructions.

    `adapter`: first values by name, of those that have some in the program; `resident`: names of inputs that
    stay in memory; `constants`: those of a plan before, which this one adds to.
    """

    def __init__(
        self,
        step: PlannedStep,
        fused: frozenset[str],
        pages: bool,
        by_rows: Collection[object],
        adapter: Mapping[str, Tensor],
        resident: Collection[str] = (),
        constants: list[schema.Buffer] | None = None,
    ) -> None:
        self.step = step
        self.fused = fused
        self.pages = pages
        self.by_rows = by_rows
        self.resident = resident
        self.adapter = adapter
        self.values: list[schema.EValue] = []
        self.operators: dict[tuple[str, str], int] = {}
        self.instructions: list[schema.Instruction] = []
        self.constants = [] if constants is None else constants
        self.initial: list[schema.Buffer] = []
        self.tensors: dict[tuple[str, int], int] = {}
        self.scalars: dict[tuple[type, object], int] = {}
        self.lists: dict[tuple[type, tuple[object, ...]], int] = {}
        self.row_ids: dict[int, int] = {}
        self.planned: dict[tuple[object, ...], int] = {}
        """Tensors in memory by place, dtype and shape: what layers compute alike is one value at run time."""

    def execution_plan(self, method: str, results: Sequence[fx.Node]) -> schema.ExecutionPlan:
        """A method that gives the values of these nodes."""
        graph = self.step.graph
        inputs = []
        next_ones = (
            needed_next(filter(self._is_call, graph.operations()), self.step, self.by_rows, self.resident)
            if self.pages
            else {}
        )
        for node in graph.graph.nodes:
            if node.op == "output":
                continue
            if node.target is not getitem:
                for index in range(len(tensors_of(node))):
                    self._place(node, index)
            if node.op == "placeholder":
                if isinstance(graph.roles[node.name], Batch):
                    inputs.append(self.tensors[node.name, 0])
            elif self._is_call(node):
                if node.name in next_ones:
                    self._instruct(READ_AHEAD, [self._place(*place) for place in next_ones[node.name]])
                self._call(node)
                if self.pages and (used := mapped_tensors(node, self.step, self.resident)):
                    self._instruct(GIVE_BACK, [self._place(*place) for place in used])
        file_bytes = self.step.file_bytes
        return schema.ExecutionPlan(
            name=method,
            container_meta_type=schema.ContainerMetadata("", ""),
            values=self.values,
            inputs=inputs,
            outputs=[self._operand(node) for node in results],
            chains=[schema.Chain([], [], self.instructions, None)],
            operators=[schema.Operator(name, overload) for name, overload in self.operators],
            delegates=[],
            non_const_buffer_sizes=[0, self.step.arena_bytes, *([file_bytes] if file_bytes else [])],
        )

    def _is_call(self, node: fx.Node) -> bool:
        return node.target is not getitem and node.name not in self.step.view.views

    def _place(self, node: fx.Node, index: int) -> int:
        if node.target is getitem:
            return self._operand(node)
        if (node.name, index) not in self.tensors:
            self.tensors[node.name, index] = self._tensor(node, index, tensors_of(node)[index])
        return self.tensors[node.name, index]

    def _add(self, value: Any) -> int:
        self.values.append(schema.EValue(value))
        return len(self.values) - 1

    def _list(self, kind: type, items: Sequence[object]) -> int:
        key = kind, tuple(items)
        if key not in self.lists:
            self.lists[key] = self._add(kind(list(items)))
        return self.lists[key]

    def _tensor(self, node: fx.Node, index: int, tensor: Tensor) -> int:
        location = self.step.view.locations[node.name][index]
        allocation, buffer, extra = None, 0, None
        in_file = self.step.file_offset(node, index)
        if location.value is not None or in_file is not None:
            memory, offset = (ARENA, self.step.offset(node, index)) if in_file is None else (FILE, in_file)
            assert offset is not None
            allocation = schema.AllocationDetails(memory, offset & 0xFFFFFFFF, offset >> 32)
            role = self.step.graph.roles.get(node.name) if node.op == "placeholder" else None
            if not isinstance(role, Adapter) or role.name not in self.adapter:
                key = memory, offset, tensor.dtype, tuple(tensor.shape)
                if key not in self.planned:
                    self.planned[key] = self._add(_tensor_value(tensor, 0, allocation, None))
                return self.planned[key]
            self.initial.append(schema.Buffer(_raw(self.adapter[role.name])))
            buffer = len(self.initial)
        else:
            role = self.step.graph.roles[location.frozen or node.name]
            if isinstance(role, Constant):
                buffer = self._constant(role.value)
            else:
                assert isinstance(role, Frozen | Quantized)
                extra = schema.ExtraTensorInfo(0, frozen_key(role), schema.TensorDataLocation.EXTERNAL)
        return self._add(_tensor_value(tensor, buffer, allocation, extra))

    def _constant(self, value: Tensor) -> int:
        self.constants.append(schema.Buffer(_raw(value)))
        return len(self.constants)

    def _operand(self, node: fx.Node) -> int:
        if node.target is getitem:
            source, index = call_args(node)
            return self.tensors[source.name, index]
        return self.tensors[node.name, 0]

    def _call(self, node: fx.Node) -> None:
        try:
            name, overload, arguments = kernel_call(node, self.fused)
        except LookupError as error:
            raise UnsupportedOperator(f"{operator_name(node)} in {place_of(node)!r}: {error}") from error
        operator = self.operators.setdefault((name, overload), len(self.operators))
        indices = [self._argument(value, kind) for value, kind in arguments]
        outs = [self.tensors[node.name, i] for i in range(len(tensors_of(node)))]
        returned = outs if len(outs) == 1 else [self._list(schema.TensorList, outs)]
        call = schema.KernelCall(operator, [*indices, *outs, *returned])
        self.instructions.append(schema.Instruction(call))

    def _instruct(self, name: str, values: list[int]) -> None:
        operator = self.operators.setdefault((name, ""), len(self.operators))
        self.instructions.append(schema.Instruction(schema.KernelCall(operator, values)))

    def _argument(self, value: Any, kind: str) -> int:
        """The index of an argument's value; `kind` is its schema type."""
        if isinstance(value, RowIds):
            if value.rows not in self.row_ids:
                ids = torch.arange(value.rows)
                self.row_ids[value.rows] = self._add(_tensor_value(ids, self._constant(ids), None, None))
            return self.row_ids[value.rows]
        if isinstance(value, fx.Node):
            return self._operand(value)
        if isinstance(value, list | tuple):
            if any(isinstance(item, fx.Node) for item in value):
                items = [self._argument(item, "Tensor") for item in value]
                optional = "Optional[Tensor]" in kind
                return self._list(schema.OptionalTensorList if optional else schema.TensorList, items)
            if "float" in kind:
                return self._list(schema.DoubleList, [float(item) for item in value])
            if "bool" in kind:
                return self._list(schema.BoolList, [bool(item) for item in value])
            return self._list(schema.IntList, [self._scalar(int(item)) for item in value])
        if isinstance(value, int) and not isinstance(value, bool) and kind.endswith("float"):
            value = float(value)
        return self._scalar(value)

    def _scalar(self, value: Any) -> int:
        key = (type(value), value)
        if key not in self.scalars:
            self.scalars[key] = self._add(_scalar_value(value))
        return self.scalars[key]


def _scalar_value(value: Any) -> Any:
    match value:
        case None:
            return schema.Null()
        case bool():
            return schema.Bool(value)
        case int():
            return schema.Int(value)
        case float():
            return schema.Double(value)
        case str():
            return schema.String(value)
        case torch.dtype():
            return schema.Int(int(scalar_type_enum(value)))
        case torch.layout() | torch.device() | torch.memory_format():
            return schema.Null()
        case _:
            raise AssertionError(f"argument {value!r} of type {type(value).__name__}")


def _tensor_value(
    tensor: Tensor,
    buffer: int,
    allocation: schema.AllocationDetails | None,
    extra: schema.ExtraTensorInfo | None,
) -> schema.Tensor:
    return schema.Tensor(
        scalar_type=scalar_type_enum(tensor.dtype),
        storage_offset=0,
        sizes=list(tensor.shape),
        dim_order=list(range(tensor.dim())),
        requires_grad=False,
        layout=0,
        data_buffer_idx=buffer,
        allocation_info=allocation,
        shape_dynamism=schema.TensorShapeDynamism.STATIC,
        extra_tensor_info=extra,
    )


def _raw(tensor: Tensor) -> bytes:
    return tensor.detach().contiguous().cpu().numpy().tobytes()


def _constant_method(name: str, values: list[Any]) -> schema.ExecutionPlan:
    """A method without inputs that gives constants."""
    return schema.ExecutionPlan(
        name=name,
        container_meta_type=schema.ContainerMetadata("", ""),
        values=[schema.EValue(value) for value in values],
        inputs=[],
        outputs=list(range(len(values))),
        chains=[schema.Chain([], [], [], None)],
        operators=[],
        delegates=[],
        non_const_buffer_sizes=[0],
    )
