"""The model that an artifact is compared with: the user's, as transformers loads it, where it is to be had.

The frozen matrices that the artifact has quantized are rounded here as well, from the user's own values, so
that what is compared is the step and what was read, not the rounding. Without the user's model the artifact's
own weights stand for it, and the report says so.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from huggingface_hub import snapshot_download
from huggingface_hub.errors import HfHubHTTPError, HFValidationError
from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers.models.auto.modeling_auto import AutoModelForCausalLM

from lowpeak_artifact.artifact import Artifact
from lowpeak_artifact.errors import LowpeakError, ModelError
from lowpeak_artifact.manifest import SourceRecord
from lowpeak_artifact.plain_file import is_plain_name
from lowpeak_artifact.private_folder import private_folder
from lowpeak_artifact.quantize import quantize
from lowpeak_compiler.frontend.causal_lm import skeleton_of
from lowpeak_compiler.frontend.intake import checkpoint_name
from lowpeak_compiler.frontend.model.folder import checkpoint_files
from lowpeak_compiler.frontend.model.in_memory import unwrapped
from lowpeak_compiler.frontend.model.origin import Origin
from lowpeak_runtime.simulate.rebuilt_model import rebuilt, with_adapter

_INDEX = "model.safetensors.index.json"
_PARTS = ("data", "scale", "zero_point")
_AS_STORED = 1e-6
"""Largest difference, relative to a matrix's largest value, of one that the artifact holds unrounded."""


@dataclass(frozen=True)
class Reference:
    """A module with adapter; the values that stand for its own, by name; and whose they are, in words."""

    module: nn.Module
    frozen: dict[str, Tensor]
    words: str


def reference_of(artifact: Artifact, model: nn.Module | str | Path | None) -> Reference | None:
    """`model`: what was compiled, a module or a path; None: the files that the artifact came from, if they
    are still there, else its own weights. None if there is nothing to build a model from.

    Raises ModelError for a model that is not what was compiled, or that transformers cannot load.
    """
    if isinstance(model, str | Path):
        return _of_module(artifact, _loaded(Path(model)), f"transformers' loading of {model}")
    if model is not None:
        return _of_module(artifact, unwrapped(model), f"the {type(model).__name__} that was passed")
    if artifact.manifest.model_config is None:
        return None
    path, instead = _own_files(artifact)
    if path is None:
        return own_weights(artifact, instead)
    return _of_module(artifact, _loaded(path), f"transformers' loading of {artifact.manifest.model_name}")


def own_weights(artifact: Artifact, why: str = "") -> Reference:
    """transformers' model with PEFT's adapter on the artifact's frozen tensors, float32.

    Raises ArtifactError when the manifest does not say how to build it.
    """
    module, buffers = rebuilt(artifact.manifest)
    quantized = {record.name for record in artifact.manifest.quantized}
    parts = {f"{name}.{part}" for name in quantized for part in _PARTS}
    dense = {r.name: artifact.tensor(r.name) for r in artifact.manifest.weights if r.name not in parts}
    matrices = {name: _dequantized(artifact, name) for name in quantized}
    words = f"the artifact's own weights{why and f' ({why})'}"
    return Reference(module, {**dense, **matrices, **buffers}, words)


def _own_files(artifact: Artifact) -> tuple[Path | None, str]:
    """Where the compiled model's files are; or else why its own weights are taken."""
    source = artifact.manifest.source
    if source is None:
        return None, "pass --model to compare with the model itself"
    if source.path.endswith(".gguf"):
        return None, "pass --model to compare with the GGUF file itself, which is slow"
    path = _place_of(source, artifact.path)
    if path is None or not path.is_dir():
        return None, "its model is not beside it; pass --model to compare with it"
    try:
        same = Origin(path).sha256() == source.sha256
    except (LowpeakError, OSError):
        same = False
    return (path, "") if same else (None, "its model has changed since; pass --model to compare with that")


