"""Any way to give a model -> one form: a module to capture, where its weights come from,
its adapter's first values.

Nothing of the caller's is changed, and no weight is read before the plan is made.
"""

from __future__ import annotations

import hashlib
import inspect
import math
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, PeftModel
from peft.tuners.tuners_utils import BaseTunerLayer
from torch import Tensor, nn
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from lowpeak_artifact.batch import BatchSpec
from lowpeak_artifact.errors import ModelError
from lowpeak_artifact.quantized import QuantFormat, QuantizedTensor
from lowpeak_compiler.config import TrainingOptions
from lowpeak_compiler.frontend.adapter_file import (
    ADAPTER,
    AdapterFile,
    adapter_file,
    bare_module,
    embeddings,
    require_separate_storage,
    without_adapter,
)
from lowpeak_compiler.frontend.autograd_only import require_no_hooks
from lowpeak_compiler.frontend.causal_lm import loss_module, require_modules, skeleton_of, with_lora
from lowpeak_compiler.frontend.model.in_memory import require_plain, unwrapped
from lowpeak_compiler.frontend.model.origin import Origin
from lowpeak_compiler.frontend.model.source import ModelSource, open_model
from lowpeak_compiler.frontend.model.weights import ModuleWeights, WeightSource

PREFIX = "model."
PEFT_PREFIX = "base_model.model."
TRAINED_TOKENS = ".token_adapter.trainable_tokens_delta."
Shape = tuple[tuple[int, ...], torch.dtype]
Model = PreTrainedModel | PeftModel | nn.Module | ModelSource | str | Path


@dataclass(frozen=True)
class Intake:
    """`module(**batch)` gives the scalar loss and has no weights;
    names are those of its parameters less `prefix`.
    """

    name: str
    module: nn.Module
    prefix: str
    weights: WeightSource
    adapter: Callable[[str, tuple[int, ...]], Tensor]
    """First value of a trainable tensor, by name and shape."""
    batch: dict[str, Shape]
    model_config: dict[str, Any] | None = None
    adapter_config: dict[str, Any] | None = None
    adapter_file: AdapterFile | None = None
    load_tokenizer: Callable[[], PreTrainedTokenizerBase] | None = None
    token_types: bool = False
    """Whether the model, called with token_type_ids, adds an embedding of them."""
    origin: Origin | None = None
    """The model's files, if it was not in memory."""

    def batch_spec(self, training: TrainingOptions) -> BatchSpec:
        """How a step's inputs are made of the user's batch."""
        return BatchSpec(
            self.model_config is not None,
            training.batch_size,
            training.seq_len,
            training.rows,
            training.subset_size if training.loss == "subset" else None,
            self.token_types,
        )

    def frozen_of_adapter(self) -> dict[str, Tensor]:
        """What the adapter's file holds beside what is trained, by its names there, in the model's types.

        Each is a copy: tied ones lie in the file under each of their names.
        """
        if self.adapter_file is None:
            return {}
        return {
            name: self.weights.dense(own).to(self.module.get_parameter(self.prefix + own).dtype, copy=True)
            for name, own in self.adapter_file.frozen.items()
        }


