"""The compiled step -> an artifact folder. Weights are quantized and written tensor by tensor."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import BinaryIO

import torch
from safetensors.torch import save_file
from torch import Tensor, fx
from transformers import PreTrainedTokenizerBase

from lowpeak_artifact.artifact import Artifact
from lowpeak_artifact.errors import ArtifactError
from lowpeak_artifact.layout import ADAPTER, ADAPTER_FROZEN, CONSTANTS, GRAPH, PLAN, SAMPLE
from lowpeak_artifact.manifest import (
    SCHEMA_VERSION,
    BucketRecord,
    GenerateRecord,
    Manifest,
    QuantRecord,
    SampleRecord,
    SourceRecord,
    TensorRecord,
)
from lowpeak_artifact.quantize import quantize
from lowpeak_artifact.quantized import QuantizedTensor
from lowpeak_artifact.safetensors_file import Entry, write_safetensors
from lowpeak_compiler.budget.footprint import bytes_of
from lowpeak_compiler.config import as_record
from lowpeak_compiler.decode import Decoder
from lowpeak_compiler.frontend.model.origin import Origin
from lowpeak_compiler.frontend.model.weights import WeightSource
from lowpeak_compiler.ir.graph import Adapter, Frozen, Quantized, TrainGraph
from lowpeak_compiler.pipeline import Compiled
from lowpeak_compiler.plan.place import problem
from lowpeak_export import graph_records
from lowpeak_export.bundle import BundleWriter, writing
from lowpeak_export.emitter import Emission, Emitter
from lowpeak_export.graph_records import frozen_key
from lowpeak_export.plan_record import plan_record
from lowpeak_export.portable import portable, portable_name, without_place

PACKAGES = ("lowpeak", "torch", "torchao", "transformers", "peft")


@dataclass(frozen=True)
class Generator:
    """The program that generates, or why there is none; `ends`: tokens that an answer ends with."""

    decoder: Decoder | None
    problem: str | None
    ends: list[int]


@dataclass(frozen=True)
class Part:
    """A compiled bucket, and a batch of its shape as the user has it."""

    compiled: Compiled
    sample: Mapping[str, Tensor]


def build(
    parts: Sequence[Part],
    emitter: Emitter,
    out: Path,
    *,
    sample_loss: float | None,
    tokenizer: PreTrainedTokenizerBase | None,
    tokenizer_problem: str | None = None,
    generator: Generator | None = None,
    beside_tokenizer: Callable[[Path], None] = lambda _: None,
    overwrite: bool = False,
    progress: Callable[[str], None] = lambda _: None,
) -> Artifact:
    """Writes the artifact and opens it. `parts`: of one model, by their sequence length, the longest last;
    `sample_loss`: of the sample in eager PyTorch, if known; `tokenizer_problem`: why there is no tokenizer,
    or which of its tokens the model has no row for; `beside_tokenizer` writes what else is made of the files
    of the tokenizer into their folder; `generator`: nothing is said about generating without.
    """
    largest = parts[-1].compiled
    adapter = _adapter(largest)
    expected = stored_bytes(largest.step.graph, programs=len(parts))
    with writing(out, overwrite=overwrite, expected_bytes=expected) as bundle:
        if tokenizer is not None:
            _save_tokenizer(tokenizer, bundle.folder)
            beside_tokenizer(bundle.folder)
        progress("writing weights")
        frozen = largest.intake.frozen_of_adapter()
        if frozen:
            save_file(frozen, bundle.path(ADAPTER_FROZEN))
        with bundle.path(emitter.weights_file).open("wb") as file:
            weights = _write_weights(largest, emitter, file, progress)
        for part in parts:
            assert _frozen(part.compiled) == _frozen(largest), "buckets share the weights"
            progress("writing the program")
            decoder = generator.decoder if generator and part is parts[-1] else None
            _write_bucket(part, _suffix(part.compiled, parts), emitter, adapter, weights, bundle, decoder)
        save_file({name: tensor.contiguous() for name, tensor in adapter.items()}, bundle.path(ADAPTER))
        source = None if largest.intake.origin is None else _source(largest.intake.origin)
        bundle.finish(
            replace(
                _manifest(parts, emitter, weights, sample_loss),
                source=source,
                tokenizer_problem=tokenizer_problem
                and without_place(tokenizer_problem, largest.intake.origin),
                generate=_generate(generator),
                generate_problem=generator.problem if generator else None,
            )
        )
    return Artifact.open(out, verify=False)


def stored_bytes(graph: TrainGraph, programs: int) -> int:
    """Of the artifact: its weights, and the adapter's first values, which each program has, too. Little else
    is large.
    """
    sizes = {Adapter: 0, Frozen: 0}
    for node, role in graph.inputs():
        if isinstance(role, Adapter):
            sizes[Adapter] += bytes_of(node)
        elif isinstance(role, Frozen | Quantized):
            sizes[Frozen] += bytes_of(node)
    return sizes[Frozen] + (1 + programs) * sizes[Adapter]


def _save_tokenizer(tokenizer: PreTrainedTokenizerBase, folder: Path) -> None:
    """Its files, all directly in the folder. Raises ArtifactError if it cannot be saved."""
    # transformers puts all chat templates but the first into a folder, or all into the config.
    in_config = isinstance(tokenizer.chat_template, dict)
    try:
        tokenizer.save_pretrained(folder, save_jinja_files=not in_config)
    except (ValueError, TypeError, NotImplementedError, OSError) as error:
        raise ArtifactError(f"the tokenizer ({type(tokenizer).__name__}) cannot be saved: {error}") from error


def _source(origin: Origin) -> SourceRecord:
    name = (origin.hub_name or "").rpartition("/")[2] or origin.path.resolve().name
    return SourceRecord(name, origin.hub_name, origin.sha256())


def _suffix(compiled: Compiled, parts: Sequence[Part]) -> str:
    return f"-{compiled.training.seq_len}" if len(parts) > 1 else ""


def _adapter(compiled: Compiled) -> dict[str, Tensor]:
    return {
        role.name: compiled.intake.adapter(role.name, tuple(node.meta["val"].shape))
        for node, role in compiled.step.graph.inputs()
        if isinstance(role, Adapter)
    }


def _frozen(compiled: Compiled) -> set[str]:
    roles = (role for _, role in compiled.step.graph.inputs())
    return {frozen_key(role) for role in roles if isinstance(role, Frozen | Quantized)}


def _write_bucket(
    part: Part,
    suffix: str,
    emitter: Emitter,
    adapter: Mapping[str, Tensor],
    weights: list[Entry],
    bundle: BundleWriter,
    decoder: Decoder | None,
) -> None:
    def path(name: str) -> Path:
        whole = bundle.path(name)
        return whole.with_stem(whole.stem + suffix)

    step = part.compiled.step
    with path(CONSTANTS).open("wb") as file:
        values = graph_records.constants_of(step)
        declared = [(name, tuple(tensor.shape), tensor.dtype) for name, tensor in values.items()]
        constants = write_safetensors(file, declared, values.__getitem__)
    optimizer = part.compiled.training.optimizer
    emitter.write_program(
        Emission(step, suffix, adapter, optimizer, weights, constants, bundle.folder, decoder)
    )
    path(GRAPH).write_text(graph_records.to_json(step), encoding="utf-8")
    problem.write_csv(path(PLAN), step.problem, step.solution)
    save_file({name: tensor.contiguous() for name, tensor in part.sample.items()}, path(SAMPLE))


def _write_weights(
    compiled: Compiled, emitter: Emitter, file: BinaryIO, progress: Callable[[str], None]
) -> list[Entry]:
    loader = _Loader(compiled.intake.weights)
    roles = {}
    for node, role in compiled.step.graph.inputs():
        if isinstance(role, Frozen | Quantized):
            roles[frozen_key(role)] = role
            loader.shapes[frozen_key(role)] = (tuple(node.meta["val"].shape), node.meta["val"].dtype)

    done = 0

    def load(key: str) -> Tensor:
        nonlocal done
        done += 1
        progress(f"writing weights: {done} of {len(roles)} tensors")
        return loader.load(roles[key])

    return emitter.write_weights(file, [(key, *loader.shapes[key]) for key in roles], load)


class _Loader:
    """Frozen tensors one by one; the parts of a quantized matrix come from one quantization."""

    def __init__(self, weights: WeightSource) -> None:
        self.weights = weights
        self.shapes: dict[str, tuple[tuple[int, ...], torch.dtype]] = {}
        self.last: tuple[str, QuantizedTensor] | None = None

    def load(self, role: Frozen | Quantized) -> Tensor:
        if isinstance(role, Frozen):
            return self.weights.dense(role.name)
        if self.last is None or self.last[0] != role.name:
            stored = self.weights.format_of(role.name)
            if stored is not None and replace(stored, packing=role.format.packing) == role.format:
                matrix = self.weights.quantized(role.name).restated(role.format.packing)
            else:
                matrix = quantize(self.weights.dense(role.name), role.format)
            self.last = role.name, matrix
        part: Tensor = getattr(self.last[1], role.part)
        return part


def _manifest(
    parts: Sequence[Part], emitter: Emitter, weights: list[Entry], sample_loss: float | None
) -> Manifest:
    compiled = parts[-1].compiled
    options = as_record(compiled.training, compiled.for_target, compiled.budget)
    step, intake, for_target = compiled.step, compiled.intake, compiled.for_target
    parameters, quantized = {}, {}
    for node, role in step.graph.inputs():
        if isinstance(role, Adapter):
            parameters[role.name] = _record(role.name, node)
        elif isinstance(role, Quantized):
            form = role.format
            quantized[role.name] = QuantRecord(
                role.name, form.bits, form.group_size, form.zero_point, form.packing
            )
    return Manifest(
        schema_version=SCHEMA_VERSION,
        target=for_target.target,
        kernels=for_target.kernels,
        device=for_target.device,
        model_name=portable_name(intake.name),
        model_config=portable(intake.model_config),
        adapter_config=portable(intake.adapter_config),
        adapter_names=None if intake.adapter_file is None else intake.adapter_file.trained,
        options={**options, "head": compiled.head, "passes": compiled.applied},
        buckets=[_bucket(part.compiled, _suffix(part.compiled, parts)) for part in parts],
        parameters=[parameters[name] for name in step.graph.gradients],
        weights_file=emitter.weights_file,
        weights=[TensorRecord(e.name, list(e.shape), str(e.dtype)[6:], e.offset) for e in weights],
        quantized=list(quantized.values()),
        sample=SampleRecord(sample_loss),
        source=None,
        tokenizer_problem=None,
        session_options=emitter.session_options,
        versions={package: version(package) for package in (*PACKAGES, *emitter.packages)},
        files={},
    )


def _generate(generator: Generator | None) -> GenerateRecord | None:
    if generator is None or generator.decoder is None:
        return None
    decoder = generator.decoder
    footprint = decoder.footprint
    return GenerateRecord(
        tokens=decoder.longest,
        prompt_tokens=decoder.prompt_tokens,
        vocabulary=decoder.vocabulary,
        ends=generator.ends,
        planned_peak_bytes=footprint.total,
        planned_anonymous_bytes=footprint.anonymous,
        arena_bytes=footprint.arena,
        state_bytes=footprint.state,
        weights_bytes=footprint.weights,
        runtime_bytes=footprint.runtime,
        code_bytes=footprint.code,
        predicted_token_seconds=decoder.seconds,
    )


def _bucket(compiled: Compiled, suffix: str) -> BucketRecord:
    return BucketRecord(suffix, compiled.batch, compiled.step.inputs, plan_record(compiled))


def _record(name: str, node: fx.Node) -> TensorRecord:
    value = node.meta["val"]
    return TensorRecord(name, list(value.shape), str(value.dtype)[6:])
