"""Chat templates as tables: what comes out of them is what the template renders."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from transformers import PreTrainedTokenizerFast

from lowpeak_runtime.data.chat.compiled import CHAT_FILE, compiled_chat, write_chat_file
from tests.runtime_py.chat import templates
from tests.runtime_py.tokenizer_kinds import kind

KNOWN = ["CHATML", "DEFAULT_SYSTEM", "GEMMA2", "LLAMA2", "LLAMA3", "PHI3", "QWEN2_5", "QWEN3", "R1_DISTILL"]


@pytest.fixture
def tokenizer(tmp_path: Path) -> PreTrainedTokenizerFast:
    kind("byte BPE, BOS").tokenizer.save_pretrained(tmp_path)
    backend: PreTrainedTokenizerFast = PreTrainedTokenizerFast.from_pretrained(tmp_path)
    return backend


@pytest.mark.parametrize("name", KNOWN)
def test_says_templates_as_glue(name: str, tokenizer: PreTrainedTokenizerFast, tmp_path: Path) -> None:
    tokenizer.chat_template = getattr(templates, name)
    chat = compiled_chat(tokenizer, tmp_path / "tokenizer.json")
    assert chat.problem is None and chat.tokenizer_problem is None
    assert {"user>assistant", "assistant>user"} <= {key.split(":")[0] for key in chat.trained.glue}
    assert all(glue.begins is not None for key, glue in chat.trained.glue.items() if ">assistant" in key)
    assert all(glue.ended for key, glue in chat.trained.glue.items() if key.startswith("assistant>"))


def test_tells_the_last_answer_apart_where_the_template_does(
    tokenizer: PreTrainedTokenizerFast, tmp_path: Path
) -> None:
    tokenizer.chat_template = templates.QWEN3
    chat = compiled_chat(tokenizer, tmp_path / "tokenizer.json")
    assert (chat.trained.from_start, chat.trained.from_end) == (0, 2)
    glue = {key: each.text for key, each in chat.trained.glue.items()}
    assert glue["user>assistant:0:1"] == glue["user>assistant:0:2"] + "<think>\n\n</think>\n\n"
    assert chat.trained.glue["assistant>:0:0"].trims_before == "nothing"
    assert chat.trained.glue["user>assistant:0:1"].trims_behind == "newlines"
    assert "</think>" in chat.watched


def test_places_are_bytes(tokenizer: PreTrainedTokenizerFast, tmp_path: Path) -> None:
    tokenizer.chat_template = templates.CHATML.replace("<|im_end|>", "«ende»")
    chat = compiled_chat(tokenizer, tmp_path / "tokenizer.json")
    assert chat.trained.glue["assistant>:0:0"].ends == len("«ende»".encode())


REFUSED = {
    "{% for m in messages %}{{ m.content | upper }}{% endfor %}": "rewrites",
    "{% for m in messages %}{{ m.role + loop.index|string + m.content }}{% endfor %}": "more than",
    "{% for m in messages | reverse %}{{ m.role + m.content }}{% endfor %}": "mixes",
    "{{ strftime_now('%Y') }}" + templates.CHATML: "today's date",
    "{{ raise_exception('never') }}": "never",
}


@pytest.mark.parametrize("source", REFUSED)
def test_says_why_a_template_cannot_be_compiled(
    source: str, tokenizer: PreTrainedTokenizerFast, tmp_path: Path
) -> None:
    tokenizer.chat_template = source
    chat = compiled_chat(tokenizer, tmp_path / "tokenizer.json")
    assert chat.problem is not None and not chat.trained.glue
    assert chat.eos == tokenizer.eos_token_id


def test_is_written_beside_the_tokenizer(tokenizer: PreTrainedTokenizerFast, tmp_path: Path) -> None:
    tokenizer.chat_template = templates.CHATML
    tokenizer.save_pretrained(tmp_path)
    write_chat_file(tmp_path)
    written = json.loads((tmp_path / CHAT_FILE).read_text("utf-8"))
    assert written["problem"] is None and written["stops"][0] == tokenizer.eos_token_id
    assert set(written["trained"]["glue"]) >= {">user:0:0", "assistant>:0:0"}
    assert written["asked"]["glue"]["user>:0:0"]["text"].endswith("<|im_start|>assistant\n")


def test_nothing_is_written_where_there_is_no_tokenizer(tmp_path: Path) -> None:
    write_chat_file(tmp_path)
    assert not (tmp_path / CHAT_FILE).exists()


def test_tells_of_a_file_that_is_not_what_the_tokenizer_does(
    tokenizer: PreTrainedTokenizerFast, tmp_path: Path
) -> None:
    file = tmp_path / "tokenizer.json"
    content = json.loads(file.read_text("utf-8"))
    content["normalizer"] = {"type": "NFC"}
    file.write_text(json.dumps(content), "utf-8")
    assert compiled_chat(tokenizer, file).tokenizer_problem == (
        "transformers changes the normalizer of tokenizer.json as it loads it"
    )
