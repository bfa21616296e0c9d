"""A Hugging Face causal LM as a module that the compiler can capture: LoRA added, attention plain causal,
loss inside.

The module keeps the model's own structure and parameter names, so that an adapter trained from the artifact
loads into `PeftModel.from_pretrained`.
"""

from __future__ import annotations

import copy
import inspect
import math
from typing import Any, TypeVar

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from torch import Tensor, nn
from transformers import PretrainedConfig, PreTrainedModel

from lowpeak_artifact.batch import IGNORE_INDEX
from lowpeak_artifact.errors import ModelError
from lowpeak_compiler.config import LORA_ALPHA, LORA_RANK
from lowpeak_compiler.frontend.causal_attention import ATTENTION, CACHED
from lowpeak_compiler.frontend.rope import fix_length, longest_sequence, look_up_positions

OTHER_LOSSES = frozenset(
    {
        "bart", "bigbird_pegasus", "blenderbot", "blenderbot-small", "cpmant", "marian", "mbart", "musicgen",
        "musicgen_melody", "mvp", "pegasus", "plbart", "prophetnet", "trocr", "whisper", "xlm", "xlnet",
    }
)  # fmt: skip
"""Model types whose loss in transformers is not that of the next token: their labels are not shifted."""
M = TypeVar("M", bound=nn.Module)


class CausalLMLoss(nn.Module):
    """`forward(input_ids, targets)`, both int64 [batch, tokens]
    -> mean cross-entropy over targets that are not -100.

    `targets[i]` is the token after `input_ids[i]`: the shift of the labels is the caller's
    (lowpeak_artifact/batch.py).
    """

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, input_ids: Tensor, targets: Tensor) -> Tensor:
        logits = self.model(input_ids=input_ids, use_cache=False).logits
        return nn.functional.cross_entropy(logits.flatten(0, 1), targets.flatten(), ignore_index=IGNORE_INDEX)


class NextToken(nn.Module):
    """`forward(input_ids, position_ids)`, both int64 [1, tokens] -> logits float [1, tokens, vocabulary]."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, input_ids: Tensor, position_ids: Tensor) -> Tensor:
        logits: Tensor = self.model(input_ids=input_ids, position_ids=position_ids, use_cache=False).logits
        return logits


def skeleton_of(module: M) -> M:
    """A copy of an in-memory module without its weights (meta tensors); the module itself stays untouched."""
    memo: dict[int, Any] = {}
    for tensor in (*module.parameters(), *module.buffers()):
        meta = torch.empty_like(tensor, device="meta")
        memo[id(tensor)] = (
            nn.Parameter(meta, requires_grad=tensor.requires_grad)
            if isinstance(tensor, nn.Parameter)
            else meta
        )
    return copy.deepcopy(module, memo)


def default_lora() -> LoraConfig:
    return LoraConfig(r=LORA_RANK, lora_alpha=LORA_ALPHA, target_modules="all-linear", task_type="CAUSAL_LM")


def require_modules(lora: LoraConfig) -> None:
    """Raises ModelError for LoRA on single parameters, as of experts in one tensor."""
    if lora.target_parameters:
        raise ModelError(
            f"LoRA on parameters (target_parameters={list(lora.target_parameters)}) is not supported: name "
            "linear layers in target_modules"
        )


def _require_scales(lora: LoraConfig) -> None:
    """Raises ModelError for an alpha that scales the adapter to nothing or no number, and for such a rank."""
    alphas = {"lora_alpha": lora.lora_alpha, **(lora.alpha_pattern or {})}
    ranks = {"r": lora.r, **(lora.rank_pattern or {})}
    for name, value in (*alphas.items(), *ranks.items()):
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if not number or not 0 < value < math.inf:
            raise ModelError(f"{name} of the LoRA configuration is {value!r}: it must be a number over 0")
    for name, value in ranks.items():
        if value != int(value):
            raise ModelError(f"the rank {name} of the LoRA configuration is {value!r}: it must be whole")


def with_lora(skeleton: PreTrainedModel, lora: LoraConfig | None) -> PeftModel:
    """Adds the adapter on the meta device.

    Raises ModelError for a rank below 1, an alpha that is no positive number, or targets that match nothing.
    """
    lora = lora or default_lora()
    if lora.r < 1:
        raise ModelError(f"LoRA rank is {lora.r}; it must be at least 1 (16 is a good start)", rank=lora.r)
    _require_scales(lora)
    require_modules(lora)
    skeleton.requires_grad_(False)
    try:
        with torch.device("meta"):
            return get_peft_model(skeleton, copy.deepcopy(lora))
    except ValueError as error:
        raise ModelError(f"the LoRA configuration does not fit the model: {error}") from error


def loss_module(peft_model: PeftModel, seq_len: int) -> CausalLMLoss:
    """The capture-ready module. Raises ModelError when seq_len is over the model's maximum or its window."""
    base = peft_model.get_base_model()
    assert isinstance(base, PreTrainedModel)
    config: PretrainedConfig = base.config
    if config.model_type in OTHER_LOSSES:
        raise ModelError(
            f"transformers' loss of {type(base).__name__} takes labels that are shifted already, lowpeak's "
            "is that of the next token, and would be another: give a decoder-only model"
        )
    if getattr(config.get_text_config(), "output_router_logits", False):
        raise ModelError(
            f"{type(base).__name__} adds a loss of its router to the loss (output_router_logits is set): "
            "lowpeak trains the cross-entropy only; load the model with output_router_logits=False"
        )
    limit = longest_sequence(config)
    if limit is not None and seq_len > limit:
        raise ModelError(
            f"seq_len is {seq_len} tokens, but the model's maximum is {limit}; use seq_len {limit} or less",
            seq_len=seq_len,
            maximum=limit,
        )
    window = getattr(config, "sliding_window", None)
    if window is not None and getattr(config, "use_sliding_window", True) and seq_len > window:
        raise ModelError(
            f"seq_len is {seq_len} tokens, over the model's sliding attention window of {window}; only full "
            f"causal attention is supported, use seq_len {window} or less",
            seq_len=seq_len,
            maximum=window,
        )
    base.set_attn_implementation(ATTENTION)
    fix_length(base, seq_len)
    return CausalLMLoss(peft_model).eval()


def next_token_module(trained: CausalLMLoss) -> NextToken:
    """The module that `loss_module` made, with positions as an input and attention without a mask.

    `trained` cannot be captured any more. Raises ModelError for a model that takes no positions.
    """
    base = trained.model.get_base_model()  # type: ignore[operator]
    assert isinstance(base, PreTrainedModel)
    if "position_ids" not in inspect.signature(base.forward).parameters:
        raise ModelError(f"{type(base).__name__} takes no position_ids: its tokens cannot follow others")
    base.set_attn_implementation(CACHED)
    look_up_positions(base)
    return NextToken(trained.model).eval()
