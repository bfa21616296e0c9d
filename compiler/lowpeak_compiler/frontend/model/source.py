"""A model to compile, by whatever name the user has for it: config, weights and tokenizer, not loaded yet."""

from __future__ import annotations

import copy
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from huggingface_hub.errors import StrictDataclassError
from transformers import (
    AutoConfig,
    AutoTokenizer,
    PretrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

from lowpeak_artifact.errors import ModelError, one_line, summary
from lowpeak_compiler.frontend.model.complete import CompleteWeights, unlike_ties
from lowpeak_compiler.frontend.model.config_file import read_config
from lowpeak_compiler.frontend.model.configs import SCHEME, known_config
from lowpeak_compiler.frontend.model.folder import require_own_files
from lowpeak_compiler.frontend.model.gguf import GgufWeights
from lowpeak_compiler.frontend.model.gguf_file import GgufFile
from lowpeak_compiler.frontend.model.hub import download
from lowpeak_compiler.frontend.model.origin import Origin
from lowpeak_compiler.frontend.model.skeleton import build_skeleton
from lowpeak_compiler.frontend.model.weights import RandomWeights, SafetensorsWeights, WeightSource

# transformers leaves this mark on a float checkpoint that was once loaded from a GGUF file.
_GGUF_ORIGIN = "gguf"

_RUST_PANIC = "PanicException"
"""A fault of the tokenizers library: no Exception, but about the file."""

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

    origin: Origin | None = None
    """Its files, None for random weights."""

    def skeleton(self) -> PreTrainedModel:
        """A new instance of the model on the meta device: float32, SDPA attention, no cache, eval mode."""
        return build_skeleton(
            self.config,
            self.name,
            trust_remote_code=self.origin is not None and self.origin.trust_remote_code,
        )


def open_model(spec: str | Path, *, seed: int = 0, trust_remote_code: bool = False) -> ModelSource:
    """Open a checkpoint folder, a `.gguf` file, `config:<known name>` (random weights) or a hub name.

    `trust_remote_code`: run the Python code that a folder or hub repository brings; without it, what needs
    such code is refused, never asked about. Raises ModelError when there is no causal language model under
    `spec`, EnvironmentProblem when a package is missing or the hub cannot be reached.
    """
    if isinstance(spec, str) and spec.startswith(SCHEME):
        return _open_config(spec.removeprefix(SCHEME), seed)
    path = Path(spec)
    if path.is_dir():
        return _open_folder(Origin(path, None, trust_remote_code), path.resolve().name)
    if path.is_file():
        return _open_file(path)
    if _HUB_NAME.fullmatch(str(spec)) and path.suffix != ".gguf":
        folder = download(str(spec), with_code=trust_remote_code)
        return _open_folder(Origin(folder, str(spec), trust_remote_code), str(spec))
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

    skeleton = build_skeleton(config, f"config:{name}")
    shapes = {name: tuple(tensor.shape) for name, tensor in skeleton.named_parameters()}
    weights = RandomWeights(shapes, seed=seed, std=config.initializer_range)
    return ModelSource(name, config, CompleteWeights(weights, skeleton), no_tokenizer)


def _open_folder(origin: Origin, name: str) -> ModelSource:
    folder, trusted = origin.path, origin.trust_remote_code
    if (folder / "adapter_config.json").exists():
        raise ModelError(
            f"{folder} is a PEFT adapter, not a model: open its base model, and pass the two as "
            "PeftModel.from_pretrained(base_model, adapter_folder, is_trainable=True)"
        )
    file = folder / "config.json"
    if not file.exists():
        raise ModelError(f"{folder} has no config.json: it is not a Hugging Face checkpoint folder")
    require_own_files(folder)
    config = _config(folder, read_config(folder, trusted), trusted)
    if not (trusted and "AutoModelForCausalLM" in getattr(config, "auto_map", {})):
        _require_causal_lm(config, name)
    weights = SafetensorsWeights(folder)

    def skeleton(config: PretrainedConfig) -> PreTrainedModel:
        tensors = len(weights.names())
        return build_skeleton(config, str(file), tensors=tensors, trust_remote_code=trusted)

    config = _with_stored_ties(config, weights, skeleton)
    return ModelSource(
        name,
        config,
        CompleteWeights(weights, skeleton(config)),
        lambda: _tokenizer(f"{folder} has no tokenizer that transformers can load", folder, trusted),
        origin,
    )


def _config(folder: Path, fields: Mapping[str, Any], trusted: bool) -> PretrainedConfig:
    """transformers' config of the folder, whose config.json has `fields`."""
    try:
        config: PretrainedConfig = AutoConfig.from_pretrained(folder, trust_remote_code=trusted)
    # Config classes compute with what is in the file, each in its own way.
    except Exception as error:
        _refuse_untrusted(folder, fields, trusted)
        raise ModelError(f"{folder / 'config.json'} cannot be read: {_told(error)}") from error
    return config


def _told(error: Exception) -> str:
    """transformers says what is wrong of a field; anything else names its kind."""
    known = isinstance(error, StrictDataclassError | OSError | ValueError)
    return one_line(str(error)) if known else summary(error)


def _open_file(path: Path) -> ModelSource:
    if path.suffix != ".gguf":
        raise ModelError(f"{path} is a file that is not a .gguf: give the checkpoint's folder instead")
    file = GgufFile(path)
    weights = GgufWeights(file)
    config = weights.config
    skeleton = build_skeleton(config, str(path), tensors=len(weights.names()))

    def tokenizer() -> PreTrainedTokenizerBase:
        problem = f"{path} has no tokenizer that transformers can convert"
        # transformers maps the file, which may be cut meanwhile, and reads what else lies beside it.
        with TemporaryDirectory(prefix="lowpeak-") as alone:
            file.write_metadata(Path(alone) / path.name)
            return _tokenizer(problem, Path(alone), False, gguf_file=path.name)

    return ModelSource(path.stem, config, CompleteWeights(weights, skeleton), tokenizer, Origin(path))


def _tokenizer(
    problem: str, folder: Path, trust_remote_code: bool, **options: str
) -> PreTrainedTokenizerBase:
    """ModelError begins with `problem`."""
    try:
        return AutoTokenizer.from_pretrained(folder, trust_remote_code=trust_remote_code, **options)
    # Its class parses files of a dozen kinds with packages that may be missing or of another version.
    except BaseException as error:
        if not isinstance(error, Exception) and type(error).__name__ != _RUST_PANIC:
            raise
        raise ModelError(f"{problem}: {summary(error)}") from error


def _refuse_untrusted(folder: Path, fields: Mapping[str, Any], trusted: bool) -> None:
    """ModelError if the config names code of the folder's own, and may not run it."""
    named = fields.get("auto_map")
    if trusted or not named:
        return
    files = named.values() if isinstance(named, dict) else [named]
    raise ModelError(
        f"{folder} is of an architecture that transformers does not have; it brings its own Python code "
        f"({', '.join(sorted(map(str, files)))}), which is not run unasked. Read it; if you trust it, "
        "pass --trust-remote-code (trust_remote_code=True)"
    )


def _with_stored_ties(
    config: PretrainedConfig,
    weights: WeightSource,
    skeleton: Callable[[PretrainedConfig], PreTrainedModel],
) -> PretrainedConfig:
    """The config, untied where it says that head and embedding are one but two unlike matrices are stored.

    That is how transformers loads them. ModelError if other tensors are in that state.
    """
    if not unlike_ties(weights, skeleton(config)):
        return config
    config = copy.deepcopy(config)
    config.tie_word_embeddings = False
    unlike = unlike_ties(weights, skeleton(config))
    if unlike:
        one, other = unlike[0]
        raise ModelError(
            f"{one} and {other} are one tensor by the config, but the checkpoint holds two that differ: "
            "correct the config, or save the model with the tensors that it shall have",
            unlike=len(unlike),
        )
    return config


def _require_causal_lm(config: PretrainedConfig, name: str) -> None:
    """ModelError unless the config is of a dense float causal language model."""
    expected = MODEL_FOR_CAUSAL_LM_MAPPING_NAMES.get(config.model_type)
    stored = config.architectures
    if expected is None or config.is_encoder_decoder or (stored and expected not in stored):
        kind = ", ".join(stored or [config.model_type])
        raise ModelError(f"{name} is a {kind}, not a causal language model (such as LlamaForCausalLM)")
    require_float(config, name)


def require_float(config: PretrainedConfig, name: str) -> None:
    """ModelError for a model whose weights are quantized in a way that is not read."""
    quantization = getattr(config, "quantization_config", None) or {}
    # A dict in a file, an object in a model that was loaded.
    fields = quantization if isinstance(quantization, dict) else vars(quantization)
    method = fields.get("quant_method", _GGUF_ORIGIN)
    if method != _GGUF_ORIGIN:
        raise ModelError(
            f"{name} is quantized already, by {getattr(method, 'value', method)}: give its float checkpoint "
            "or a .gguf file"
        )
