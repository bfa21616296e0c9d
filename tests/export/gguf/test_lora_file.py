"""The file's tensors, brought back, are PEFT's; added to the base's weights they make PEFT's merged ones.

What llama.cpp computes with such files is in test_llama_cpp.py.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model, get_peft_model_state_dict
from safetensors.torch import load_file, save_file

from lowpeak import export_gguf
from lowpeak_artifact.errors import ArtifactError, LowpeakError, ModelError
from lowpeak_compiler.frontend.model.gguf_file import GgufFile
from lowpeak_export.gguf.architectures import Base
from tests.export.gguf.adapters import adapted
from tests.model.tiny import gguf_name, interleave, tiny_model, write_gguf

Arrays = dict[str, np.ndarray]


def stored(path: Path) -> Arrays:
    file = GgufFile(path)
    assert all(tensor.type == gguf.GGMLQuantizationType.F32 for tensor in file.tensors.values())
    return {name: file.blocks(name).view(np.float32) for name in file.tensors}


def exported(kind: str, folder: Path, **options: Any) -> tuple[PeftModel, Arrays, float]:
    """The model with adapter, the file's tensors, and its alpha. The base is folder/base.gguf."""
    model = tiny_model(kind)
    write_gguf(folder / "base.gguf", model, {})
    peft = adapted(model, folder / "adapter", **options)
    report = export_gguf(folder / "adapter", base=folder / "base.gguf")
    metadata = GgufFile(report.file).metadata
    assert report.file == folder / "adapter" / "adapter.gguf"
    assert (metadata["general.type"], metadata["adapter.type"]) == ("adapter", "lora")
    assert metadata["general.architecture"] == report.architecture == kind
    assert metadata["adapter.lora.alpha"] == np.float32(report.alpha)
    assert report.file_bytes == report.file.stat().st_size
    return peft, stored(report.file), report.alpha


@pytest.mark.parametrize("kind", ["llama", "qwen2"])
def test_the_tensors_are_pefts(kind: str, tmp_path: Path) -> None:
    peft, tensors, alpha = exported(kind, tmp_path)
    heads = {"q_proj": 4, "k_proj": 2} if kind == "llama" else {}
    wanted = {}
    for name, tensor in get_peft_model_state_dict(peft).items():
        module, side = name.removeprefix("base_model.model.").removesuffix(".weight").rsplit(".lora_", 1)
        count = heads.get(module.rpartition(".")[2]) if side == "B" else None
        rows = tensor if count is None else interleave(tensor, count)
        wanted[f"{gguf_name(module + '.weight')}.lora_{side.lower()}"] = rows.numpy()
    assert tensors.keys() == wanted.keys() and len(wanted) == 2 * 2 * 7
    assert all(np.array_equal(tensors[name], values) for name, values in wanted.items())
    assert alpha == 12


@pytest.mark.parametrize("kind", ["llama", "qwen2"])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"use_rslora": True},
        {"lora_alpha": 0},
        {"rank_pattern": {"q_proj": 2, "k_proj": 3}, "alpha_pattern": {"layers.1.mlp.up_proj": 5}},
        {"rank_pattern": {"o_proj": 7}, "alpha_pattern": {"v_proj": 0}, "use_rslora": True},
        {"target_modules": ["lm_head", "q_proj"]},
        {"target_modules": ["k_proj"], "layers_to_transform": [1]},
    ],
    ids=str,
)
def test_the_base_with_the_file_is_pefts_merged_model(
    kind: str, options: dict[str, Any], tmp_path: Path
) -> None:
    peft, tensors, alpha = exported(kind, tmp_path, **options)
    merged = stored(tmp_path / "base.gguf")
    for name in {name.rpartition(".lora_")[0] for name in tensors}:
        a, b = tensors[f"{name}.lora_a"], tensors[f"{name}.lora_b"]
        # As llama.cpp scales: see get_scale in llama-adapter.h.
        merged[name] = merged[name] + (alpha / b.shape[1]) * (b @ a)
    write_gguf(tmp_path / "merged.gguf", peft.merge_and_unload(), {})
    for name, values in stored(tmp_path / "merged.gguf").items():
        np.testing.assert_allclose(merged[name], values, rtol=0, atol=1e-6)


def test_what_a_gguf_lora_cannot_hold_is_refused(tmp_path: Path) -> None:
    cases: list[tuple[dict[str, Any], str]] = [
        ({"use_dora": True}, "the adapter is DoRA and cannot be written as a GGUF LoRA: merge"),
        ({"modules_to_save": ["lm_head"]}, "lm_head.weight is a whole trained layer .modules_to_save."),
        ({"bias": "lora_only", "lora_bias": True}, r"bias is a trained bias, which a GGUF LoRA has no place"),
        ({"target_modules": ["embed_tokens"]}, "is of the token embedding, which a GGUF LoRA has no place"),
        ({"trainable_token_indices": [3]}, "is of the token embedding"),
        ({"init_lora_weights": "pissa"}, "begun by pissa, which changes the base's weights"),
    ]
    for number, (options, says) in enumerate(cases):
        folder = tmp_path / str(number)
        adapted(tiny_model(), folder, **options)
        with pytest.raises(ModelError, match=says):
            export_gguf(folder, base="config:smollm2-135m")
        assert not (folder / "adapter.gguf").exists()


