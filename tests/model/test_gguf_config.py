"""Configs from GGUF metadata, against transformers' own reading where it is complete."""

from __future__ import annotations

from pathlib import Path

import gguf
import pytest
import torch
from transformers import AutoConfig

from lowpeak_artifact.errors import ModelError
from lowpeak_compiler.frontend.model.gguf import GgufWeights
from lowpeak_compiler.frontend.model.gguf_config import architecture, read_config
from lowpeak_compiler.frontend.model.gguf_file import GgufFile
from tests.model.test_complete import LLAMA3_ROPE
from tests.model.tiny import tiny_config, tiny_model, write_gguf


@pytest.mark.parametrize("kind", ["llama", "qwen2"])
@pytest.mark.parametrize("tied", [False, True])
def test_equals_transformers(tmp_path: Path, kind: str, tied: bool) -> None:
    write_gguf(tmp_path / "m.gguf", tiny_model(kind, tie_word_embeddings=tied), {})
    ours = GgufWeights(GgufFile(tmp_path / "m.gguf")).config.to_dict()
    theirs = AutoConfig.from_pretrained(tmp_path, gguf_file="m.gguf").to_dict()
    theirs.pop("_model_name_or_path", None)
    assert ours == theirs | {"_name_or_path": ""}
    assert ours["tie_word_embeddings"] == tied


def _llama3_factors() -> torch.Tensor:
    from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

    scaled, _ = ROPE_INIT_FUNCTIONS["llama3"](tiny_config(rope_parameters=LLAMA3_ROPE), "cpu")
    return 500000.0 ** (-torch.arange(8) / 8) / scaled


def test_llama3_rope_scaling_is_found_in_its_factors(tmp_path: Path) -> None:
    model = tiny_model(rope_parameters=LLAMA3_ROPE)
    write_gguf(tmp_path / "m.gguf", model, {}, _llama3_factors())
    weights = GgufWeights(GgufFile(tmp_path / "m.gguf"))
    assert weights.config.rope_parameters == LLAMA3_ROPE
    assert "rope_freqs.weight" not in weights.names()


def test_other_rope_factors_are_refused(tmp_path: Path) -> None:
    model = tiny_model(rope_parameters=LLAMA3_ROPE)
    write_gguf(tmp_path / "m.gguf", model, {}, torch.linspace(1, 4, 8))
    with pytest.raises(ModelError, match="not Llama 3's"):
        GgufWeights(GgufFile(tmp_path / "m.gguf"))


def test_missing_fields_other_scalings_and_architectures_are_refused(tmp_path: Path) -> None:
    write_gguf(tmp_path / "m.gguf", tiny_model(), {})
    file = GgufFile(tmp_path / "m.gguf")
    file.metadata["llama.rope.scaling.type"] = "yarn"
    with pytest.raises(ModelError, match="rope scaling of type yarn"):
        read_config(file, None)
    del file.metadata["llama.rope.scaling.type"]
    file.metadata["llama.block_count"] = 3
    with pytest.raises(ModelError, match="should have 3 layers"):
        read_config(file, None)
    file.metadata["llama.block_count"] = 0
    with pytest.raises(ModelError, match=r"has llama.block_count = 0: it must be a positive"):
        read_config(file, None)
    del file.metadata["llama.block_count"]
    with pytest.raises(ModelError, match=r"no field llama.block_count"):
        read_config(file, None)
    del file.tensors["token_embd.weight"]
    with pytest.raises(ModelError, match=r"no token_embd.weight"):
        read_config(file, None)
    file.metadata["general.architecture"] = "mamba"
    with pytest.raises(ModelError, match="holds a mamba model; of GGUF files only llama and qwen2 are read"):
        architecture(file)


def test_fields_without_a_value_have_gguf_defaults(tmp_path: Path) -> None:
    write_gguf(tmp_path / "m.gguf", tiny_model(num_key_value_heads=4), {})
    file = GgufFile(tmp_path / "m.gguf")
    for key in ("attention.head_count_kv", "rope.freq_base", "vocab_size"):
        del file.metadata[f"llama.{key}"]
    config = read_config(file, None)
    assert (config.num_key_value_heads, config.vocab_size, config.head_dim) == (4, 96, 16)
    assert config.rope_parameters["rope_theta"] == 10000.0
    assert gguf.GGUFReader(tmp_path / "m.gguf").get_field("llama.vocab_size") is not None
