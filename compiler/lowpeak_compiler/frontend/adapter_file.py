"""What the file of the trained adapter will hold, proven before anything is trained.

PEFT names the file's tensors and reads them into a new PeftModel, in which other tensors can be one, other
layers adapted, and other scales hold than in the model that is trained. Both ways are gone here, on the meta
device: what would not come back as it was trained is refused.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from peft import LoraConfig, PeftModel, get_peft_model_state_dict, set_peft_model_state_dict
from peft.tuners.lora import LoraLayer
from peft.tuners.tuners_utils import BaseTunerLayer
from peft.utils.other import AuxiliaryTrainingWrapper, ModulesToSaveWrapper
from torch import Tensor, nn
from torch.multiprocessing.reductions import StorageWeakRef
from transformers import AutoConfig, PretrainedConfig, PreTrainedModel

from lowpeak_artifact.errors import ModelError
from lowpeak_compiler.frontend.causal_lm import with_lora

ADAPTER = "default"
"""The name that peft gives an adapter."""


@dataclass(frozen=True)
class AdapterFile:
    """Names in the file, with the parameters that they hold; a tied one is there under each of its names."""

    trained: dict[str, str]
    frozen: dict[str, str]
    """What no file of the base model has: frozen parts of the adapter, rows of a resized embedding."""


def adapter_file(adapted: PeftModel, base: PreTrainedModel) -> AdapterFile:
    """`adapted`: the model to train, `base`: a new one without adapter, which is used up; both on the meta
    device.

    Raises ModelError, with PEFT's reason or the names, if PEFT would load something else than was trained.
    """
    config = adapted.peft_config[ADAPTER]
    if getattr(config, "layer_replication", None):
        raise ModelError(
            "the adapter has layer_replication: its layers share the base's weights, which lowpeak cannot "
            "rebuild; train without it"
        )
    own = adapted.state_dict(keep_vars=True)
    parameters: dict[int, str] = {}
    for name, parameter in adapted.named_parameters():
        parameters[id(parameter)] = name
    saved: dict[str, Tensor] = get_peft_model_state_dict(adapted, state_dict=own, save_embedding_layers=False)
    saved = {**saved, **_left_out(adapted, own, saved)}
    fresh = _loaded(config, base)
    _require_same_ties(own, fresh, {id(tensor) for tensor in saved.values()})
    _require_same_scales(adapted, fresh)
    _require_loads(fresh, saved, own)
    trainable = {id(parameter) for parameter in adapted.parameters() if parameter.requires_grad}
    names = {name: parameters[id(tensor)] for name, tensor in saved.items()}
    return AdapterFile(
        {name: names[name] for name, tensor in saved.items() if id(tensor) in trainable},
        {name: names[name] for name, tensor in saved.items() if id(tensor) not in trainable},
    )


def without_adapter(adapted: PeftModel) -> PreTrainedModel:
    """A copy of the base model, its own modules in place of PEFT's (`unload` would keep trained ones)."""
    base = copy.deepcopy(adapted.get_base_model())
    assert isinstance(base, PreTrainedModel)
    _unwrap(base)
    vars(base).pop("peft_config", None)
    return base


def require_separate_storage(module: nn.Module) -> None:
    """ModelError if two trained parameters lie in the same memory: as a file's tensors they would part."""
    names: dict[tuple[Any, ...], str] = {}
    for name, parameter in module.named_parameters():
        if not parameter.requires_grad or parameter.numel() == 0:
            continue
        place = StorageWeakRef(parameter.untyped_storage()).cdata, parameter.storage_offset()
        if place in names:
            raise ModelError(_one_in_memory(names[place], name))
        names[place] = name


def _one_in_memory(one: str, other: str) -> str:
    return (
        f"{one} and {other} are two parameters in the same memory, as PEFT's ensure_weight_tying makes them "
        "for LoRA on tied layers: the file holds each, PEFT loads them into one, and merging adds both. "
        "Adapt only one of the two layers, or leave ensure_weight_tying out"
    )


def _left_out(
    adapted: PeftModel, own: Mapping[str, Tensor], saved: Mapping[str, Tensor]
) -> dict[str, Tensor]:
    """Tensors that PEFT would not save of itself, but reads if they are in the file."""
    held = {id(tensor) for tensor in saved.values()}
    needed = {id(parameter) for parameter in adapted.parameters() if parameter.requires_grad}
    needed |= {id(parameter) for parameter in _resized_embeddings(adapted)}
    return {name: tensor for name, tensor in own.items() if id(tensor) in needed - held}


def _resized_embeddings(adapted: PeftModel) -> Iterable[nn.Parameter]:
    """The frozen parameters of both embeddings, if the checkpoint they came from has other rows."""
    base = adapted.get_base_model()
    assert isinstance(base, PreTrainedModel)
    rows = _rows_of_checkpoint(base)
    if rows in (None, _rows(base.config)):
        return
    for module in embeddings(base):
        # What is trained as a whole is in the file anyway.
        if module is not None and not isinstance(module, ModulesToSaveWrapper):
            yield from bare_module(module).parameters()