def test_a_base_that_is_not_the_adapters(tmp_path: Path) -> None:
    adapted(tiny_model(), tmp_path / "adapter")
    adapted(tiny_model(tie_word_embeddings=True), tmp_path / "tied", target_modules=["lm_head"])
    tiny_model(num_hidden_layers=1).save_pretrained(tmp_path / "shallow")
    tiny_model(tie_word_embeddings=True).save_pretrained(tmp_path / "base")
    tiny_model("gemma").save_pretrained(tmp_path / "gemma")
    with pytest.raises(ModelError, match=r"no tensor for model.layers.1.\S+ of a llama model of 1"):
        export_gguf(tmp_path / "adapter", base=tmp_path / "shallow")
    with pytest.raises(ModelError, match="a LoRA on lm_head, which is the embedding in this model"):
        export_gguf(tmp_path / "tied", base=tmp_path / "base")
    with pytest.raises(ModelError, match="of type bloom cannot be written as a GGUF LoRA here; it can for"):
        Base.of({"model_type": "bloom"})


def test_what_is_no_adapter(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="none is no folder: give the folder of a run"):
        export_gguf(tmp_path / "none")
    with pytest.raises(ArtifactError, match="is a folder without an adapter"):
        export_gguf(tmp_path)
    folder = tmp_path / "adapter"
    adapted(tiny_model(), folder)
    weights = folder / "adapter_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(ArtifactError, match="adapter holds no PEFT adapter that can be read"):
        export_gguf(folder, base="config:smollm2-135m")


def test_a_file_that_is_there(tmp_path: Path) -> None:
    _, first, _ = exported("llama", tmp_path)
    # An adapter is replaced, nothing else is.
    export_gguf(tmp_path / "adapter", base=tmp_path / "base.gguf")
    assert stored(tmp_path / "adapter" / "adapter.gguf").keys() == first.keys()
    (tmp_path / "letter").write_text("dear")
    for other in ("base.gguf", "letter", "adapter"):
        with pytest.raises(ArtifactError, match=f"{other} is there and is no GGUF adapter: give another"):
            export_gguf(tmp_path / "adapter", base=tmp_path / "base.gguf", out=tmp_path / other)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["adapter", "base.gguf", "letter"]


def test_half_precision_is_written_in_full(tmp_path: Path) -> None:
    model = tiny_model()
    peft = get_peft_model(model, LoraConfig(r=2, target_modules=["v_proj"])).to(torch.bfloat16)
    peft.save_pretrained(tmp_path)
    tensors = stored(export_gguf(tmp_path, base="config:smollm2-135m").file)
    wanted = peft.get_parameter("base_model.model.model.layers.0.self_attn.v_proj.lora_A.default.weight")
    np.testing.assert_array_equal(tensors["blk.0.attn_v.weight.lora_a"], wanted.detach().float().numpy())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"lora_alpha": float("nan")}, "adapter_config.json: lora_alpha is nan: it must be finite"),
        ({"lora_alpha": -3}, "lora_alpha of .* is -3 in adapter_config.json: it must be a number"),
        ({"lora_alpha": "16"}, "lora_alpha of .* is '16' in adapter_config.json"),
        ({"lora_alpha": None}, "lora_alpha of .* is None in adapter_config.json"),
        ({"lora_alpha": [[16]]}, "lora_alpha of"),
        ({"alpha_pattern": [1]}, "alpha_pattern|holds no PEFT adapter"),
        ({"r": 10**30}, "adapter_config.json: r is 1000000000000000000000000000000: it may be at most"),
        ({"peft_type": "NO_SUCH"}, "holds no PEFT adapter that can be read"),
        ({"peft_type": None}, "holds no PEFT adapter that can be read|is of type"),
        ({"target_modules": 3}, ""),
    ],
)
def test_an_adapters_config_that_makes_no_sense(
    tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    adapted(tiny_model(), tmp_path)
    file = tmp_path / "adapter_config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))
    try:
        export_gguf(tmp_path, base="config:smollm2-135m")
    except LowpeakError as error:
        assert re.search(message, str(error))
    else:
        assert not message


def test_an_adapters_tensors_that_are_damaged(tmp_path: Path) -> None:
    adapted(tiny_model(), tmp_path)
    file = tmp_path / "adapter_model.safetensors"
    stored_tensors = load_file(file)
    name = next(iter(stored_tensors))
    for wrong, message in (
        (torch.full((4, 64), float("nan")), f"{name} has 256 NaN and 0 Inf values of 256"),
        (torch.zeros(4, 64, dtype=torch.int32), f"{name} is torch.int32"),
        (torch.zeros(0, 64), f"{name} is torch.float32 .0, 64.: it is damaged"),
    ):
        save_file(stored_tensors | {name: wrong}, file)
        with pytest.raises(LowpeakError, match=message):
            export_gguf(tmp_path, base="config:smollm2-135m")
    file.unlink()
    (tmp_path / "elsewhere").mkdir()
    save_file(stored_tensors, tmp_path.parent / "other.safetensors")
    file.symlink_to(tmp_path.parent / "other.safetensors")
    with pytest.raises(ArtifactError, match="is a link out of its folder"):
        export_gguf(tmp_path, base="config:smollm2-135m")


def test_a_base_whose_layers_are_without_end() -> None:
    for layers in (10**12, 10**6, -1, "2", None):
        with pytest.raises(ModelError, match="the base's config"):
            Base.of({"model_type": "llama", "num_hidden_layers": layers})
