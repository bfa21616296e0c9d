"""The adapter that comes home, loaded by PEFT into the unchanged base, computes the artifact's own loss."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from torch import Tensor
from transformers import PreTrainedModel

import lowpeak
from lowpeak_artifact.artifact import Artifact
from lowpeak_artifact.layout import ADAPTER_FROZEN
from lowpeak_export.adapter import save_peft_adapter, tensors_of_file
from lowpeak_runtime.simulate.execute import execute
from tests.tiny import tiny_llama, tiny_qwen2

TOKENS = 8
RESIZED = 100


def small_llama() -> PreTrainedModel:
    return tiny_llama(num_hidden_layers=1)


def small_qwen2() -> PreTrainedModel:
    return tiny_qwen2(num_hidden_layers=1)


def _lora(**options: Any) -> LoraConfig:
    return LoraConfig(**{"r": 2, "task_type": "CAUSAL_LM", "target_modules": ["q_proj"], **options})


def _compiled(model: Any, out: Path, lora: LoraConfig | None = None) -> Artifact:
    return lowpeak.compile_for_device(
        model, 100, seq_len=TOKENS, lora=lora, quantization="none", target="simulator", out=out / "artifact"
    )


def _trained(artifact: Artifact) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(3)
    first = artifact.adapter()
    return {name: v + 0.1 * torch.randn(v.shape, generator=generator) for name, v in first.items()}


def _batch(vocabulary: int) -> dict[str, Tensor]:
    """The last tokens of the vocabulary are in it."""
    ids = torch.arange(vocabulary - TOKENS, vocabulary).view(1, TOKENS)
    return {"input_ids": ids, "labels": ids.clone()}


def _same_loss(artifact: Artifact, base: PreTrainedModel, folder: Path, merged: bool = True) -> None:
    """Of the artifact with an adapter, and of PEFT's model on `base` with what is saved of it."""
    batch, trained = _batch(base.config.vocab_size), _trained(artifact)
    bucket = artifact.manifest.largest
    inputs = bucket.batch.graph_inputs(batch, None)
    ours = execute(artifact.graph(), inputs, trained, artifact.tensor, artifact.constants()).loss
    config = artifact.manifest.adapter_config
    assert config is not None
    save_peft_adapter(folder / "adapter", tensors_of_file(artifact, trained), config)
    loaded = PeftModel.from_pretrained(base, folder / "adapter").eval()
    with torch.no_grad():
        assert loaded(**batch).loss.item() == pytest.approx(ours, rel=1e-5)
        if merged:
            assert loaded.merge_and_unload()(**batch).loss.item() == pytest.approx(ours, rel=1e-5)


CASES: list[tuple[Callable[[], PreTrainedModel], dict[str, Any]]] = [
    (small_llama, {"modules_to_save": ["lm_head"], "ensure_weight_tying": True}),
    (small_llama, {"modules_to_save": ["lm_head", "embed_tokens"]}),
    (small_llama, {"target_modules": ["embed_tokens", "q_proj"]}),
    (small_llama, {"rank_pattern": {"q_proj": 3}, "alpha_pattern": {"q_proj": 5}, "use_rslora": True}),
    (small_llama, {"trainable_token_indices": {"embed_tokens": [90, 91]}}),
    (small_qwen2, {"trainable_token_indices": [91]}),
    (small_qwen2, {"bias": "all"}),
    (small_qwen2, {"bias": "lora_only", "lora_bias": True}),
]


@pytest.mark.parametrize(
    ("base", "options"), CASES, ids=lambda value: str(value) if isinstance(value, dict) else ""
)
def test_peft_loads_what_was_trained(
    base: Callable[[], PreTrainedModel], options: dict[str, Any], tmp_path: Path
) -> None:
    artifact = _compiled(base(), tmp_path, _lora(**options))
    # PEFT merges an embedding's LoRA into the head as well, where they are one.
    merged = "embed_tokens" not in options.get("target_modules", ())
    _same_loss(artifact, base(), tmp_path, merged)


def test_a_peft_model_with_tied_trained_ends(tmp_path: Path) -> None:
    model = get_peft_model(small_llama(), _lora(modules_to_save=["lm_head"], ensure_weight_tying=True))
    _same_loss(_compiled(model, tmp_path), small_llama(), tmp_path)


@pytest.mark.parametrize("options", [{}, {"target_modules": ["q_proj", "embed_tokens"]}], ids=str)
def test_the_rows_of_a_resized_embedding_come_home(options: dict[str, Any], tmp_path: Path) -> None:
    small_llama().save_pretrained(tmp_path / "base")

    def resized(seed: int) -> PreTrainedModel:
        model = type(small_llama()).from_pretrained(tmp_path / "base")
        torch.manual_seed(seed)
        model.resize_token_embeddings(RESIZED)
        return model

    model = get_peft_model(resized(1), _lora(**options))
    artifact = _compiled(model, tmp_path)
    assert ADAPTER_FROZEN in artifact.manifest.files
    _same_loss(artifact, resized(2), tmp_path, merged=not options)
