"""Tiny models, their planned steps, and whole artifacts of them, made through the pieces of the compiler."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import save_file
from torch import Tensor, nn
from transformers import LlamaConfig, PretrainedConfig, PreTrainedModel, Qwen2Config
from transformers.models.auto.modeling_auto import AutoModelForCausalLM

from lowpeak_artifact.batch import IGNORE_INDEX, BatchSpec
from lowpeak_artifact.batch_input import BatchInput
from lowpeak_artifact.layout import ADAPTER, CONSTANTS, GRAPH, PLAN, SAMPLE
from lowpeak_artifact.manifest import BucketRecord, Manifest, QuantRecord, SampleRecord, TensorRecord
from lowpeak_artifact.quantize import quantize
from lowpeak_compiler.budget.devices import device
from lowpeak_compiler.budget.planned import PlannedStep, place
from lowpeak_compiler.budget.program_view import program_view
from lowpeak_compiler.budget.targets import target
from lowpeak_compiler.frontend.capture import capture
from lowpeak_compiler.frontend.causal_lm import default_lora, loss_module, skeleton_of
from lowpeak_compiler.frontend.differentiate import differentiate
from lowpeak_compiler.ir.graph import Adapter, Batch, Frozen, Quantized, TrainGraph
from lowpeak_compiler.ir.id_ranges import mark_id_ranges
from lowpeak_compiler.passes.fuse.attention import Attention
from lowpeak_compiler.passes.loss.chunked_loss import ChunkedLoss
from lowpeak_compiler.passes.loss.lower_loss import LowerLoss
from lowpeak_compiler.passes.loss.mask_logits import MaskLogits
from lowpeak_compiler.passes.loss.subset_softmax import SubsetSoftmax
from lowpeak_compiler.passes.lower.dequantize_per_use import DequantizePerUse
from lowpeak_compiler.passes.lower.lower_attention import LowerAttention
from lowpeak_compiler.passes.lower.quantize import Quantize
from lowpeak_compiler.passes.normalize import Normalize
from lowpeak_compiler.passes.runner import Runner
from lowpeak_compiler.plan.place.problem import write_csv
from lowpeak_compiler.plan.timeline import step_seconds
from lowpeak_export.bundle import writing
from lowpeak_export.executorch.weights import write_flat_tensors
from lowpeak_export.graph_records import constants_of, frozen_key, to_json
from tests.export.blank import WEIGHTS, blank_manifest

SHAPE: dict[str, Any] = {
    "vocab_size": 96,
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 128,
}
SEQ_LEN = 12


def tiny_llama(**config: Any) -> PreTrainedModel:
    """Two layers, random weights, tied embeddings."""
    return _random(LlamaConfig(**{**SHAPE, "tie_word_embeddings": True, **config}))


def tiny_qwen2(**config: Any) -> PreTrainedModel:
    """Two layers, random weights, biases in q, k and v, untied embeddings."""
    return _random(Qwen2Config(**{**SHAPE, **config}))


def _random(config: PretrainedConfig) -> PreTrainedModel:
    torch.manual_seed(0)
    model: PreTrainedModel = AutoModelForCausalLM.from_config(config)  # type: ignore[no-untyped-call]
    model.eval()  # type: ignore[no-untyped-call]
    return model


@dataclass(frozen=True)
class TinyStep:
    """`values`: every adapter and frozen tensor by its name in the graph (frozen_key for the latter)."""

    step: PlannedStep
    spec: BatchSpec
    model: nn.Module
    values: dict[str, Tensor]

    @property
    def graph(self) -> TrainGraph:
        return self.step.graph


def planned_step(
    model: PreTrainedModel,
    *,
    lora: LoraConfig | None = None,
    seq_len: int = SEQ_LEN,
    batch_size: int = 1,
    rows: int | None = None,
    subset_size: int | None = None,
    bits: Literal[4, 8] | None = 4,
    query_block: int = 5,
    target_name: str = "executorch",
) -> TinyStep:
    """The step in the graph's own order, everything kept for the backward. `bits` None: nothing quantized."""
    peft_model = get_peft_model(copy.deepcopy(model), lora or default_lora()).eval()
    shape = (batch_size, seq_len)
    batch = {"input_ids": (shape, torch.int64), "targets": (shape, torch.int64)}
    skeleton = skeleton_of(peft_model)
    assert isinstance(skeleton, PeftModel)
    graph = capture(loss_module(skeleton, seq_len), batch, prefix="model.")
    passes: list[Any] = [Attention(), *([Quantize(bits, 32)] if bits else [])]
    passes += [MaskLogits(rows)] if rows else []
    passes += [SubsetSoftmax(subset_size)] if subset_size else []
    Runner().run(graph, [*passes, ChunkedLoss()])
    lowered = [LowerAttention(query_block), LowerLoss(4, 64)]
    spec = BatchSpec(True, batch_size, seq_len, rows, subset_size)
    return _placed(graph, lowered, target_name, spec, peft_model)


