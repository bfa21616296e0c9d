"""Which metadata of a GGUF file may be there: every field of its architecture is read, is known to be without
effect, or is refused.

llama.cpp applies what it finds: a `rope.scaling.factor` without a type, for one, is a linear scaling. A model
that is trained without it is another model.
"""

from __future__ import annotations

import math
from collections.abc import Collection

from lowpeak_artifact.errors import ModelError
from lowpeak_artifact.json_file import plain
from lowpeak_compiler.frontend.model.gguf_file import GgufFile, Scalar

READ = {
    "block_count",
    "context_length",
    "embedding_length",
    "feed_forward_length",
    "attention.head_count",
    "attention.head_count_kv",
    "attention.key_length",
    "attention.layer_norm_rms_epsilon",
    "rope.dimension_count",
    "rope.freq_base",
    "rope.scaling.type",
}
"""By gguf_config.py, less the architecture."""

_NEUTRAL: dict[str, Collection[Scalar]] = {
    "attention.causal": (True,),
    "attention.clamp_kqv": (0,),
    "attention.max_alibi_bias": (0,),
    "attention.scale": (0,),
    "embedding_scale": (0, 1),
    "expert_count": (0,),
    "expert_shared_count": (0,),
    "expert_used_count": (0,),
    "expert_weights_norm": (False,),
    "expert_weights_scale": (0, 1),
    "leading_dense_block_count": (0,),
    "logit_scale": (0, 1),
    "pooling_type": (0,),
    "residual_scale": (0, 1),
    "rope.scale_linear": (0, 1),
    "rope.scaling.attn_factor": (0, 1),
    "rope.scaling.factor": (0, 1),
    "tensor_data_layout": ("Meta AI original pth",),
    "use_parallel_residual": (False,),
}
"""Values that say what is so without the field. 0 is llama.cpp's mark of a scale that is not there."""

_NAMED = 20
"""Fields in a message."""

_WITHOUT_EFFECT = {
    # The rows of the embedding say it.
    "vocab_size",
    # Of rope scaling, and there is none: the type is read.
    "rope.scaling.finetuned",
    "rope.scaling.original_context_length",
}


def require_understood(file: GgufFile, architecture: str) -> None:
    """Raises ModelError, which lists them with their values, for fields that would change the model unread,
    and for a file that is a part of a model, or none.
    """
    kind = file.metadata.get("general.type", "model")
    if kind != "model":
        raise ModelError(
            f"{file.path} holds no model but a GGUF of type {plain(kind)}: give the model's file"
        )
    parts = file.metadata.get("split.count", 1)
    if isinstance(parts, int) and parts > 1:
        number = file.metadata.get("split.no", 0)
        part = number + 1 if isinstance(number, int) else 1
        raise ModelError(
            f"{file.path} is part {part} of {parts} of a split model: join the parts with llama.cpp's "
            "llama-gguf-split --merge, or give the checkpoint folder",
            part=part,
            parts=parts,
        )
    prefix = f"{architecture}."
    keys = file.metadata.keys() | file.lists.keys()
    fields = {key.removeprefix(prefix) for key in keys if key.startswith(prefix)}
    unread = [
        f"{prefix}{field} = {plain(file.metadata.get(prefix + field, 'a list'))}"
        for field in sorted(fields - READ)
        if not _is_neutral(file, prefix, field)
    ]
    if unread:
        raise ModelError(
            f"{file.path} has {len(unread)} fields whose effect on the model is not implemented "
            f"({', '.join(unread[:_NAMED])}): give the checkpoint folder instead",
            fields=len(unread),
        )


def _is_neutral(file: GgufFile, prefix: str, field: str) -> bool:
    value = file.metadata.get(prefix + field)
    if field in _WITHOUT_EFFECT:
        return True
    if field == "attention.value_length":
        return value == file.metadata.get(f"{prefix}attention.key_length")
    if field == "attention.sliding_window" and isinstance(value, int):
        context = file.metadata.get(f"{prefix}context_length", math.inf)
        return value == 0 or (not isinstance(context, str) and value >= context)
    neutral = _NEUTRAL.get(field, ())
    if isinstance(value, float):
        return any(not isinstance(each, str) and math.isclose(value, each) for each in neutral)
    return value in neutral
