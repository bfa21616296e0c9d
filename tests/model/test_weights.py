"""Weight sources other than GGUF: values, laziness of errors, and what they say."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from lowpeak_artifact.errors import ModelError
from lowpeak_compiler.frontend.model.weights import ModuleWeights, RandomWeights, SafetensorsWeights
from tests.model.tiny import tiny_model


def test_module_weights_have_ties_and_buffers() -> None:
    model = tiny_model(tie_word_embeddings=True).to(torch.bfloat16)
    weights = ModuleWeights(model)
    assert {"lm_head.weight", "model.rotary_emb.inv_freq"} <= set(weights.names())
    assert torch.equal(weights.dense("lm_head.weight"), weights.dense("model.embed_tokens.weight"))
    assert weights.dense("lm_head.weight").dtype == torch.float32
    assert weights.shape("lm_head.weight") == (96, 64)
    assert weights.format_of("lm_head.weight") is None
    with pytest.raises(ValueError, match="not stored quantized"):
        weights.quantized("lm_head.weight")


def test_module_on_meta_has_no_values() -> None:
    with pytest.raises(ModelError, match="weight has no values: the model is on the meta device"):
        ModuleWeights(torch.nn.Linear(2, 2, device="meta")).dense("weight")


@pytest.mark.parametrize("shard_size", ["1GB", "40KB"])
def test_safetensors_equal_the_model(tmp_path: Path, shard_size: str) -> None:
    model = tiny_model(tie_word_embeddings=False).to(torch.bfloat16)
    model.save_pretrained(tmp_path, max_shard_size=shard_size)
    assert (tmp_path / "model.safetensors.index.json").exists() == (shard_size == "40KB")
    weights = SafetensorsWeights(tmp_path)
    state = model.state_dict()
    assert set(weights.names()) == set(state)
    for name, tensor in state.items():
        assert weights.shape(name) == tuple(tensor.shape)
        assert torch.equal(weights.dense(name), tensor.float())
        assert weights.dense(name).dtype == torch.float32


def test_missing_shard_is_named(tmp_path: Path) -> None:
    tiny_model().save_pretrained(tmp_path, max_shard_size="40KB")
    shard = sorted(tmp_path.glob("model-*.safetensors"))[1]
    shard.unlink()
    with pytest.raises(ModelError, match=rf"lacks 1 of \d+ shards \({shard.name}\)"):
        SafetensorsWeights(tmp_path)


def test_damaged_files_are_refused(tmp_path: Path) -> None:
    tiny_model().save_pretrained(tmp_path)
    file = tmp_path / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(ModelError, match=r"model.safetensors cannot be read .* cut short"):
        SafetensorsWeights(tmp_path)
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps({"weights": {}}))
    with pytest.raises(ModelError, match="not a safetensors index"):
        SafetensorsWeights(tmp_path)


def test_pickled_checkpoint_says_how_to_convert(tmp_path: Path) -> None:
    (tmp_path / "pytorch_model.bin").touch()
    with pytest.raises(ModelError, match=r"pytorch_model.bin only.*save_pretrained\('converted'\)"):
        SafetensorsWeights(tmp_path)
    (tmp_path / "pytorch_model.bin").unlink()
    with pytest.raises(ModelError, match=r"no model.safetensors"):
        SafetensorsWeights(tmp_path)


def test_non_finite_values_are_counted(tmp_path: Path) -> None:
    weight = torch.zeros(3, 4)
    weight[0, 0], weight[1, 1], weight[2, 2] = torch.nan, torch.inf, -torch.inf
    save_file({"w": weight, "empty": torch.zeros(0, 4)}, tmp_path / "model.safetensors")
    weights = SafetensorsWeights(tmp_path)
    with pytest.raises(ModelError, match="w has 1 NaN and 2 Inf values of 12") as error:
        weights.dense("w")
    assert error.value.numbers == {"nan": 1, "inf": 2, "elements": 12}
    assert weights.dense("empty").shape == (0, 4)


def test_integer_weights_are_refused(tmp_path: Path) -> None:
    save_file({"w": torch.zeros(2, dtype=torch.int32)}, tmp_path / "model.safetensors")
    with pytest.raises(ModelError, match=r"w is stored as torch.int32"):
        SafetensorsWeights(tmp_path).dense("w")


def test_unknown_name_lists_the_nearest() -> None:
    weights = ModuleWeights(tiny_model())
    with pytest.raises(ModelError, match=r"no tensor model.layers.0.mlp.up.weight .*0.mlp.up_proj.weight"):
        weights.dense("model.layers.0.mlp.up.weight")


def test_random_weights_depend_on_seed_and_name_alone() -> None:
    shapes = {"a.weight": (64, 64), "b.weight": (64, 64), "a.bias": (64,), "input_layernorm.weight": (64,)}
    first, second = (RandomWeights(shapes, seed=3, std=0.05) for _ in range(2))
    first.dense("b.weight")
    assert torch.equal(first.dense("a.weight"), second.dense("a.weight"))
    assert not torch.equal(first.dense("a.weight"), first.dense("b.weight"))
    other = RandomWeights(shapes, seed=4, std=0.05)
    assert not torch.equal(other.dense("a.weight"), first.dense("a.weight"))
    assert first.dense("a.weight").std().item() == pytest.approx(0.05, rel=0.05)
    assert torch.equal(first.dense("a.bias"), torch.zeros(64))
    assert torch.equal(first.dense("input_layernorm.weight"), torch.ones(64))
    with pytest.raises(ModelError, match=r"no tensor c.weight"):
        first.dense("c.weight")