def planned_module(
    module: nn.Module, batch: Mapping[str, Tensor], bits: Literal[4, 8] | None = None
) -> TinyStep:
    """The step of a plain module that gives its loss for `module(**batch)`."""
    shapes = {name: (tuple(tensor.shape), tensor.dtype) for name, tensor in batch.items()}
    graph = capture(skeleton_of(module), shapes)
    Runner().run(graph, [Quantize(bits, 32)] if bits else [])
    return _placed(graph, [], "executorch", BatchSpec(causal_lm=False), module)


def _placed(
    forward: TrainGraph, passes: list[Any], target_name: str, spec: BatchSpec, model: nn.Module
) -> TinyStep:
    mark_id_ranges(forward)
    graph = differentiate(forward)
    Runner().run(graph, [Normalize(), DequantizePerUse(), *passes])
    runtime = target(target_name, "stock")
    step = place(graph, program_view(graph, runtime, device("laptop")), runtime)
    return TinyStep(step, spec, model, _values(graph, model))


def _values(graph: TrainGraph, model: nn.Module) -> dict[str, Tensor]:
    own = {**dict(model.named_parameters(remove_duplicate=False)), **dict(model.named_buffers())}
    values: dict[str, Tensor] = {}
    for _, role in graph.inputs():
        match role:
            case Adapter(name):
                values[name] = own[name].detach()
            case Frozen(name):
                values[name] = own[name].detach()
            case Quantized(name, format, part):
                values[frozen_key(role)] = getattr(quantize(own[name].detach(), format), part)
    return values


def tiny_batch(spec: BatchSpec, prompt: int = 4) -> dict[str, Tensor]:
    """Random tokens; the labels of the first `prompt` do not count."""
    generator = torch.Generator().manual_seed(2)
    ids = torch.randint(0, SHAPE["vocab_size"], (spec.batch_size, spec.seq_len), generator=generator)
    labels = ids.clone()
    labels[:, :prompt] = IGNORE_INDEX
    return {"input_ids": ids, "labels": labels}


def tiny_manifest(tiny: TinyStep, **changes: Any) -> Manifest:
    """All but the files and the places of the weights."""
    step = tiny.step
    formats = {role.name: role.format for _, role in tiny.graph.inputs() if isinstance(role, Quantized)}
    inputs = [
        BatchInput(role.name, list(node.meta["val"].shape), str(node.meta["val"].dtype)[6:], role.ids)
        for node, role in tiny.graph.inputs()
        if isinstance(role, Batch)
    ]
    model_config, adapter_config = None, None
    if isinstance(tiny.model, PeftModel):
        model_config = tiny.model.get_base_model().config.to_dict()  # type: ignore[union-attr,operator]
        adapter_config = _plain(tiny.model.peft_config["default"].to_dict())
    plan = dataclasses.replace(
        blank_manifest().largest.plan,
        planned_peak_bytes=step.arena_bytes + 300,
        arena_bytes=step.arena_bytes,
        optimizer_bytes=100,
        weights_bytes=100,
        runtime_bytes=100,
        predicted_step_seconds=step_seconds(step.view.program),
    )
    manifest = dataclasses.replace(
        blank_manifest("tiny"),
        model_config=model_config,
        adapter_config=adapter_config,
        adapter_names=None if adapter_config is None else _file_names(tiny),
        buckets=[BucketRecord("", tiny.spec, inputs, plan)],
        parameters=[TensorRecord(n, list(tiny.values[n].shape), "float32") for n in tiny.graph.gradients],
        quantized=[QuantRecord(n, f.bits, f.group_size, f.zero_point, f.packing) for n, f in formats.items()],
        sample=SampleRecord(0.0),
    )
    return dataclasses.replace(manifest, **changes)


def _file_names(tiny: TinyStep) -> dict[str, str]:
    return {name.replace(".default", ""): name for name in tiny.graph.gradients}


def _plain(config: dict[str, Any]) -> dict[str, Any]:
    return {key: sorted(value) if isinstance(value, set) else value for key, value in config.items()}


def write_artifact(
    folder: Path,
    tiny: TinyStep,
    sample: dict[str, Tensor] | None = None,
    overwrite: bool = False,
    **changes: Any,
) -> Path:
    """A whole artifact without a program. `changes` replace fields of the manifest."""
    frozen = {
        frozen_key(role): tiny.values[frozen_key(role)]
        for _, role in tiny.graph.inputs()
        if isinstance(role, Frozen | Quantized)
    }
    with writing(folder, overwrite=overwrite) as bundle:
        declared = [(name, tuple(tensor.shape), tensor.dtype) for name, tensor in frozen.items()]
        with bundle.path(WEIGHTS).open("wb") as file:
            entries = write_flat_tensors(file, declared, frozen.__getitem__)
        save_file(
            {name: tiny.values[name].contiguous() for name in tiny.graph.gradients}, bundle.path(ADAPTER)
        )
        save_file(constants_of(tiny.step), bundle.path(CONSTANTS))
        save_file(sample or tiny_batch(tiny.spec), bundle.path(SAMPLE))
        bundle.path(GRAPH).write_text(to_json(tiny.step))
        write_csv(bundle.path(PLAN), tiny.step.problem, tiny.step.solution)
        weights = [TensorRecord(e.name, list(e.shape), str(e.dtype)[6:], e.offset) for e in entries]
        bundle.finish(tiny_manifest(tiny, weights=weights, **changes))
    return folder
