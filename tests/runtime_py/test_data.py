"""Training data: what is masked, what is refused, and what a batch holds."""

from __future__ import annotations

import dataclasses
import json
import random
from collections.abc import Iterator, Sequence
from importlib.resources import files
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

from lowpeak_artifact.errors import DataError
from lowpeak_runtime.data import data
from lowpeak_runtime.data.data import Batch, ExampleList, batches, shuffled
from lowpeak_runtime.data.encode import NO_LOSS, Example
from lowpeak_runtime.data.jsonl import read_jsonl
from lowpeak_runtime.data.summary import Summary

CHATML = (
    "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\\n' + m['content'] + '<|im_end|>\\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)
# Trims contents, and has no generation prompt: the model then has to say who speaks.
PLAIN = "{% for m in messages %}{{ '### ' + m['role'] + ': ' + m['content'] | trim + '</s>' }}{% endfor %}"
# Adds an empty thought to the last turn only, and opens one in the prompt.
THINKING = (
    "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\\n' }}"
    "{% if loop.last and m['role'] == 'assistant' %}{{ '<think>\\n\\n</think>\\n\\n' }}{% endif %}"
    "{{ m['content'].split('</think>')[-1] | trim + '<|im_end|>\\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)
# As Llama-2, Mistral and Gemma do.
ALTERNATING = (
    "{% for m in messages %}{% if (m['role'] == 'user') != (loop.index0 % 2 == 0) %}"
    "{{ raise_exception('roles must alternate') }}{% endif %}"
    "{% if m['role'] == 'user' %}{{ '[INST] ' + m['content'] + ' [/INST]' }}"
    "{% else %}{{ ' ' + m['content'] + '<|im_end|>' }}{% endif %}{% endfor %}"
)

SENTENCES = [
    "The train leaves at 7:42 and arrives at half past eight.",
    "user assistant system: water the ferns, grüße, naïve café 🌿 日本",
    "Could you remind me to call the dentist tomorrow morning?",
]

CHAT = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "When does the train leave?"},
    {"role": "assistant", "content": "At 7:42 🌿"},
    {"role": "user", "content": "a"},
    {"role": "assistant", "content": "a"},
]


@pytest.fixture(scope="module")
def trained_tokenizer() -> Tokenizer:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=400,
        special_tokens=["<|im_end|>", "<|im_start|>", "<pad>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(SENTENCES * 20, trainer)
    return tokenizer


@pytest.fixture
def tokenizer(trained_tokenizer: Tokenizer) -> PreTrainedTokenizerFast:
    """Byte-level BPE with ChatML."""
    fast = PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=trained_tokenizer, eos_token="<|im_end|>", pad_token="<pad>"
    )
    fast.chat_template = CHATML
    return fast


def read(tmp_path: Path, tokenizer: PreTrainedTokenizerFast, *records: Any) -> list[Example]:
    path = tmp_path / "data.jsonl"
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return read_jsonl(path, tokenizer)


def spans(example: Example, tokenizer: PreTrainedTokenizerFast) -> list[str]:
    """The text of every run of tokens with loss."""
    runs: list[list[int]] = [[]]
    for token, label in zip(example.input_ids, example.labels, strict=True):
        assert label in (token, NO_LOSS)
        if label != NO_LOSS:
            runs[-1].append(token)
        elif runs[-1]:
            runs.append([])
    return [str(tokenizer.decode(run)) for run in runs if run]


def test_messages_have_loss_on_what_the_assistant_says(
    tmp_path: Path, tokenizer: PreTrainedTokenizerFast
) -> None:
    (example,) = read(tmp_path, tokenizer, {"messages": CHAT, "id": 7})
    assert spans(example, tokenizer) == ["At 7:42 🌿<|im_end|>", "a<|im_end|>"]
    assert list(example.input_ids) == tokenizer.apply_chat_template(CHAT, return_dict=False)


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        (PLAIN, ["### assistant: At 7:42 🌿</s>", "### assistant: a</s>"]),
        (THINKING, ["At 7:42 🌿<|im_end|>", "<think>\n\n</think>\n\na<|im_end|>"]),
    ],
    ids=["plain", "thinking"],
)
def test_templates_that_rewrite_turns(
    template: str, expected: list[str], tmp_path: Path, tokenizer: PreTrainedTokenizerFast
) -> None:
    tokenizer.chat_template = template
    chat = [dict(message) for message in CHAT]
    chat[2]["content"] = "  At 7:42 🌿 \n"
    (example,) = read(tmp_path, tokenizer, {"messages": chat})
    assert [span.strip() for span in spans(example, tokenizer)] == expected


