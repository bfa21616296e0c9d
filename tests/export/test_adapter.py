"""PEFT files: what is saved is what PEFT loads, and an earlier adapter is never lost."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model, get_peft_model_state_dict
from safetensors.torch import load_file
from transformers import LlamaConfig, LlamaForCausalLM

from lowpeak_artifact.errors import ArtifactError, EnvironmentProblem
from lowpeak_export import bundle
from lowpeak_export.adapter import CONFIG_FILE, TENSORS_FILE, save_peft_adapter

IDS = torch.arange(12).view(1, 12) % 40

LORA: list[dict[str, Any]] = [
    {"target_modules": ["q_proj", "v_proj", "down_proj"]},
    {"target_modules": "all-linear", "use_rslora": True, "rank_pattern": {"q_proj": 3}},
    {"target_modules": ["q_proj"], "use_dora": True},
    {"target_modules": ["q_proj", "embed_tokens"]},
    {"target_modules": ["q_proj"], "modules_to_save": ["lm_head", "norm"]},
]


def base_model() -> LlamaForCausalLM:
    torch.manual_seed(0)
    config = LlamaConfig(
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        vocab_size=40,
        tie_word_embeddings=False,
    )
    model = LlamaForCausalLM(config)
    model.train(False)
    return model


def trained(**lora: Any) -> tuple[torch.nn.Module, dict[str, torch.Tensor], dict[str, Any]]:
    """A model with a random adapter, its tensors by PEFT's names for them, and its config."""
    config = LoraConfig(task_type="CAUSAL_LM", r=2, **lora)
    model = get_peft_model(base_model(), config).eval()
    with torch.no_grad():
        for tensor in model.parameters():
            if tensor.requires_grad:
                tensor += 0.1 * torch.randn_like(tensor)
    tensors = get_peft_model_state_dict(model, save_embedding_layers=False)
    return model, tensors, model.peft_config["default"].to_dict()


def loss(model: torch.nn.Module) -> float:
    with torch.no_grad():
        return float(model(input_ids=IDS, labels=IDS).loss)


@pytest.mark.parametrize("lora", LORA, ids=str)
def test_peft_loads_what_is_saved(lora: dict[str, Any], tmp_path: Path) -> None:
    model, tensors, config = trained(**lora)
    save_peft_adapter(tmp_path / "adapter", tensors, config)
    loaded = PeftModel.from_pretrained(base_model(), tmp_path / "adapter").eval()
    assert loss(loaded) == loss(model) != loss(base_model())


def saved(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / TENSORS_FILE)


def test_a_tied_tensor_is_saved_under_each_of_its_names(tmp_path: Path) -> None:
    _, tensors, config = trained(target_modules=["q_proj"])
    name, tensor = next(iter(tensors.items()))
    save_peft_adapter(tmp_path / "adapter", tensors | {"other": tensor}, config)
    assert torch.equal(saved(tmp_path / "adapter")["other"], saved(tmp_path / "adapter")[name])


def test_views_of_one_buffer_are_saved(tmp_path: Path) -> None:
    _, tensors, config = trained(target_modules=["q_proj"])
    flat = torch.cat([tensor.detach().flatten() for tensor in tensors.values()])
    pieces = torch.split(flat, [tensor.numel() for tensor in tensors.values()])
    views = {
        name: piece.view(tensor.shape) for (name, tensor), piece in zip(tensors.items(), pieces, strict=True)
    }
    save_peft_adapter(tmp_path / "adapter", views, config)
    loaded = saved(tmp_path / "adapter")
    assert all(torch.equal(loaded[name], tensors[name]) for name in tensors)


def test_earlier_adapter_is_replaced_and_nothing_is_left_beside_it(tmp_path: Path) -> None:
    _, tensors, config = trained(target_modules=["q_proj"])
    save_peft_adapter(tmp_path / "adapter", tensors, config)
    doubled = {name: tensor * 2 for name, tensor in tensors.items()}
    save_peft_adapter(tmp_path / "adapter", doubled, config)
    loaded = saved(tmp_path / "adapter")
    assert all(torch.equal(loaded[name], doubled[name]) for name in doubled)
    assert os.listdir(tmp_path) == ["adapter"]
    assert sorted(os.listdir(tmp_path / "adapter")) == [CONFIG_FILE, TENSORS_FILE]


@pytest.mark.parametrize("failing_rename", [1, 2])
def test_earlier_adapter_survives_a_failed_write(
    failing_rename: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, tensors, config = trained(target_modules=["q_proj"])
    save_peft_adapter(tmp_path / "adapter", tensors, config)
    renames = 0
    rename = Path.rename

    def fail_once(self: Path, target: Path) -> Path:
        nonlocal renames
        renames += 1
        if renames == failing_rename:
            raise OSError(28, "No space left on device")
        return rename(self, target)

    # As where the system cannot exchange two folders at once.
    monkeypatch.setattr(bundle, "exchange", lambda one, other: False)
    monkeypatch.setattr(Path, "rename", fail_once)
    with pytest.raises(EnvironmentProblem, match="No space left"):
        save_peft_adapter(
            tmp_path / "adapter", {name: tensor * 2 for name, tensor in tensors.items()}, config
        )
    loaded = saved(tmp_path / "adapter")
    assert all(torch.equal(loaded[name], tensors[name]) for name in tensors)
    assert os.listdir(tmp_path) == ["adapter"]


def test_what_a_dead_process_left_is_removed(tmp_path: Path) -> None:
    _, tensors, config = trained(target_modules=["q_proj"])
    (tmp_path / ".adapter.dead.writing").mkdir()
    save_peft_adapter(tmp_path / "adapter", tensors, config)
    assert os.listdir(tmp_path) == ["adapter"]


def test_folders_with_anything_else_are_refused(tmp_path: Path) -> None:
    _, tensors, config = trained(target_modules=["q_proj"])
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(ArtifactError, match=r"thesis\.tex"):
        save_peft_adapter(tmp_path, tensors, config)
    with pytest.raises(ArtifactError, match="not a folder of its own"):
        save_peft_adapter(tmp_path / "thesis.tex", tensors, config)


def test_nothing_to_save_is_refused(tmp_path: Path) -> None:
    _, tensors, config = trained(target_modules=["q_proj"])
    with pytest.raises(ArtifactError, match="no adapter tensor"):
        save_peft_adapter(tmp_path / "adapter", {}, config)
    with pytest.raises(ArtifactError, match="not LORA"):
        save_peft_adapter(tmp_path / "adapter", tensors, {"r": 2})
    assert not (tmp_path / "adapter").exists()
