"""Every way to name a model opens the same thing: config, whole weights, tokenizer, skeleton."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer, models
from transformers import (
    AutoModelForCausalLM,
    BertConfig,
    BertForMaskedLM,
    BertModel,
    PreTrainedTokenizerFast,
    T5Config,
)

from lowpeak_artifact.errors import LowpeakError, ModelError
from lowpeak_compiler.frontend.model import source
from lowpeak_compiler.frontend.model.source import ModelSource, open_model
from tests.lowpeak.checkpoint import save_checkpoint
from tests.model.tiny import tiny_model, write_gguf


def _logits(opened: ModelSource, tokens: torch.Tensor) -> torch.Tensor:
    """Of the skeleton, filled from the weight source by name, buffers included."""
    model = opened.skeleton()
    assert all(each.is_meta for each in [*model.parameters(), *model.buffers()])
    model = model.to_empty(device="cpu")
    for name in opened.weights.names():
        owner, leaf = name.rsplit(".", 1)
        getattr(model.get_submodule(owner), leaf).data.copy_(opened.weights.dense(name))
    return model(tokens).logits


@pytest.mark.parametrize("kind", ["llama", "qwen2"])
@pytest.mark.parametrize("tied", [False, True])
def test_folder_computes_what_the_saved_model_does(tmp_path: Path, kind: str, tied: bool) -> None:
    model = tiny_model(kind, tie_word_embeddings=tied)
    model.save_pretrained(tmp_path, max_shard_size="40KB")
    opened = open_model(tmp_path)
    assert opened.name == tmp_path.name
    assert opened.config.model_type == kind
    tokens = torch.arange(12).view(1, 12)
    assert torch.equal(_logits(opened, tokens), model(tokens).logits)


@pytest.mark.parametrize("kind", ["llama", "qwen2"])
def test_gguf_computes_what_the_written_model_does(tmp_path: Path, kind: str) -> None:
    model = tiny_model(kind, tie_word_embeddings=True)
    write_gguf(tmp_path / "tiny.gguf", model, {})
    opened = open_model(tmp_path / "tiny.gguf")
    assert opened.name == "tiny"
    tokens = torch.arange(12).view(1, 12)
    assert torch.allclose(_logits(opened, tokens), model(tokens).logits, rtol=0, atol=1e-6)
    with pytest.raises(ModelError, match=r"tiny.gguf has no tokenizer"):
        opened.load_tokenizer()


def test_known_config_has_random_weights_of_the_seed() -> None:
    opened, again, other = (open_model("config:smollm2-135m", seed=seed) for seed in (1, 1, 2))
    name = "model.layers.3.self_attn.q_proj.weight"
    assert torch.equal(opened.weights.dense(name), again.weights.dense(name))
    assert not torch.equal(opened.weights.dense(name), other.weights.dense(name))
    assert opened.weights.dense(name).std().item() == pytest.approx(opened.config.initializer_range, rel=0.01)
    assert {"lm_head.weight", "model.rotary_emb.inv_freq"} <= set(opened.weights.names())
    with pytest.raises(ModelError, match="has no tokenizer"):
        opened.load_tokenizer()


def test_skeleton_is_new_each_time_and_ready_to_capture() -> None:
    opened = open_model("config:llama-3.2-3b")
    first, second = opened.skeleton(), opened.skeleton()
    assert first is not second
    assert not first.training and not first.config.use_cache
    assert first.config._attn_implementation == "sdpa"
    assert first.dtype == torch.float32
    assert first.lm_head.weight is first.model.embed_tokens.weight


def test_tokenizer_is_the_folders(tmp_path: Path) -> None:
    tiny_model().save_pretrained(tmp_path)
    with pytest.raises(ModelError, match="has no tokenizer"):
        open_model(tmp_path).load_tokenizer()
    words = Tokenizer(models.WordLevel({"<unk>": 0, "a": 1}, unk_token="<unk>"))
    PreTrainedTokenizerFast(tokenizer_object=words, unk_token="<unk>").save_pretrained(tmp_path)
    assert open_model(tmp_path).load_tokenizer().convert_tokens_to_ids("a") == 1


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[]",
        b"\xff\xfe",
        b"[" * 100_000,
        b'{"version": "1.0", "model": {"type": "BPE", "vocab": {"a": -1}, "merges": [1]}}',
        b'{"version": "1.0", "added_tokens": [{"id": 1e30}], "model": null}',
    ],
)
@pytest.mark.parametrize("name", ["tokenizer.json", "tokenizer_config.json", "special_tokens_map.json"])
def test_problems_of_tokenizer_files_are_told(tmp_path: Path, name: str, content: bytes) -> None:
    save_checkpoint(tmp_path)
    (tmp_path / name).write_bytes(content)
    opened = open_model(tmp_path)
    with suppress(ModelError):
        opened.load_tokenizer()


def test_code_of_a_tokenizer_is_not_run_and_not_asked_about(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_checkpoint(tmp_path)
    monkeypatch.setattr("builtins.input", lambda _: pytest.fail("a question was asked"))
    settings = {"auto_map": {"AutoTokenizer": ["own.Own", None]}, "tokenizer_class": "Own"}
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(settings))
    (tmp_path / "own.py").write_text("raise SystemExit('this code ran')")
    with suppress(ModelError):
        open_model(tmp_path).load_tokenizer()


def test_hub_name_is_downloaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tiny_model().save_pretrained(tmp_path)
    monkeypatch.setattr(source, "download", lambda name, with_code: tmp_path)
    assert open_model("org/tiny").name == "org/tiny"


@pytest.mark.parametrize("equal", [True, False])
def test_two_stored_matrices_are_tied_where_transformers_ties_them(tmp_path: Path, equal: bool) -> None:
    tiny_model(tie_word_embeddings=True).save_pretrained(tmp_path)
    file = tmp_path / "model.safetensors"
    stored = load_file(file)
    stored["lm_head.weight"] = stored["model.embed_tokens.weight"] + (0.0 if equal else 0.01)
    save_file(stored, file, metadata={"format": "pt"})
    theirs = AutoModelForCausalLM.from_pretrained(tmp_path)
    assert (theirs.lm_head.weight is theirs.model.embed_tokens.weight) == equal
    opened = open_model(tmp_path)
    assert opened.config.tie_word_embeddings == equal
    tokens = torch.arange(12).view(1, 12)
    assert torch.equal(_logits(opened, tokens), theirs(tokens).logits)


def test_a_stored_tensor_that_is_not_read_is_an_error(tmp_path: Path) -> None:
    tiny_model(tie_word_embeddings=True).save_pretrained(tmp_path)
    stored = load_file(tmp_path / "model.safetensors")
    save_file(stored | {"model.norm.bias": torch.zeros(64)}, tmp_path / "model.safetensors")
    with pytest.raises(ModelError, match=r"has 1 tensors that LlamaForCausalLM has not \(model.norm.bias"):
        open_model(tmp_path)


REMOTE_CONFIG = """
from transformers import LlamaConfig
class OwnConfig(LlamaConfig):
    model_type = "own"