def _place_of(source: SourceRecord, artifact: Path) -> Path | None:
    """The hub's cache, or what lies beside the artifact under the model's name."""
    if source.hub_name is not None:
        try:
            return Path(snapshot_download(source.hub_name, local_files_only=True))
        except (HfHubHTTPError, HFValidationError, OSError):
            return None
    if not is_plain_name(source.path):
        return None
    path = artifact.resolve().parent / source.path
    return path if path.exists() else None


def _loaded(path: Path) -> PreTrainedModel:
    """As a user would: nothing of ours reads config or weights, and transformers nothing beside them."""
    try:
        with private_folder("lowpeak-model-") as folder:
            names = _model_files(path)
            for name in names:
                Path(folder, name).symlink_to((path.parent if path.is_file() else path).resolve() / name)
            form = {"gguf_file": path.name} if path.is_file() else {"use_safetensors": True}
            model: PreTrainedModel = AutoModelForCausalLM.from_pretrained(
                folder,
                dtype=torch.float32,
                attn_implementation="sdpa",
                trust_remote_code=False,
                local_files_only=True,
                # One that is cut meanwhile would be a signal.
                disable_mmap=True,
                **form,
            )
    # Whatever transformers raises is about the model that was named.
    except Exception as error:
        raise ModelError(f"transformers cannot load {path}: {type(error).__name__}: {error}") from error
    # PEFT compares it with the adapter's config.
    model.name_or_path = path.resolve().name
    model.train(False)
    return model


def _model_files(path: Path) -> list[str]:
    """Config and weights: not an adapter, code or a generation config that lie beside them."""
    if path.is_file():
        return [path.name]
    names = ["config.json", *checkpoint_files(path)]
    names += [name for name in (_INDEX,) if (path / name).is_file()]
    for name in names:
        if not is_plain_name(name):
            raise ModelError(f"the file {name!r} does not lie directly in the folder")
    return names


def _of_module(artifact: Artifact, module: nn.Module, words: str) -> Reference:
    """The module with an adapter (its own, or the artifact's) and its quantized matrices rounded."""
    manifest = artifact.manifest
    values = _tensors(module)
    if isinstance(module, PreTrainedModel) and manifest.adapter_config is not None:
        module = with_adapter(skeleton_of(module), manifest).train(False)
        bare = {name: checkpoint_name(name) for name in _tensors(module)}
        values = {name: values[own] for name, own in bare.items() if own in values}
    aliases: dict[int, list[str]] = {}
    names = dict(module.named_parameters(remove_duplicate=False))
    for name, parameter in names.items():
        aliases.setdefault(id(parameter), []).append(name)
    for record in manifest.quantized:
        if record.name not in names:
            raise ModelError(
                f"the reference module has no parameter {record.name}; it is not what was compiled"
            )
        rounded = _rounded(artifact, record.name, values[record.name])
        values |= dict.fromkeys(aliases[id(names[record.name])], rounded)
    return Reference(module, values, words)


def _tensors(module: nn.Module) -> dict[str, Tensor]:
    """Parameters and buffers by each of their names, floating ones as float32."""
    tensors = [
        *module.named_parameters(remove_duplicate=False),
        *module.named_buffers(remove_duplicate=False),
    ]
    return {
        name: tensor.detach().float() if tensor.is_floating_point() else tensor.detach()
        for name, tensor in tensors
    }


def _rounded(artifact: Artifact, name: str, dense: Tensor) -> Tensor:
    """`dense` as the artifact's format can hold it: as it is, if it came quantized and was taken over."""
    stored = artifact.quantized(name)
    assert stored is not None
    if stored.dequantize().shape != dense.shape:
        raise ModelError(f"{name} of the reference has another shape: it is not what was compiled")
    if (stored.dequantize() - dense).abs().max() <= _AS_STORED * dense.abs().max():
        return dense
    return quantize(dense, stored.format).dequantize()


def _dequantized(artifact: Artifact, name: str) -> Tensor:
    matrix = artifact.quantized(name)
    assert matrix is not None
    return matrix.dequantize()
