"""llama.cpp computes PEFT's logits with the file, beside a base that its own converter made."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from gguf import GGUFReader, GGUFWriter
from peft import PeftModel
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedModel

from lowpeak import export_gguf
from lowpeak.demo_model import fetch_demo_model
from lowpeak_compiler.frontend.model.source import open_model
from lowpeak_export.gguf.architectures import ARCHITECTURES
from tests.export.gguf.adapters import adapted
from tests.export.gguf.llama_cpp import convert, logits
from tests.lowpeak.checkpoint import save_checkpoint
from tests.model.tiny import SHAPE

pytestmark = pytest.mark.slow

RELATIVE = 1e-3
IDS = [5, 17, 3, 90, 42, 8, 8, 61, 33, 20, 71, 2]
CHANGES: dict[str, dict[str, Any]] = {
    "gemma": {"head_dim": 16},
    "gemma3_text": {
        "head_dim": 16,
        "query_pre_attn_scalar": 16,
        "sliding_window": 64,
        "num_hidden_layers": 6,
    },
    "phi3": {"sliding_window": None},
    "qwen3": {"head_dim": 32},
    "granite": {"attention_multiplier": 0.2, "embedding_multiplier": 2.0, "logits_scaling": 2.0},
}
SPECIAL_TOKENS = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}


def random_model(kind: str) -> PreTrainedModel:
    torch.manual_seed(0)
    config = AutoConfig.for_model(kind, **{**SHAPE, **SPECIAL_TOKENS, **CHANGES.get(kind, {})})
    model = AutoModelForCausalLM.from_config(config, dtype=torch.float32, attn_implementation="eager").eval()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.08)
    return model


def distances(model: PeftModel, base: Path, adapter: Path, ids: list[int] = IDS) -> tuple[float, float]:
    """Between llama.cpp's logits and PEFT's, and what the adapter changes, relative to PEFT's logits."""
    with torch.no_grad():
        wanted = model(torch.tensor([ids])).logits[0].numpy()
        with model.disable_adapter():
            without = model(torch.tensor([ids])).logits[0].numpy()
    scale = np.abs(wanted).max()
    found = logits(base, ids, adapter)
    return float(np.abs(found - wanted).max() / scale), float(np.abs(without - wanted).max() / scale)


@pytest.mark.parametrize("kind", ARCHITECTURES)
def test_the_logits_of_each_architecture(kind: str, tmp_path: Path) -> None:
    model = random_model(kind)
    save_checkpoint(tmp_path / "base")
    for weights in (tmp_path / "base").glob("*.safetensors"):
        weights.unlink()
    model.save_pretrained(tmp_path / "base")
    peft = adapted(model, tmp_path / "adapter")
    report = export_gguf(tmp_path / "adapter", base=tmp_path / "base", out=tmp_path / "adapter.gguf")
    distance, change = distances(peft, convert(tmp_path / "base", tmp_path / "base.gguf"), report.file)
    print(f"{kind}: {distance:.1e} apart, the adapter changes {change:.1e}")
    assert distance <= RELATIVE < 0.05 < change


@pytest.mark.parametrize(
    "options",
    [
        {"use_rslora": True},
        {"rank_pattern": {"q_proj": 2}, "alpha_pattern": {"layers.1.mlp.up_proj": 3}},
        {"use_rslora": True, "rank_pattern": {"o_proj": 7}},
        {"target_modules": ["lm_head", "q_proj"]},
    ],
    ids=str,
)
def test_the_logits_with_scales_of_their_own(options: dict[str, Any], tmp_path: Path) -> None:
    model = random_model("llama")
    model.save_pretrained(tmp_path / "base")
    peft = adapted(model, tmp_path / "adapter", **options)
    report = export_gguf(tmp_path / "adapter", base=tmp_path / "base")
    distance, change = distances(peft, convert(tmp_path / "base", tmp_path / "base.gguf"), report.file)
    assert distance <= RELATIVE < 0.02 < change


def test_smollm2(tmp_path: Path) -> None:
    """The demo's model: its GGUF file, dequantized to float32 for both."""
    base = dequantized(fetch_demo_model(), tmp_path / "base.gguf")
    source = open_model(base)
    model = AutoModelForCausalLM.from_config(source.config, dtype=torch.float32).eval()
    model.load_state_dict({name: source.weights.dense(name) for name in model.state_dict()})
    peft = adapted(model, tmp_path / "adapter", r=16, lora_alpha=32)
    report = export_gguf(tmp_path / "adapter", base=base)
    ids = torch.randint(0, 49152, (64,), generator=torch.Generator().manual_seed(1)).tolist()
    distance, change = distances(peft, base, report.file, ids)
    print(f"SmolLM2-135M: {distance:.1e} apart, the adapter changes {change:.1e}")
    assert distance <= RELATIVE < 0.05 < change


def dequantized(quantized: Path, out: Path) -> Path:
    """The same model with every tensor in float32."""
    from gguf import GGUFValueType, dequantize

    reader = GGUFReader(quantized)
    writer = GGUFWriter(out, reader.fields["general.architecture"].contents())
    for field in reader.fields.values():
        if field.name.startswith("GGUF.") or field.name in ("general.architecture", "general.file_type"):
            continue
        kind = field.types[0]
        inner = field.types[-1] if kind == GGUFValueType.ARRAY else None
        writer.add_key_value(field.name, field.contents(), kind, inner)
    for tensor in reader.tensors:
        writer.add_tensor(tensor.name, dequantize(tensor.data, tensor.tensor_type).astype(np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return out
