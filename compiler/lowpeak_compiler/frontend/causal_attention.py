"""transformers' attention under a name of our own: one operator that the compiler knows.

The mask is the model's own, as stock attention has it, and may come back changed (a bias, a window). That it
hides nothing but later tokens is seen in the graph, where its value is known (passes/fuse/attention.py).
"""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.masking_utils import eager_mask

from lowpeak_artifact.errors import ModelError

ATTENTION = "lowpeak_causal"
CACHED = "lowpeak_cached"
"""The same without the model's mask: tokens see all that are in a cache, and those up to their own."""
WITHOUT_EFFECT = frozenset(
    {
        "dropout", "sliding_window", "position_ids", "position_embeddings", "cache", "past_key_values",
        "cache_position",
    }
)  # fmt: skip
"""Options that leave attention on a whole sequence as it is, as switches do: what a window hides is in the
mask, and dropout is off.
"""


def _attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float | None = None,
    **options: Any,
) -> tuple[Tensor, None]:
    """query [batch, heads, tokens, dim], key and value [batch, key heads, tokens, dim]
    -> [batch, tokens, heads, dim].

    Without a mask attention is causal, or refused. Raises ModelError for options that change the scores.
    """
    kind = type(module).__name__
    for name, option in options.items():
        if name not in WITHOUT_EFFECT and not isinstance(option, bool | None):
            raise ModelError(f"{kind} uses attention with {name}, which lowpeak cannot compile")
    causal = options.get("is_causal")
    if causal is None:
        causal = getattr(module, "is_causal", True)
    if attention_mask is None and not causal:
        raise ModelError(f"{kind} uses attention that is not causal, which lowpeak cannot compile")
    out = nn.functional.scaled_dot_product_attention(
        query, key, value, attention_mask, is_causal=attention_mask is None, scale=scaling, enable_gqa=True
    )
    return out.transpose(1, 2), None


AttentionInterface.register(ATTENTION, _attention)
AttentionMaskInterface.register(ATTENTION, eager_mask)


def _no_mask(*_: Any, **__: Any) -> None:
    """A model that is known to hide nothing but later tokens needs no mask."""


AttentionInterface.register(CACHED, _attention)
AttentionMaskInterface.register(CACHED, _no_mask)
