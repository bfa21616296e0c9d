"""A model to compile, by whatever name the user has for it: config, weights and tokenizer, not loaded yet."""

from __future__ import annotations

import copy
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from huggingface_hub.errors import StrictDataclassError
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoTokenizer,
    PretrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

from compiler.errors import ModelError
from compiler.model.complete import CompleteWeights
from compiler.model.configs import SCHEME, known_config
from compiler.model.gguf import GgufWeights
from compiler.model.gguf_file import GgufFile
from compiler.model.hub import download
from compiler.model.weights import RandomWeights, SafetensorsWeights, WeightSource

# transformers leaves this mark on a float checkpoint that was once loaded from a GGUF file.
_GGUF_ORIGIN = "gguf"

_HUB_NAME = re.compile(r"[\w.-]+/[\w.-]+")


@dataclass(frozen=True)
class ModelSource:
    """A causal language model that can be planned without its weights, and compiled tensor by tensor."""

    name: str
    """How messages and manifests call it."""

    config: PretrainedConfig

    weights: WeightSource
    """Every parameter and buffer of `skeleton()`, tied ones under each of their names."""

    load_tokenizer: Callable[[], PreTrainedTokenizerBase]
    """Loads the tokenizer, which can take seconds. Raises ModelError when the model has none."""

    def skeleton(self) -> PreTrainedModel:
        """A new instance of the model on the meta device: float32, SDPA attention, no cache, eval mode."""
        return _skeleton(self.config)


def open_model(spec: str | Path, *, seed: int = 0) -> ModelSource:
    """Open a checkpoint folder, a `.gguf` file, `config:<known name>` (random weights) or a hub name.

    Raises ModelError when there is no causal language model under `spec`, EnvironmentProblem when a package
    is missing or the hub cannot be reached.
    """
    if isinstance(spec, str) and spec.startswith(SCHEME):
        return _open_config(spec.removeprefix(SCHEME), seed)
    path = Path(spec)
    if path.is_dir():
        return _open_folder(path, path.resolve().name)
    if path.is_file():
        return _open_file(path)
    if _HUB_NAME.fullmatch(str(spec)) and path.suffix != ".gguf":
        return _open_folder(download(str(spec)), str(spec))
    raise ModelError(
        f"there is no {spec}: give a checkpoint folder, a .gguf file, config:<name>, or a hub name such as "
        "org/name, which is downloaded with huggingface_hub"
    )


def _open_config(name: str, seed: int) -> ModelSource:
    config = known_config(name)

    def no_tokenizer() -> PreTrainedTokenizerBase:
        raise ModelError(
            f"config:{name} has no tokenizer: give token ids, or the model's folder or .gguf file"
        )

    skeleton = _skeleton(config)
    shapes = {name: tuple(tensor.shape) for name, tensor in skeleton.named_parameters()}
    weights = RandomWeights(shapes, seed=seed, std=config.initializer_range)
    return ModelSource(name, config, CompleteWeights(weights, skeleton), no_tokenizer)


def _open_folder(folder: Path, name: str) -> ModelSource:
    if (folder / "adapter_config.json").exists():
        raise ModelError(
            f"{folder} is a PEFT adapter, not a model: open its base model, and pass the two as "
            "PeftModel.from_pretrained(base_model, adapter_folder, is_trainable=True)"
        )
    if not (folder / "config.json").exists():
        raise ModelError(f"{folder} has no config.json: it is not a Hugging Face checkpoint folder")
    try:
        config = AutoConfig.from_pretrained(folder)
    except (StrictDataclassError, ValueError, TypeError, OSError, KeyError) as error:
        raise ModelError(f"{folder / 'config.json'} cannot be read: {error}") from error
    _require_causal_lm(config, name)
    weights = SafetensorsWeights(folder)

    def tokenizer() -> PreTrainedTokenizerBase:
        try:
            return AutoTokenizer.from_pretrained(folder)
        except (ValueError, OSError, KeyError) as error:
            raise ModelError(f"{folder} has no tokenizer that transformers can load: {error}") from error

    return ModelSource(name, config, CompleteWeights(weights, _skeleton(config)), tokenizer)


def _open_file(path: Path) -> ModelSource:
    if path.suffix != ".gguf":
        raise ModelError(f"{path} is a file that is not a .gguf: give the checkpoint's folder instead")
    weights = GgufWeights(GgufFile(path))

    def tokenizer() -> PreTrainedTokenizerBase:
        try:
            return AutoTokenizer.from_pretrained(path.parent, gguf_file=path.name)
        except (ValueError, OSError, KeyError, IndexError) as error:
            raise ModelError(f"{path} has no tokenizer that transformers can convert: {error}") from error

    config = weights.config
    return ModelSource(path.stem, config, CompleteWeights(weights, _skeleton(config)), tokenizer)


def _require_causal_lm(config: PretrainedConfig, name: str) -> None:
    """ModelError unless the config is of a dense float causal language model."""
    expected = MODEL_FOR_CAUSAL_LM_MAPPING_NAMES.get(config.model_type)
    stored = config.architectures
    if expected is None or config.is_encoder_decoder or (stored and expected not in stored):
        kind = ", ".join(stored or [config.model_type])
        raise ModelError(f"{name} is a {kind}, not a causal language model (such as LlamaForCausalLM)")
    method = (getattr(config, "quantization_config", None) or {}).get("quant_method", _GGUF_ORIGIN)
    if method != _GGUF_ORIGIN:
        raise ModelError(
            f"{name} is quantized already, by {method}: give its float checkpoint or a .gguf file"
        )


def _skeleton(config: PretrainedConfig) -> PreTrainedModel:
    config = copy.deepcopy(config)
    config.use_cache = False
    with torch.device("meta"):
        model: PreTrainedModel = AutoModelForCausalLM.from_config(  # type: ignore[no-untyped-call]
            config, dtype=torch.float32, attn_implementation="sdpa"
        )
    model.train(False)
    return model
