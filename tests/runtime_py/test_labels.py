"""Which tokens have a label, with tokenizers of every kind."""

from __future__ import annotations

from itertools import accumulate

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lowpeak_runtime.data.encode import encode, encode_many
from lowpeak_runtime.data.labels import NO_LOSS, repeated
from tests.runtime_py.chat.templates import CHATML
from tests.runtime_py.tokenizer_kinds import KINDS, SENTENCES, Kind, kind

WORDS = ["Answer", "yes", "no", "this", "spam", "the train", "7:42", "café", "🌿", "日本", "a", "Question"]
TEXTS = st.lists(st.sampled_from([*WORDS, *" \n:?.,", "  ", "\n\n", *"abeé本"]), min_size=1, max_size=8).map(
    "".join
)


def check(tokenizer: Kind, prompt: str, completion: str) -> None:
    """The labelled tokens are those that stand for any of the completion, and the end token.

    Without a prompt the first token may be a space that the tokenizer puts there: nothing predicts it.
    """
    example = encode({"prompt": prompt, "completion": completion}, tokenizer.tokenizer)
    eos = tokenizer.tokenizer.eos_token_id
    *text, last = example.input_ids
    assert (last, example.labels[-1]) == (eos, eos)
    if text[:1] == [tokenizer.tokenizer.bos_token_id]:
        assert example.labels[0] == NO_LOSS
        text = text[1:]
    labels = example.labels[-len(text) - 1 : -1]
    pieces = tokenizer.pieces(text)
    assert b"".join(pieces).endswith(tokenizer.kept(prompt + completion))
    ends = list(accumulate(map(len, pieces)))
    begins = ends[-1] - len(tokenizer.kept(completion)) if ends else 0
    expected = [
        token if end > begins and piece else NO_LOSS
        for token, piece, end in zip(text, pieces, ends, strict=True)
    ]
    first = 0 if prompt else 1
    assert list(labels[first:]) == expected[first:]
    learned = b"".join(tokenizer.pieces([label for label in example.labels if label != NO_LOSS]))
    answer = tokenizer.kept(completion) + b"</s>"
    assert learned.endswith(answer)
    if begins in [0, *ends]:
        assert learned in ([answer] if prompt else [answer, b" " + answer])


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize(
    ("prompt", "completion"),
    [
        ("Is this spam? Answer: ", "yes"),
        ("Is this spam? Answer:", " yes"),
        ("Is this spam? Answer:\n", "yes"),
        ("Is this spam? Answer:  ", " yes "),
        ("Answer: y", "es"),
        ("", "yes"),
        ("", " yes"),
        (" ", "yes"),
        ("Answer", ": no\n"),
        ("café ", "🌿"),
        ("🌿", "🌿🌿"),
        ("日", "本"),
        ("a", "  "),
        ("Answer: yes", "\n\n"),
    ],
)
def test_a_token_with_any_character_of_the_answer_has_a_label(
    name: str, prompt: str, completion: str
) -> None:
    check(kind(name), prompt, completion)


@pytest.mark.parametrize("name", KINDS)
def test_the_answer_is_what_is_learned_wherever_the_text_is_split(name: str) -> None:
    @settings(max_examples=30, deadline=None)
    @given(TEXTS, TEXTS)
    def run(prompt: str, completion: str) -> None:
        check(kind(name), prompt, completion)

    run()


@pytest.mark.parametrize("name", KINDS)
def test_every_split_of_a_sentence(name: str) -> None:
    for sentence in SENTENCES:
        for place in range(0, len(sentence), 3):
            check(kind(name), sentence[:place], sentence[place:])


@pytest.mark.parametrize("name", KINDS)
def test_answers_of_a_chat(name: str) -> None:
    tokenizer = kind(name)
    tokenizer.tokenizer.chat_template = CHATML

    @settings(max_examples=12, deadline=None)
    @given(st.lists(TEXTS.filter(lambda text: text.strip() != ""), min_size=2, max_size=6))
    def run(contents: list[str]) -> None:
        roles = ["user", "assistant"] * 3
        messages = [
            {"role": role, "content": content} for role, content in zip(roles, contents, strict=False)
        ]
        example = encode({"messages": messages}, tokenizer.tokenizer)
        runs: list[list[int]] = [[]]
        for label in example.labels:
            if label != NO_LOSS:
                runs[-1].append(label)
            elif runs[-1]:
                runs.append([])
        learned = [b"".join(tokenizer.pieces(run)).removeprefix(b" ") for run in runs if run]
        answers = [tokenizer.kept(content) + b"<|im_end|>" for content in contents[1::2]]
        # The template ends the header with a line break, which can be one token with those of the answer.
        assert [text.strip() for text in learned] == [answer.removeprefix(b" ").strip() for answer in answers]

    run()


def test_what_the_text_brings_itself_is_not_repeated() -> None:
    assert repeated([1], [1, 5]) == 1
    assert repeated([7, 1], [7, 1, 5]) == 2
    assert repeated([7, 1], [1, 7]) == 1
    assert repeated([1], [5, 1]) == repeated([], [1]) == repeated([1], []) == 0


def test_many_at_once_are_as_one_by_one() -> None:
    tokenizer = kind("byte BPE, BOS").tokenizer
    tokenizer.chat_template = CHATML
    records = [
        {"text": "the train"},
        {"messages": [{"role": "user", "content": "Is this spam?"}, {"role": "assistant", "content": "no"}]},
        {"prompt": "Answer: ", "completion": "yes"},
        {"text": "日本"},
    ]
    assert encode_many(records, tokenizer) == [encode(record, tokenizer) for record in records]
