"""The LoRA of PEFT's two files, if a GGUF LoRA can hold it: pairs of matrices, each with its scale.

PEFT adds scale * B @ A to a matrix; llama.cpp adds (alpha / rank of B) * B @ A, with one alpha for the file.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from pathlib import Path

from peft import LoraConfig, PeftConfig
from peft.utils.other import get_pattern_key
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from lowpeak_artifact.errors import ArtifactError, LowpeakError, ModelError
from lowpeak_artifact.json_file import parse_object
from lowpeak_artifact.plain_file import read_plain
from lowpeak_compiler.frontend.model.config_file import MOST_CONFIG_BYTES, require_sound
from lowpeak_compiler.frontend.model.folder import require_own_files
from lowpeak_compiler.frontend.model.safetensors_file import read_shapes
from lowpeak_compiler.frontend.model.weights import require_finite
from lowpeak_export.adapter import CONFIG_FILE, TENSORS_FILE

_TENSOR = re.compile(r"base_model\.model\.(?P<module>.+)\.lora_(?P<side>[AB])\.weight")
_COPY = ".base_layer.weight"
"""Of the base's own weight: PEFT saves one of an output matrix that has a LoRA."""
_OWN_WEIGHTS = ("pissa", "olora", "corda", "loftq", "lora_ga")
"""Ways to begin an adapter that change the base's weights."""
_REMEDY = "merge the adapter with PEFT's merge_and_unload, and convert the whole model"


@dataclass(frozen=True)
class Lora:
    """The adapter of one linear layer."""

    module: str
    """As transformers names it: model.layers.0.self_attn.q_proj."""
    a: Tensor
    """(rank, inputs)"""
    b: Tensor
    """(outputs, rank)"""
    scale: float

    @property
    def rank(self) -> int:
        return self.a.shape[0]


def read_loras(folder: Path) -> list[Lora]:
    """Of an adapter's folder, in its order.

    Raises ArtifactError when the files are not there or damaged, ModelError for what no GGUF LoRA can hold.
    """
    config = read_config(folder)
    try:
        read_shapes(folder / TENSORS_FILE)
        tensors = load_file(folder / TENSORS_FILE, backend="pread")
    except (OSError, ValueError, TypeError, KeyError, SafetensorError, LowpeakError) as error:
        raise _unreadable(folder, error) from error
    _require_plain(config)
    assert isinstance(config, LoraConfig)
    sides: dict[str, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        _require_values(name, tensor)
        if name.endswith(_COPY):
            continue
        match = _TENSOR.fullmatch(name)
        if match is None:
            raise ModelError(
                f"the adapter's tensor {name} is {_kind(name)}, which a GGUF LoRA has no place for: {_REMEDY}"
            )
        sides.setdefault(match["module"], {})[match["side"]] = tensor
    return [_lora(config, module, pair) for module, pair in sides.items()]


def _require_values(name: str, tensor: Tensor) -> None:
    if not tensor.is_floating_point() or not tensor.numel():
        raise ArtifactError(
            f"the adapter's tensor {name} is {tensor.dtype} {list(tensor.shape)}: it is damaged"
        )
    require_finite(f"the adapter's tensor {name}", tensor.float())


def read_config(folder: Path) -> PeftConfig:
    """Of an adapter's own file, opened by name. Raises ArtifactError."""
    where = str(folder / CONFIG_FILE)
    try:
        data = read_plain(folder, CONFIG_FILE, f"the adapter {folder}", MOST_CONFIG_BYTES)
        require_own_files(folder)
        fields = parse_object(data, where)
        require_sound(fields, where)
        config: PeftConfig = PeftConfig.from_peft_type(**fields)  # type: ignore[no-untyped-call]
    # PEFT's config class computes with what is in the file, of any type and value.
    except Exception as error:
        raise _unreadable(folder, error) from error
    return config


def _unreadable(folder: Path, error: Exception) -> ArtifactError:
    return ArtifactError(
        f"{folder} holds no PEFT adapter that can be read ({CONFIG_FILE} and {TENSORS_FILE}): {error}"
    )


def _require_plain(config: PeftConfig) -> None:
    if not isinstance(config, LoraConfig):
        raise ModelError(f"the adapter is of type {config.peft_type}, not LORA: only LoRA is written as GGUF")
    begun = str(config.init_lora_weights).lower()
    refused = {
        "DoRA": config.use_dora,
        "an activated LoRA": getattr(config, "alora_invocation_tokens", None),
        "one with copied layers": config.layer_replication,
        "one of parameters that are no layer (target_parameters)": getattr(config, "target_parameters", None),
        "one that transposes (fan_in_fan_out)": config.fan_in_fan_out,
        f"begun by {begun}, which changes the base's weights,": begun.startswith(_OWN_WEIGHTS),
    }
    for what, present in refused.items():
        if present:
            raise ModelError(f"the adapter is {what} and cannot be written as a GGUF LoRA: {_REMEDY}")


def _lora(config: LoraConfig, module: str, pair: dict[str, Tensor]) -> Lora:
    if pair.keys() != {"A", "B"}:
        raise ArtifactError(f"the adapter has only lora_{min(pair)} of {module}: the file is not whole")
    a, b = pair["A"], pair["B"]
    if a.dim() != 2 or b.dim() != 2 or a.shape[0] != b.shape[1]:
        shapes = f"{tuple(a.shape)} and {tuple(b.shape)}"
        raise ModelError(f"lora_A and lora_B of {module} are {shapes}: they are of no linear layer")
    alpha = _of_pattern(config.alpha_pattern, module, config.lora_alpha)
    if not isinstance(alpha, int | float) or isinstance(alpha, bool) or not 0 <= alpha < math.inf:
        raise ModelError(
            f"lora_alpha of {module} is {alpha!r} in {CONFIG_FILE}: it must be a number, not below 0"
        )
    rank = a.shape[0]
    return Lora(module, a, b, alpha / (math.sqrt(rank) if config.use_rslora else rank))


def _of_pattern(pattern: dict[str, int] | None, module: str, otherwise: int) -> float:
    """As PEFT looks up what a pattern says of a module."""
    known = pattern or {}
    if not isinstance(known, dict):
        raise ModelError(f"alpha_pattern in {CONFIG_FILE} is {known!r}: it must be an object")
    return known.get(get_pattern_key(list(known), module), otherwise)


def _kind(name: str) -> str:
    if "lora_embedding_" in name or ".embed_tokens." in name or "token_adapter" in name:
        return "of the token embedding"
    if name.endswith(".bias"):
        return "a trained bias"
    if "magnitude_vector" in name:
        return "DoRA's magnitudes"
    return "a whole trained layer (modules_to_save)"