def test_alternating_template(tmp_path: Path, tokenizer: PreTrainedTokenizerFast) -> None:
    tokenizer.chat_template = ALTERNATING
    (example,) = read(tmp_path, tokenizer, {"messages": CHAT[1:]})
    assert spans(example, tokenizer) == [" At 7:42 🌿<|im_end|>", " a<|im_end|>"]
    with pytest.raises(DataError, match=r"line 1: .*roles must alternate"):
        read(tmp_path, tokenizer, {"messages": CHAT})


def test_conversation_that_the_assistant_opens(tmp_path: Path, tokenizer: PreTrainedTokenizerFast) -> None:
    (example,) = read(tmp_path, tokenizer, {"messages": CHAT[2:4]})
    assert spans(example, tokenizer) == ["At 7:42 🌿<|im_end|>"]


@pytest.mark.parametrize("prompt", ["Call the", "", "日本 "])
def test_prompt_is_masked_and_completion_ends_with_eos(
    prompt: str, tmp_path: Path, tokenizer: PreTrainedTokenizerFast
) -> None:
    (example,) = read(tmp_path, tokenizer, {"prompt": prompt, "completion": " dentist"})
    assert tokenizer.decode(list(example.input_ids)) == f"{prompt} dentist<|im_end|>"
    assert [span.strip() for span in spans(example, tokenizer)] == ["dentist<|im_end|>"]


def test_eos_is_not_doubled_and_not_invented(tmp_path: Path, tokenizer: PreTrainedTokenizerFast) -> None:
    (example,) = read(tmp_path, tokenizer, {"text": "The train<|im_end|>"})
    assert example.input_ids.count(tokenizer.eos_token_id) == 1
    tokenizer.eos_token = None
    (example,) = read(tmp_path, tokenizer, {"text": "The train"})
    assert spans(example, tokenizer) == ["The train"]


def test_special_tokens_that_the_tokenizer_adds(
    trained_tokenizer: Tokenizer, tmp_path: Path, tokenizer: PreTrainedTokenizerFast
) -> None:
    bos, eos = "<|im_start|>", "<|im_end|>"
    own = Tokenizer.from_str(trained_tokenizer.to_str())
    own.post_processor = processors.TemplateProcessing(
        single=f"{bos} $A {eos}", special_tokens=[(token, own.token_to_id(token)) for token in (bos, eos)]
    )
    adding = PreTrainedTokenizerFast(tokenizer_object=own, eos_token=eos)  # type: ignore[no-untyped-call]
    adding.chat_template = CHATML
    (example,) = read(tmp_path, adding, {"prompt": "Call the", "completion": " dentist"})
    assert adding.decode(list(example.input_ids)) == f"{bos}Call the dentist{eos}"
    assert spans(example, adding) == [f" dentist{eos}"]
    (example,) = read(tmp_path, adding, {"messages": CHAT})
    assert [example] == read(tmp_path, tokenizer, {"messages": CHAT})


def test_prompt_and_completion_as_messages(tmp_path: Path, tokenizer: PreTrainedTokenizerFast) -> None:
    (example,) = read(tmp_path, tokenizer, {"prompt": CHAT[:4], "completion": CHAT[4:]})
    assert spans(example, tokenizer) == ["a<|im_end|>"]


def test_text_has_loss_everywhere(tmp_path: Path, tokenizer: PreTrainedTokenizerFast) -> None:
    (example,) = read(tmp_path, tokenizer, {"text": SENTENCES[1]})
    assert example.labels == example.input_ids
    assert tokenizer.decode(list(example.input_ids)) == SENTENCES[1] + "<|im_end|>"


GOOD = b'{"text": "The train leaves"}\n'


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"\n \n", "is empty"),
        (GOOD + b'{"text": \n', "line 2: is not JSON: .* column"),
        (GOOD + b"\n[1]\n", "line 3: is a list"),
        (b'{"text": "caf\xe9"}\n', "line 1: is not UTF-8"),
        (b"[" * 100_000, "line 1: is nested too deeply"),
        (b'{"text": 5}\n', 'line 1: "text" must be a string, not an integer'),
        (b'{"text": "\\ud83c"}\n', "line 1: .*surrogate"),
        (b'{"text": "a", "prompt": "b"}\n', 'line 1: has "prompt" and "text"; it needs'),
        (b'{"question": "a"}\n', 'line 1: has "question"; it needs'),
        (b'{"prompt": "a"}\n', 'line 1: has "prompt"; it needs'),
        (b'{"messages": [], "images": ["a.png"]}\n', 'line 1: has "images", which is not supported'),
        (b'{"prompt": "a", "completion": [{}]}\n', "line 1: has text and messages"),
        (b'{"prompt": 1, "completion": 2}\n', 'line 1: "prompt" must be a list'),
        (GOOD + b'{"prompt": "a", "completion": "b"}\n', 'line 2: .*but line 1 has "text"'),
        (b'{"messages": "hello"}\n', 'line 1: "messages" must be a list'),
        (b'{"messages": []}\n', 'line 1: "messages" must be a list'),
        (b'{"messages": [{"role": "user"}]}\n', 'line 1: every message .* "content"'),
        (b'{"messages": [{"role": "user", "content": [1]}]}\n', 'line 1: "content" must be a string'),
        (b'{"messages": [{"role": "user", "content": "a"}]}\n', "line 1: has no token to train on"),
        (b'{"prompt": "a", "completion": ""}\n', "line 1: has no token to train on"),
        (b'{"text": ""}\n', "line 1: has no token to train on"),
    ],
)
def test_bad_files_are_refused_with_their_line(
    content: bytes, message: str, tmp_path: Path, tokenizer: PreTrainedTokenizerFast
) -> None:
    path = tmp_path / "bad.jsonl"
    path.write_bytes(content)
    with pytest.raises(DataError, match=message) as caught:
        read_jsonl(path, tokenizer)
    assert "bad.jsonl" in str(caught.value)


