"""A JSONL file by number: the same examples as all at once, told lines, and no line held."""

from __future__ import annotations

import hashlib
import json
import os
import tracemalloc
from pathlib import Path
from typing import Any

import pytest
from tokenizers import Tokenizer, models
from transformers import PreTrainedTokenizerFast

from lowpeak_artifact.errors import DataError
from lowpeak_runtime.data.encode import Example
from lowpeak_runtime.data.jsonl import JsonlFile, read_jsonl


@pytest.fixture(scope="module")
def tokenizer() -> PreTrainedTokenizerFast:
    """Of single characters."""
    vocabulary = {chr(code): code - 32 for code in range(32, 127)}
    backend = Tokenizer(models.BPE(vocab={**vocabulary, "<end>": 95}, merges=[], unk_token="<end>"))
    return PreTrainedTokenizerFast(tokenizer_object=backend, eos_token="<end>")  # type: ignore[no-untyped-call]


def numbered(tmp_path: Path, count: int) -> Path:
    """Every line says its number, from 1; blank lines follow the even ones."""
    path = tmp_path / "data.jsonl"
    lines = [
        json.dumps({"text": f"number {i}"}) + ("\n\n \n" if i % 2 == 0 else "\n") for i in range(1, count)
    ]
    path.write_text("".join(lines) + json.dumps({"text": f"number {count}"}))
    return path


def test_examples_by_number(tmp_path: Path, tokenizer: PreTrainedTokenizerFast) -> None:
    path = numbered(tmp_path, 9)
    file = JsonlFile(path, tokenizer)
    assert len(file) == 9 and file.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    found = file.examples([8, 0, 3])
    texts = [tokenizer.decode(list(one.input_ids)) for one in found if isinstance(one, Example)]
    assert [text.replace(" ", "") for text in texts] == ["number9<end>", "number1<end>", "number4<end>"]
    every = read_jsonl(path, tokenizer)
    assert [every[8], every[0], every[3]] == found


def test_an_example_that_cannot_be_trained_on_does_not_hide_the_others(
    tmp_path: Path, tokenizer: PreTrainedTokenizerFast
) -> None:
    path = tmp_path / "data.jsonl"
    path.write_text('{"text": "one"}\n\n{"text": ""}\n{"text": "four"}\n')
    one, empty, four = JsonlFile(path, tokenizer).examples(range(3))
    assert isinstance(one, Example) and isinstance(four, Example)
    assert isinstance(empty, DataError) and empty.numbers == {"line": 3}
    assert str(empty).startswith(f"{path}, line 3: has no token to train on")


@pytest.mark.parametrize(
    ("good", "bad", "said"),
    [
        ({"text": "one"}, {"text": 4}, '"text" must be a string'),
        ({"prompt": "a", "completion": "b"}, {"prompt": "a", "completion": "\ud800"}, "surrogate"),
        (
            {"messages": [{"role": "assistant", "content": "Hi"}]},
            {"messages": [{"role": "model", "content": "Hi"}]},
            'role "model"',
        ),
    ],
)
def test_what_is_not_well_formed_is_met_before_anything_is_encoded(
    good: dict[str, Any], bad: dict[str, Any], said: str, tmp_path: Path, tokenizer: PreTrainedTokenizerFast
) -> None:
    path = tmp_path / "data.jsonl"
    path.write_text("".join(json.dumps(record) + "\n" for record in (good, good, bad)))
    with pytest.raises(DataError, match=said) as caught:
        JsonlFile(path, tokenizer)
    assert caught.value.numbers == {"line": 3}


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('{"text": "a", "id": ' + "1" * 5000 + "}", "has a value that cannot be read"),
        (
            '{"messages": [{"role": "assistant", "content": "", "tool_calls": '
            + "[" * 950
            + "]" * 950
            + "}]}",
            "nested too deeply",
        ),
    ],
)
def test_values_that_python_cannot_take(
    line: str, said: str, tmp_path: Path, tokenizer: PreTrainedTokenizerFast
) -> None:
    path = tmp_path / "data.jsonl"
    path.write_text(line)
    with pytest.raises(DataError, match=said) as caught:
        JsonlFile(path, tokenizer)
    assert caught.value.numbers == {"line": 1}


def test_a_file_that_changes_is_refused(tmp_path: Path, tokenizer: PreTrainedTokenizerFast) -> None:
    path = numbered(tmp_path, 3)
    file = JsonlFile(path, tokenizer)
    os.utime(path, ns=(0, 1))
    with pytest.raises(DataError, match="was changed since training began"):
        file.examples([0])
    path.unlink()
    with pytest.raises(DataError, match="No such file"):
        file.examples([0])


def test_a_pipe_is_refused(tokenizer: PreTrainedTokenizerFast) -> None:
    reading, writing = os.pipe()
    os.write(writing, b'{"text": "one"}\n')
    os.close(writing)
    with pytest.raises(DataError, match="cannot be read: it is no regular file; copy it to one"):
        JsonlFile(f"/proc/self/fd/{reading}", tokenizer)
    os.close(reading)


def test_no_line_is_held(tmp_path: Path, tokenizer: PreTrainedTokenizerFast) -> None:
    path = tmp_path / "data.jsonl"
    line = json.dumps({"text": "x" * 4000}) + "\n"
    path.write_text(line * 4000)
    tracemalloc.start()
    file = JsonlFile(path, tokenizer)
    held, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(file) == 4000 and path.stat().st_size > 16_000_000
    assert held < 200_000 and peak < 500_000
