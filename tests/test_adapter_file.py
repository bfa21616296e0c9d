"""What a trained adapter's file will hold is what PEFT loads, or the model is refused before training."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model, get_peft_model_state_dict
from transformers import PreTrainedModel

from lowpeak_artifact.errors import ModelError
from lowpeak_compiler.frontend.adapter_file import (
    AdapterFile,
    adapter_file,
    require_separate_storage,
    without_adapter,
)
from lowpeak_compiler.frontend.causal_lm import skeleton_of, with_lora
from tests.tiny import tiny_llama, tiny_qwen2

PREFIX = "base_model.model."
EMBEDDING, HEAD = f"{PREFIX}model.embed_tokens", f"{PREFIX}lm_head"

CONFIGS: dict[str, dict[str, Any]] = {
    "default": {"target_modules": "all-linear"},
    "excluded": {"target_modules": "all-linear", "exclude_modules": ["q_proj"]},
    "patterns": {
        "target_modules": ["q_proj", "k_proj"],
        "rank_pattern": {"q_proj": 3},
        "alpha_pattern": {"layers.0.self_attn.k_proj": 5},
        "use_rslora": True,
    },
    "some layers": {"target_modules": ["q_proj"], "layers_to_transform": [1]},
    "biases": {"target_modules": ["q_proj"], "bias": "all"},
    "biases of the adapted": {"target_modules": ["q_proj"], "bias": "lora_only"},
    "bias of the adapter": {"target_modules": ["q_proj"], "lora_bias": True},
    "embedding": {"target_modules": ["q_proj", "embed_tokens"]},
    "head": {"target_modules": ["lm_head"]},
    "both ends, apart": {"target_modules": ["q_proj"], "modules_to_save": ["lm_head", "embed_tokens"]},
    "both ends, tied": {
        "target_modules": ["q_proj"], "modules_to_save": ["lm_head"], "ensure_weight_tying": True,
    },
    "tokens": {"target_modules": ["q_proj"], "trainable_token_indices": [1, 2, 5]},
}  # fmt: skip


def _lora(**options: Any) -> LoraConfig:
    return LoraConfig(**{"r": 4, "task_type": "CAUSAL_LM", **options})


def _added(model: PreTrainedModel, lora: LoraConfig) -> AdapterFile:
    return adapter_file(with_lora(skeleton_of(model), lora), skeleton_of(model))


def _in_memory(model: PeftModel) -> AdapterFile:
    require_separate_storage(model)
    skeleton = skeleton_of(model)
    return adapter_file(skeleton, without_adapter(skeleton))


@pytest.mark.parametrize("model", [tiny_llama, tiny_qwen2])
@pytest.mark.parametrize("name", CONFIGS)
def test_names_are_peft_s_and_hold_what_is_trained(model: Callable[..., PreTrainedModel], name: str) -> None:
    adapted = get_peft_model(model(), _lora(**CONFIGS[name]))
    file = _in_memory(adapted)
    assert file == _added(model(), _lora(**CONFIGS[name]))
    saved = get_peft_model_state_dict(adapted, save_embedding_layers=False)
    assert file.trained.keys() == saved.keys() and not file.frozen
    trained = {n: p for n, p in adapted.named_parameters() if p.requires_grad}
    assert set(file.trained.values()) == set(trained)
    for of_file, own in file.trained.items():
        assert saved[of_file].data_ptr() == trained[own].data_ptr()


def test_a_tied_module_is_there_twice() -> None:
    file = _added(tiny_llama(), _lora(**CONFIGS["both ends, tied"]))
    own = f"{EMBEDDING}.modules_to_save.default.weight"
    assert file.trained[f"{EMBEDDING}.weight"] == file.trained[f"{HEAD}.weight"] == own


def test_lora_on_both_tied_layers_is_refused() -> None:
    # PEFT writes into the config that it is passed.
    options = {"target_modules": ["embed_tokens", "lm_head"], "ensure_weight_tying": True}
    message = r"lora_embedding_B.default and .*lm_head.lora_A.default.weight are two parameters in the same"
    with pytest.raises(ModelError, match=message):
        _added(tiny_llama(), _lora(**options))
    with pytest.raises(ModelError, match=message):
        _in_memory(get_peft_model(tiny_llama(), _lora(**options)))
    untied = tiny_llama(tie_word_embeddings=False)
    assert len(_added(untied, _lora(**options)).trained) == 4


def test_what_is_trained_beside_the_adapter_and_what_of_it_is_frozen_is_saved() -> None:
    model = get_peft_model(tiny_llama(), _lora(target_modules=["q_proj"]))
    names = dict(model.named_parameters())
    norm = f"{PREFIX}model.norm.weight"
    names[norm].requires_grad_(True)
    frozen = f"{PREFIX}model.layers.0.self_attn.q_proj.lora_A"
    names[f"{frozen}.default.weight"].requires_grad_(False)
    file = _in_memory(model)
    assert file.trained[norm] == norm
    assert file.frozen == {f"{frozen}.weight": f"{frozen}.default.weight"}


def test_a_second_adapter_is_left_out() -> None:
    model = get_peft_model(tiny_llama(), _lora(target_modules=["q_proj"]))
    model.add_adapter("second", _lora(target_modules=["k_proj"], modules_to_save=["norm"]))
    file = _in_memory(model)
    assert len(file.trained) == 4 and all("q_proj" in name for name in file.trained)


def _scaled(model: PeftModel) -> None:
    model.base_model.model.model.layers[1].self_attn.q_proj.set_scale("default", 7)


def _tied(model: PeftModel) -> None:
    one, other = (model.base_model.model.model.layers[index].self_attn.q_proj for index in (0, 1))
    other.lora_A["default"].weight = one.lora_A["default"].weight


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_scaled, r"layers.1.self_attn.q_proj scales its LoRA by .*, PEFT would by 2.0 when it loads"),
        (_tied, r"q_proj.lora_A.default.weight are one tensor here but two in the model that PEFT makes"),
    ],
)
def test_a_model_that_its_config_does_not_make(change: Callable[[PeftModel], None], message: str) -> None:
    model = get_peft_model(tiny_llama(), _lora(target_modules=["q_proj"]))
    change(model)
    with pytest.raises(ModelError, match=message):
        _in_memory(model)


def test_layer_replication_is_refused() -> None:
    lora = _lora(target_modules=["q_proj"], layer_replication=[(0, 2), (1, 2)])
    with pytest.raises(ModelError, match="has layer_replication"):
        _added(tiny_llama(), lora)


@pytest.mark.parametrize("tied", [True, False])
def test_the_rows_of_a_resized_embedding_are_saved(tied: bool, tmp_path: Path) -> None:
    tiny_llama(tie_word_embeddings=tied).save_pretrained(tmp_path)
    model = type(tiny_llama()).from_pretrained(tmp_path)
    assert not _added(model, _lora(target_modules=["q_proj"])).frozen
    model.resize_token_embeddings(100)
    own = f"{EMBEDDING}.weight"
    expected = {own: own, f"{HEAD}.weight": own if tied else f"{HEAD}.weight"}
    assert _added(model, _lora(target_modules=["q_proj"])).frozen == expected
    # With LoRA or tokens around it, the base layer's; trained as a whole, it is there anyway.
    lora = _added(model, _lora(target_modules=["q_proj", "embed_tokens"])).frozen
    assert f"{EMBEDDING}.base_layer.weight" in lora
    whole = _added(model, _lora(target_modules=["q_proj"], modules_to_save=["embed_tokens", "lm_head"]))
    assert not whole.frozen and f"{EMBEDDING}.weight" in whole.trained


def test_the_base_without_adapter_is_the_base() -> None:
    base = tiny_llama()
    adapted = get_peft_model(tiny_llama(), _lora(target_modules=["q_proj"], modules_to_save=["lm_head"]))
    bare = without_adapter(skeleton_of(adapted))
    assert [n for n, _ in bare.named_parameters()] == [n for n, _ in base.named_parameters()]
    assert bare.lm_head.weight is bare.model.embed_tokens.weight
    assert all(torch.is_tensor(p) and p.is_meta for p in bare.parameters())