def test_missing_file_and_missing_template(tmp_path: Path, tokenizer: PreTrainedTokenizerFast) -> None:
    with pytest.raises(DataError, match="No such file"):
        read_jsonl(tmp_path / "none.jsonl", tokenizer)
    with pytest.raises(DataError, match="directory"):
        read_jsonl(tmp_path, tokenizer)
    tokenizer.chat_template = None
    with pytest.raises(DataError, match=r"line 1: .*no chat template") as caught:
        read(tmp_path, tokenizer, {"messages": CHAT})
    assert caught.value.numbers == {"line": 1}


def example(ids: range, prompt: int = 1) -> Example:
    return Example(tuple(ids), (NO_LOSS,) * prompt + tuple(ids)[prompt:])


SOME = [example(range(10 * i, 10 * i + length)) for i, length in enumerate((2, 9, 5, 4, 7), start=1)]
# Of 11 examples the odd ones have no label among their first 6 tokens.
HALF = [example(range(10 * i, 10 * i + 9), prompt=8 if i % 2 else 2) for i in range(11)]


def some_batches(
    examples: list[Example] = SOME, position: int = 0, seed: int = 1, batch_size: int = 2
) -> Iterator[Batch]:
    return batches(
        ExampleList(examples),
        seq_lens=[6],
        batch_size=batch_size,
        pad_token_id=0,
        seed=seed,
        position=position,
    )


def test_batches_are_padded_and_truncated() -> None:
    source = ExampleList([SOME[0], SOME[1]])
    batch = next(batches(source, seq_lens=[6], batch_size=2, pad_token_id=3, seed=0)).tensors
    ids = sorted(batch["input_ids"].tolist())
    labels = sorted(batch["labels"].tolist(), key=lambda row: row[1])
    assert ids == [[10, 11, 3, 3, 3, 3], [20, 21, 22, 23, 24, 25]]
    assert labels == [[-100, 11, -100, -100, -100, -100], [-100, 21, 22, 23, 24, 25]]
    assert batch["input_ids"].dtype == batch["labels"].dtype == torch.int64


def test_the_shortest_length_that_holds_the_batch() -> None:
    given = {"batch_size": 1, "pad_token_id": 0, "seed": 0}
    several = islice(batches(ExampleList(SOME), seq_lens=[4, 6, 8], **given), 5)
    alone = islice(batches(ExampleList(SOME), seq_lens=[8], **given), 5)
    found = {}
    for batch, padded in zip(several, alone, strict=True):
        tokens = batch.tensors["input_ids"].shape[1]
        assert torch.equal(batch.tensors["input_ids"], padded.tensors["input_ids"][:, :tokens])
        assert torch.equal(batch.tensors["labels"], padded.tensors["labels"][:, :tokens])
        found[int(batch.tensors["input_ids"][0, 0])] = tokens
    assert found == {10: 4, 20: 8, 30: 6, 40: 4, 50: 8}


@pytest.mark.parametrize("count", [1, 2, 5, 64, 1000])
def test_the_order_is_that_of_a_sample(count: int) -> None:
    for seed, epoch in ((0, 0), (0, 1), (7, 3)):
        expected = random.Random(f"{seed} {epoch}").sample(range(count), count)
        assert list(shuffled(count, seed, epoch)) == expected


def test_every_epoch_has_every_example_once_in_its_own_order() -> None:
    firsts = [int(row[0]) for batch in islice(some_batches(), 10) for row in batch.tensors["input_ids"]]
    epochs = [firsts[start : start + 5] for start in range(0, 20, 5)]
    assert all(sorted(epoch) == [10, 20, 30, 40, 50] for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) > 1


def equal(one: Batch, other: Batch) -> bool:
    same = all(torch.equal(one.tensors[name], other.tensors[name]) for name in ("input_ids", "labels"))
    return same and one.end == other.end