def take_in(
    model: Model,
    *,
    seq_len: int,
    batch_size: int,
    lora: LoraConfig | None,
    example_batch: Mapping[str, Tensor] | None,
    seed: int,
    trust_remote_code: bool = False,
) -> Intake:
    """Raises ModelError for what is no model, or a combination that makes no sense."""
    if isinstance(model, str | Path):
        model = open_model(model, seed=seed, trust_remote_code=trust_remote_code)
    if isinstance(model, nn.Module):
        model = unwrapped(model)
        require_no_hooks(model)
    tokens: Shape = ((batch_size, seq_len), torch.int64)
    batch = {"input_ids": tokens, "targets": tokens}
    if isinstance(model, ModelSource):
        adapted, weights = with_lora(model.skeleton(), lora), CheckpointNames(model.weights)
        intake = _causal_lm(model.name, adapted, model.skeleton(), weights, batch)
        return replace(
            intake,
            adapter=_fresh_adapter(adapted, weights, seed),
            load_tokenizer=model.load_tokenizer,
            origin=model.origin,
        )
    if isinstance(model, PeftModel):
        if lora is not None:
            raise ModelError("the model has an adapter already; pass lora only with a model that has none")
        _require_trainable(model)
        name = getattr(model.get_base_model(), "name_or_path", "") or "model"
        adapted = skeleton_of(model)
        return _causal_lm(name, adapted, without_adapter(adapted), ModuleWeights(model), batch)
    if isinstance(model, PreTrainedModel):
        require_plain(model)
        _require_head(model)
        _require_no_adapter(model)
        adapted, weights = with_lora(skeleton_of(model), lora), CheckpointNames(ModuleWeights(model))
        intake = _causal_lm(model.name_or_path or "model", adapted, skeleton_of(model), weights, batch)
        return replace(intake, adapter=_fresh_adapter(adapted, weights, seed))
    if not isinstance(model, nn.Module):
        raise ModelError(
            f"a {type(model).__name__} is no model: pass a PreTrainedModel, a PeftModel, a checkpoint folder "
            "or .gguf file, config:<name>, or an nn.Module with example_batch"
        )
    if example_batch is None:
        raise ModelError(
            "an nn.Module needs example_batch: the keyword arguments its forward takes, as tensors"
        )
    if lora is not None:
        raise ModelError(
            "lora is for causal language models; train the parameters of an nn.Module, or add PEFT yourself"
        )
    require_plain(model)
    require_separate_storage(model)
    shapes = {name: (tuple(tensor.shape), tensor.dtype) for name, tensor in example_batch.items()}
    return Intake(
        type(model).__name__,
        skeleton_of(model),
        "",
        ModuleWeights(model),
        _values_of(ModuleWeights(model)),
        shapes,
    )


def _causal_lm(
    name: str, adapted: PeftModel, bare: PreTrainedModel, weights: WeightSource, batch: dict[str, Shape]
) -> Intake:
    """`bare`: the model without adapter, used up. The adapter's values are those in `weights`."""
    base = _require_head(adapted.get_base_model())
    config = base.config.to_dict()
    if "tie_word_embeddings" in config:
        # A model in memory need not be what its config says.
        config["tie_word_embeddings"] = _is_tied(base)
    file = adapter_file(adapted, bare)
    (_, seq_len), _ = batch["input_ids"]
    module = loss_module(adapted, seq_len)
    return Intake(
        name,
        module,
        PREFIX,
        weights,
        _values_of(weights),
        batch,
        config,
        plain_json(adapted.peft_config[adapted.active_adapter].to_dict()),
        file,
        token_types="token_type_ids" in inspect.signature(base.forward).parameters,
    )


def _require_head(base: nn.Module) -> PreTrainedModel:
    """Raises ModelError for what gives no logits of the next token."""
    head = base.get_output_embeddings() if isinstance(base, PreTrainedModel) else None  # type: ignore[no-untyped-call]
    if not isinstance(base, PreTrainedModel) or head is None:
        kind = type(base).__name__
        raise ModelError(f"{kind} is not a causal language model with an lm_head (such as LlamaForCausalLM)")
    return base


def _require_no_adapter(model: PreTrainedModel) -> None:
    """Raises ModelError for a model whose layers PEFT has replaced without wrapping it."""
    for name, module in model.named_modules():
        if isinstance(module, BaseTunerLayer):
            raise ModelError(
                f"{name} has an adapter already, added by inject_adapter_in_model or add_adapter: give the "
                "model without it, with lora=, or the PeftModel that peft's get_peft_model makes"
            )


def _is_tied(base: PreTrainedModel) -> bool:
    """Whether head and embedding share their matrix, under whatever PEFT put around them."""
    one, other = (getattr(module and bare_module(module), "weight", None) for module in embeddings(base))
    return one is not None and one is other