"""
REMOTE_MODEL = """
from transformers import LlamaForCausalLM
from .configuration_own import OwnConfig
class OwnForCausalLM(LlamaForCausalLM):
    config_class = OwnConfig
"""


@pytest.fixture
def remote(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkpoint whose architecture is in its own Python files; asking a question would fail the test."""
    folder = tmp_path / "own"
    tiny_model().save_pretrained(folder)
    auto_map = {
        "AutoConfig": "configuration_own.OwnConfig",
        "AutoModelForCausalLM": "modeling_own.OwnForCausalLM",
    }
    _change_config(folder, model_type="own", architectures=["OwnForCausalLM"], auto_map=auto_map)
    (folder / "configuration_own.py").write_text(REMOTE_CONFIG)
    (folder / "modeling_own.py").write_text(REMOTE_MODEL)
    monkeypatch.setattr("builtins.input", lambda _: pytest.fail("a question was asked"))
    monkeypatch.setattr("transformers.dynamic_module_utils.HF_MODULES_CACHE", str(tmp_path / "modules"))
    return folder


def test_code_of_a_checkpoint_is_not_run_unasked(remote: Path, tmp_path: Path) -> None:
    message = r"brings its own Python code \(configuration_own.OwnConfig, modeling_own.OwnForCausalLM\)"
    with pytest.raises(ModelError, match=message):
        open_model(remote)
    assert not (tmp_path / "modules").exists()


def test_code_of_a_checkpoint_is_run_if_trusted(remote: Path) -> None:
    opened = open_model(remote, trust_remote_code=True)
    assert type(opened.skeleton()).__name__ == "OwnForCausalLM"
    tokens = torch.arange(12).view(1, 12)
    assert torch.equal(_logits(opened, tokens), tiny_model()(tokens).logits)


def test_float_checkpoint_that_came_from_gguf_is_read(tmp_path: Path) -> None:
    tiny_model().save_pretrained(tmp_path)
    _change_config(tmp_path, quantization_config={"quant_method": "gguf"})
    open_model(tmp_path)
    _change_config(tmp_path, quantization_config={"quant_method": "gptq", "bits": 4})
    with pytest.raises(ModelError, match="is quantized already, by gptq"):
        open_model(tmp_path)


def _change_config(folder: Path, **changes: object) -> None:
    file = folder / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("config:gpt-5", "unknown model config:gpt-5; known are llama-3.2-1b"),
        ("nowhere", r"there is no nowhere: give a checkpoint folder, .* downloaded with huggingface_hub"),
        ("some/where.gguf", r"there is no some/where.gguf"),
        ("a/b/c", "there is no a/b/c"),
    ],
)
def test_names_that_lead_nowhere(spec: str, message: str) -> None:
    with pytest.raises(LowpeakError, match=message):
        open_model(spec)


def test_folders_that_are_no_causal_language_model(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"has no config.json"):
        open_model(tmp_path)
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(ModelError, match=r"config.json cannot be read"):
        open_model(tmp_path)
    (tmp_path / "config.json").write_text('{"model_type": "no-such"}')
    with pytest.raises(ModelError, match=r"config.json cannot be read"):
        open_model(tmp_path)
    shape = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
    for bert in (BertForMaskedLM, BertModel):
        bert(BertConfig(**shape)).save_pretrained(tmp_path)
        with pytest.raises(ModelError, match=f"is a {bert.__name__}, not a causal language model"):
            open_model(tmp_path)
    T5Config().save_pretrained(tmp_path)
    with pytest.raises(ModelError, match="is a t5, not a causal language model"):
        open_model(tmp_path)
    (tmp_path / "adapter_config.json").write_text("{}")
    with pytest.raises(ModelError, match=r"is a PEFT adapter, .*PeftModel.from_pretrained"):
        open_model(tmp_path)


def test_a_file_that_is_no_gguf(tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").touch()
    with pytest.raises(ModelError, match=r"is not a .gguf: give the checkpoint's folder"):
        open_model(tmp_path / "model.safetensors")