@pytest.mark.parametrize("examples", [SOME, HALF], ids=["all", "half of them dropped"])
@pytest.mark.parametrize("step", [1, 2, 3, 7, 100])
def test_resuming_where_a_batch_ended_continues_the_same_sequence(examples: list[Example], step: int) -> None:
    whole = list(islice(some_batches(examples), step + 6))
    resumed = islice(some_batches(examples, position=whole[step - 1].end), 6)
    assert all(map(equal, resumed, whole[step:]))


@pytest.mark.parametrize("at_once", [1, 3, 1000])
def test_how_many_are_fetched_together_changes_nothing(at_once: int, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = list(islice(some_batches(HALF), 20))
    monkeypatch.setattr(data, "AT_ONCE", at_once)
    actual = list(islice(some_batches(HALF), 20))
    assert all(map(equal, actual, expected))
    assert [batch.summary for batch in actual] == [batch.summary for batch in expected]


def test_seed_decides_the_order() -> None:
    one, other = (
        [batch.tensors["input_ids"].tolist() for batch in islice(some_batches(seed=seed), 5)]
        for seed in (1, 2)
    )
    assert one != other


def test_examples_without_loss_after_truncation_are_dropped_and_counted() -> None:
    given = [example(range(20), prompt=15), example(range(30, 36)), example(range(40, 52), prompt=3)]
    made = list(islice(batches(ExampleList(given), seq_lens=[10], batch_size=1, pad_token_id=0, seed=0), 6))
    firsts = [int(batch.tensors["input_ids"][0, 0]) for batch in made]
    assert sorted(firsts[:2]) == sorted(firsts[2:4]) == [30, 40]
    # What comes in a second epoch is no other example, but its tokens are trained on once more.
    for batch, epochs in ((made[1], 1), (made[3], 2)):
        summary = batch.summary
        assert (summary.tokens, summary.trainable_tokens) == (16 * epochs, 12 * epochs)
    assert made[3].summary == Summary(
        examples=3, seen=3, dropped=1, truncated=1, tokens=32, trainable_tokens=24, longest=20, enough=16
    )
    (note,) = made[3].summary.notes
    assert "1 of 3 examples seen" in note and "--seq-len 16 " in note
    # It is enough.
    longer = batches(ExampleList(given), seq_lens=[16], batch_size=3, pad_token_id=0, seed=0)
    assert next(longer).summary.dropped == 0 and next(longer).summary.notes == []


def test_warnings_are_counted_once_an_example() -> None:
    given = [dataclasses.replace(each, warnings=("one", "two")[: i % 3]) for i, each in enumerate(SOME)]
    *_, last = islice(some_batches(given), 10)
    assert last.summary.warnings == {"one": 3, "two": 1}
    assert last.summary.notes == ["of 3 of 5 examples seen: one", "of 1 of 5 examples seen: two"]


def test_nothing_left_is_an_error_after_one_epoch() -> None:
    told: list[Summary] = []
    given = ExampleList([example(range(20), prompt=prompt) for prompt in (15, 12)])
    endless = batches(given, seq_lens=[10], batch_size=1, pad_token_id=0, seed=0, on_read=told.append)
    with pytest.raises(DataError, match=r"none of 2 examples .*seq_len \(16 keeps them") as caught:
        next(endless)
    assert caught.value.numbers == {"examples": 2, "seq_len": 10}
    assert [(summary.seen, summary.dropped) for summary in told] == [(2, 2)]
    with pytest.raises(DataError, match="list is empty"):
        ExampleList([])


def test_a_bad_example_is_met_when_its_turn_comes() -> None:
    class OneBad(ExampleList):
        def examples(self, numbers: Sequence[int]) -> list[Example | DataError]:
            return [DataError("bad") if number == bad else SOME[number] for number in numbers]

    order = list(shuffled(5, 1, 0))
    bad = order[3]
    endless = batches(OneBad(SOME), seq_lens=[6], batch_size=1, pad_token_id=0, seed=1)
    assert [int(next(endless).tensors["input_ids"][0, 0]) // 10 - 1 for _ in range(3)] == order[:3]
    with pytest.raises(DataError, match="bad"):
        next(endless)


def test_demo_chat_is_masked_right(tokenizer: PreTrainedTokenizerFast) -> None:
    path = Path(str(files("lowpeak") / "demo_chat.jsonl"))
    examples = read_jsonl(path, tokenizer)
    conversations = [json.loads(line)["messages"] for line in path.read_text().splitlines()]
    assert len(examples) == len(conversations) >= 64
    assert len({chat[0]["content"] for chat in conversations}) == len(conversations)
    for one, chat in zip(examples, conversations, strict=True):
        answers = [message["content"] + "<|im_end|>" for message in chat if message["role"] == "assistant"]
        assert spans(one, tokenizer) == answers