def _rows_of_checkpoint(base: PreTrainedModel) -> int | None:
    """The vocabulary of the checkpoint that PEFT names as the adapter's base; None where it is not here."""
    if not base.name_or_path:
        return None
    try:
        config = AutoConfig.from_pretrained(base.name_or_path, local_files_only=True, trust_remote_code=False)
    # The name may lead to any folder; what is no config there has no vocabulary.
    except Exception:
        return None
    return _rows(config)


def _rows(config: PretrainedConfig) -> int | None:
    """Of the embedding of text, by the config of any model."""
    return getattr(config.get_text_config(), "vocab_size", None)


def _loaded(config: Any, base: PreTrainedModel) -> PeftModel:
    """What `PeftModel.from_pretrained` makes of the config, before it reads the tensors."""
    copied = copy.deepcopy(config)
    if isinstance(copied, LoraConfig):
        # The first values are of no matter here, and some are computed from weights.
        copied.init_lora_weights = False
    return with_lora(base, copied)


def _require_same_ties(own: Mapping[str, Tensor], fresh: PeftModel, saved: set[int]) -> None:
    """What is one tensor in the trained model is one in the loaded model, and the reverse."""
    loaded = dict(fresh.named_parameters(remove_duplicate=False))
    places: dict[int, str] = {}
    owners: dict[int, str] = {}
    for name, tensor in own.items():
        if id(tensor) not in saved or name not in loaded:
            continue
        place = StorageWeakRef(loaded[name].untyped_storage()).cdata
        tied, other = places.setdefault(place, name), owners.setdefault(id(tensor), name)
        if own[tied] is not tensor:
            raise ModelError(_one_in_memory(tied, name))
        if StorageWeakRef(loaded[other].untyped_storage()).cdata != place:
            raise ModelError(
                f"{other} and {name} are one tensor here but two in the model that PEFT makes of the "
                "adapter's config: tie them by the config (ensure_weight_tying), or not at all"
            )


def _require_same_scales(adapted: PeftModel, fresh: PeftModel) -> None:
    """A layer's scale is not in the file: PEFT computes it from the config."""
    loaded = dict(fresh.named_modules())
    for name, module in adapted.named_modules():
        if not isinstance(module, LoraLayer) or ADAPTER not in module.scaling:
            continue
        other = loaded.get(name)
        expected = other.scaling.get(ADAPTER) if isinstance(other, LoraLayer) else None
        if expected != module.scaling[ADAPTER]:
            raise ModelError(
                f"{name} scales its LoRA by {module.scaling[ADAPTER]}, PEFT would by {expected} when it "
                "loads the adapter: set the scale in the config (lora_alpha, alpha_pattern)"
            )


def _require_loads(fresh: PeftModel, saved: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> None:
    """Every tensor of the file comes to lie where it was trained."""
    # Loading sets requires_grad of what it takes, so it takes twins.
    twins = {id(tensor): nn.Parameter(tensor.detach()) for tensor in saved.values()}
    try:
        # Takes the very tensors, which tells where each went.
        result: Any = set_peft_model_state_dict(
            fresh, {name: twins[id(tensor)] for name, tensor in saved.items()}, low_cpu_mem_usage=True
        )
    except (KeyError, RuntimeError, ValueError) as error:
        raise ModelError(f"PEFT cannot load the adapter that it saves for this config: {error!r}") from error
    loaded = fresh.state_dict(keep_vars=True)
    lost = list(result.unexpected_keys)
    lost += [n for n, tensor in own.items() if id(tensor) in twins and loaded.get(n) is not twins[id(tensor)]]
    lost += [name for name in result.missing_keys if ".lora_" in name and f".{ADAPTER}" in name]
    if lost:
        raise ModelError(
            f"PEFT would not load {len(lost)} tensors of the trained adapter as they were trained, first "
            f"{lost[0]}: the model is not what its config and the adapter's config make",
            tensors=len(lost),
        )


def embeddings(base: PreTrainedModel) -> tuple[nn.Module, nn.Module | None]:
    """That of the input, and the head."""
    return base.get_input_embeddings(), base.get_output_embeddings()  # type: ignore[no-untyped-call]


def _unwrap(module: nn.Module) -> None:
    for name, child in list(module.named_children()):
        bare = bare_module(child)
        if bare is not child:
            setattr(module, name, bare)
        _unwrap(bare)


def bare_module(module: nn.Module) -> nn.Module:
    """The base's own module, out of whatever PEFT put around it."""
    while isinstance(module, BaseTunerLayer | AuxiliaryTrainingWrapper):
        module = module.get_base_layer() if isinstance(module, BaseTunerLayer) else module.original_module
    return module
