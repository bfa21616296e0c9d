"""The artifact's tokenizer is the model's, or the reason why there is none is kept."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import sentencepiece
from transformers import AutoTokenizer

import lowpeak
from lowpeak.cli import main
from lowpeak_runtime.data.prepare import tokenizer_of, training_data
from tests.lowpeak.checkpoint import SEQ_LEN, save_checkpoint, save_data
from tests.model.tiny import tiny_model

VOCABULARY = 96
TEXT = "the quick brown fox jumps over the lazy dog and packs my box with five dozen liquor jugs"


def _compiled(model: object, folder: Path) -> lowpeak.Artifact:
    return lowpeak.compile_for_device(  # type: ignore[arg-type]
        model, 100, seq_len=SEQ_LEN, target="simulator", out=folder / "artifact"
    )


def test_a_folder_with_tokenizer_model_only(tmp_path: Path) -> None:
    folder = save_checkpoint(tmp_path / "model", tokenizer=False)
    (tmp_path / "text").write_text("\n".join(" ".join(TEXT.split()[i:]) for i in range(12)))
    sentencepiece.SentencePieceTrainer.train(
        input=str(tmp_path / "text"),
        model_prefix=str(folder / "tokenizer"),
        vocab_size=VOCABULARY,
        model_type="bpe",
        minloglevel=2,
        hard_vocab_limit=False,
    )
    (folder / "tokenizer.vocab").unlink()
    (folder / "tokenizer_config.json").write_text('{"tokenizer_class": "LlamaTokenizer"}')
    artifact = _compiled(folder, tmp_path)
    assert artifact.manifest.tokenizer_problem is None
    pieces = sentencepiece.SentencePieceProcessor(model_file=str(folder / "tokenizer.model"))
    ids = tokenizer_of(artifact)(TEXT, add_special_tokens=False)["input_ids"]
    assert ids == pieces.encode(TEXT)


def test_several_chat_templates_are_kept_beside_each_other(tmp_path: Path) -> None:
    folder = save_checkpoint(tmp_path / "model")
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer.chat_template = {"default": "{{ messages[0].content }}", "tool_use": "{{ tools }}"}
    tokenizer.save_pretrained(folder)
    assert (folder / "additional_chat_templates").is_dir()
    artifact = _compiled(folder, tmp_path)
    assert all(entry.is_file() for entry in artifact.path.iterdir())
    assert tokenizer_of(artifact).chat_template == tokenizer.chat_template


def test_the_reason_is_said_kept_and_repeated(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    folder = save_checkpoint(tmp_path / "model")
    (folder / "tokenizer.json").write_text('{"version": "1.0", "model": {"type": "Nope"}}')
    arguments = ["compile", str(folder), "--budget-mb", "20", "--seq-len", str(SEQ_LEN)]
    assert main([*arguments, "--out", str(tmp_path / "artifact"), "--json"]) == 0
    out, err = capfd.readouterr()
    problem = json.loads(out)["tokenizer_problem"]
    assert problem.startswith(f"{folder.name} has no tokenizer that transformers can load: ")
    assert f"Tokenizer: {problem}" in err
    artifact = lowpeak.Artifact.open(tmp_path / "artifact")
    assert artifact.manifest.tokenizer_problem == problem
    with pytest.raises(lowpeak.DataError) as caught:
        training_data(artifact, save_data(tmp_path / "data.jsonl"))
    assert problem in str(caught.value)


def test_a_model_in_memory_brings_none(tmp_path: Path) -> None:
    artifact = _compiled(tiny_model(num_hidden_layers=1), tmp_path)
    assert artifact.manifest.tokenizer_problem == (
        "a model in memory brings no tokenizer; pass tokenizer= to compile_for_device"
    )