def _require_trainable(model: PeftModel) -> None:
    """Raises ModelError for an adapter of another kind, name or state than lowpeak trains and saves."""
    if model.active_adapters != [ADAPTER]:
        raise ModelError(
            f"the active adapter is {' and '.join(model.active_adapters)}: lowpeak trains the one named "
            f"{ADAPTER}; load it under that name, PeftModel.from_pretrained(model, folder)"
        )
    config = model.peft_config[ADAPTER]
    if not isinstance(config, LoraConfig) or config.use_dora:
        kind = "DoRA" if isinstance(config, LoraConfig) else config.peft_type
        raise ModelError(f"the adapter is {kind}: lowpeak trains LoRA adapters only")
    require_modules(config)
    merged = [name for name, module in model.named_modules() if getattr(module, "merged_adapters", None)]
    if merged:
        raise ModelError(
            f"the adapter is merged into {len(merged)} layers, first {merged[0]}: unmerge_adapter() first",
            layers=len(merged),
        )
    require_plain(model, model.get_base_model())
    require_separate_storage(model)


def plain_json(value: Any) -> Any:
    """Sets as lists, enumerations as their values: what a JSON file can hold."""
    if isinstance(value, dict):
        return {str(key): plain_json(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain_json(item) for item in (sorted(value) if isinstance(value, set | frozenset) else value)]
    if value is None or type(value) in (bool, int, float, str):
        return value
    return plain_json(value.value) if hasattr(value, "value") else str(value)


def _values_of(weights: WeightSource) -> Callable[[str, tuple[int, ...]], Tensor]:
    return lambda name, shape: weights.dense(name).contiguous()


def _fresh_adapter(
    adapted: PeftModel, weights: WeightSource, seed: int
) -> Callable[[str, tuple[int, ...]], Tensor]:
    """PEFT's own default: A uniform by Kaiming with a = sqrt(5), B zero; what is trained as a whole (biases,
    modules_to_save) begins with the checkpoint's values.

    ModelError for another initialization.
    """
    config = adapted.peft_config[adapted.active_adapter]
    if not isinstance(config, LoraConfig) or config.init_lora_weights is not True or config.use_dora:
        raise ModelError(
            "only LoRA with its default initialization can be added by lowpeak; add this adapter with peft's "
            "get_peft_model and pass the PeftModel"
        )

    def value(name: str, shape: tuple[int, ...]) -> Tensor:
        if TRAINED_TOKENS in name:
            embedding, _, _ = name.partition(TRAINED_TOKENS)
            layer: Any = adapted.get_submodule(f"{embedding}.token_adapter")
            rows = layer.token_indices[ADAPTER]
            return weights.dense(f"{embedding}.weight")[rows].clone()
        if ".lora_" not in name:
            return weights.dense(name).clone()
        if "lora_B" in name or "lora_embedding_A" in name:
            return torch.zeros(shape)
        digest = hashlib.sha256(f"{seed}:{name}".encode()).digest()
        generator = torch.Generator().manual_seed(int.from_bytes(digest[:8], "little", signed=True))
        if "lora_embedding_B" in name:
            return torch.randn(shape, generator=generator)
        bound = 1 / math.sqrt(shape[1])
        return torch.empty(shape).uniform_(-bound, bound, generator=generator)

    return value


class CheckpointNames:
    """A checkpoint's weights under the names that they have in the PEFT model around it."""

    def __init__(self, weights: WeightSource) -> None:
        self.weights = weights

    def names(self) -> Collection[str]:
        return self.weights.names()

    def shape(self, name: str) -> tuple[int, ...]:
        return self.weights.shape(checkpoint_name(name))

    def format_of(self, name: str) -> QuantFormat | None:
        return self.weights.format_of(checkpoint_name(name))

    def dense(self, name: str) -> Tensor:
        return self.weights.dense(checkpoint_name(name))

    def quantized(self, name: str) -> QuantizedTensor:
        return self.weights.quantized(checkpoint_name(name))


def checkpoint_name(name: str) -> str:
    bare = name.removeprefix(PEFT_PREFIX)
    for inserted in (
        ".token_adapter.base_layer.",
        ".base_layer.",
        ".original_module.",
        f".modules_to_save.{ADAPTER}.",
    ):
        bare = bare.replace(inserted, ".")
    return bare
