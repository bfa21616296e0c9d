"""The tokenizer of native/ gives the tokens and the text that `tokenizers` gives."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from itertools import accumulate
from pathlib import Path
from typing import Any

import pytest
from tokenizers import Tokenizer
from transformers import AutoTokenizer

from lowpeak.demo_model import FILE_NAME, fetch_demo_model
from tests.native.tokenizer_families import FAMILIES, smollm2, strings
from tests.native.tokenizing import decoded, encoded

FEW, MANY = 150, 10_000


def saved(tokenizer: Tokenizer, folder: Path) -> Path:
    tokenizer.save(str(folder / "tokenizer.json"))
    return folder / "tokenizer.json"


def require_same(
    tokenizer: Tokenizer, file: Path, count: int, special: bool, may_refuse: bool = False
) -> None:
    """On so many strings: ids, and where in the text each token stands."""
    texts = list(strings(count, seed=count))
    refused = 0
    for text, row in zip(
        texts, encoded(file, [text.encode() for text in texts], special=special), strict=True
    ):
        if isinstance(row, str):
            assert may_refuse and "has no token for" in row, row
            refused += 1
            continue
        expected = tokenizer.encode(text, add_special_tokens=special)
        assert [each[0] for each in row] == expected.ids, text
        starts = [0, *accumulate(len(character.encode()) for character in text)]
        assert [each[1:] for each in row] == [
            (starts[start], starts[end]) for start, end in expected.offsets
        ], text
    assert refused < count / 2


@pytest.mark.parametrize("special", [False, True])
@pytest.mark.parametrize("family", FAMILIES)
def test_tokens_are_those_of_tokenizers(family: str, special: bool, tmp_path: Path) -> None:
    tokenizer = FAMILIES[family]()
    require_same(tokenizer, saved(tokenizer, tmp_path), FEW, special)


@pytest.mark.slow
@pytest.mark.parametrize("family", FAMILIES)
def test_tokens_of_ten_thousand_strings(family: str, tmp_path: Path) -> None:
    tokenizer = FAMILIES[family]()
    require_same(tokenizer, saved(tokenizer, tmp_path), MANY, special=True)


@pytest.mark.slow
def test_tokens_of_the_demo_model(tmp_path: Path) -> None:
    AutoTokenizer.from_pretrained(fetch_demo_model().parent, gguf_file=FILE_NAME).save_pretrained(tmp_path)
    file = tmp_path / "tokenizer.json"
    # It lacks some control characters, with which texts are refused.
    require_same(Tokenizer.from_file(str(file)), file, MANY, special=True, may_refuse=True)


@pytest.mark.parametrize("family", FAMILIES)
def test_text_comes_back_piece_by_piece(family: str, tmp_path: Path) -> None:
    tokenizer = FAMILIES[family]()
    file = saved(tokenizer, tmp_path)
    rows = [tokenizer.encode(text, add_special_tokens=True).ids for text in strings(FEW, seed=5)]
    whole = tokenizer.decode_batch(rows, skip_special_tokens=True)
    for pieces, expected in zip(decoded(file, rows), whole, strict=True):
        assert "".join(pieces) == expected
        # A character is given once all of it is there.
        assert "\ufffd" not in "".join(pieces) or "\ufffd" in expected


def test_a_character_of_several_tokens_is_given_with_its_last(tmp_path: Path) -> None:
    tokenizer = smollm2()
    file = saved(tokenizer, tmp_path)
    ids = tokenizer.encode("a\U0001d490b").ids
    assert len(ids) == 6
    assert decoded(file, [ids, ids[:3]]) == [
        ["a", "", "", "", "\U0001d490", "b", ""],
        ["a", "", "", "\ufffd"],
    ]


@pytest.mark.parametrize("text", [b"a\xff", b"\xed\xa0\x80", b"\xc0\x80", b"\xf4\x90\x80\x80", b"\xe6\x97"])
def test_refuses_what_is_not_utf8(text: bytes, tmp_path: Path) -> None:
    (row,) = encoded(saved(smollm2(), tmp_path), [text])
    assert isinstance(row, str) and row.startswith("the text is not UTF-8 at byte ")


def test_merges_that_stand_before_the_vocabulary(tmp_path: Path) -> None:
    tokenizer = smollm2()
    content = json.loads(tokenizer.to_str())
    content["model"] = {"merges": content["model"].pop("merges"), **content["model"]}
    content["model"]["merges"] = [" ".join(pair) for pair in content["model"]["merges"]]
    file = tmp_path / "tokenizer.json"
    file.write_text(json.dumps(content))
    require_same(tokenizer, file, 20, special=False)


def _change(name: str, value: Any) -> Callable[[dict[str, Any]], None]:
    def change(content: dict[str, Any]) -> None:
        content["model"][name] = value

    return change


def _set(name: str, value: Any) -> Callable[[dict[str, Any]], None]:
    def change(content: dict[str, Any]) -> None:
        content[name] = value

    return change


def _splitting(pattern: str) -> Callable[[dict[str, Any]], None]:
    split = {"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": False}
    return _set("pre_tokenizer", split)


REFUSED: Mapping[str, Callable[[dict[str, Any]], None]] = {
    "a model of the type Unigram": _set("model", {"type": "Unigram", "unk_id": 0, "vocab": [["a", -1.0]]}),
    "a model of the type WordPiece": _set("model", {"type": "WordPiece", "vocab": {"a": 0}}),
    '"end_of_word_suffix" of the model': _change("end_of_word_suffix", "</w>"),
    '"new_field" of the model': _change("new_field", True),
    "dropout": _change("dropout", 0.1),
    '"extra" of the file': _set("extra", {"a": 1}),
    "the normalizer NFKC": _set("normalizer", {"type": "NFKC"}),
    "the pre-tokenizer Whitespace": _set("pre_tokenizer", {"type": "Whitespace"}),
    "the post-processor BertProcessing": _set("post_processor", {"type": "BertProcessing"}),
    "the property \\p{Han}": _splitting(r"\p{Han}+"),
    "an anchor, $": _splitting(r"\s+$"),
    "the escape \\b": _splitting(r"\ba"),
    "a class within a class": _splitting(r"[a[bc]]"),
    "a group that is repeated without an end": _splitting(r"(?:ab)+"),
    "a group that does not end": _splitting(r"(ab"),
    "a regular expression of 20000 bytes": _splitting("a" * 20_000),
    "more than 100 groups in each other": _splitting("(" * 1000 + "a" + ")" * 1000),
    "groups that repeat each other to more than 10,000 parts": _splitting(f"{'(' * 9}a|b{'){32}' * 9}"),
    'an empty "replacement" of Metaspace': _set(
        "pre_tokenizer", {"type": "Metaspace", "replacement": "", "prepend_scheme": "always"}
    ),
    "groups that repeat each other to more": _splitting(f"{'(' * 20}{'){32}' * 20}"),
}


@pytest.mark.parametrize("expected", REFUSED)
def test_refuses_by_name_what_it_does_not_know(expected: str, tmp_path: Path) -> None:
    content = json.loads(smollm2().to_str())
    REFUSED[expected](content)
    file = tmp_path / "tokenizer.json"
    file.write_text(json.dumps(content))
    with pytest.raises(RuntimeError) as refused:
        encoded(file, [])
    assert expected in str(refused.value)


STRIP = {"type": "Strip", "content": " ", "start": 1, "stop": 0}


@pytest.mark.parametrize(
    ("decoder", "expected"),
    [
        (
            [{"type": "Fuse"}, {**STRIP, "content": "", "start": 10**18}],
            "a Strip of 1000000000000000000 characters",
        ),
        ([{"type": "Fuse"}, {**STRIP, "start": -1}], "a Strip of -1 characters"),
        ([{"type": "Fuse"}, {**STRIP, "content": ""}], 'an empty "content" of Strip'),
        ([{"type": "Metaspace", "replacement": "", "prepend_scheme": "never"}], 'an empty "replacement"'),
        ([{"type": "Replace", "pattern": {"String": ""}, "content": "a"}], "a pattern of 0 bytes"),
    ],
)
def test_refuses_a_decoder_without_an_end(decoder: list[Any], expected: str, tmp_path: Path) -> None:
    content = json.loads(smollm2().to_str())
    content["decoder"] = {"type": "Sequence", "decoders": decoder}
    (tmp_path / "tokenizer.json").write_text(json.dumps(content))
    with pytest.raises(RuntimeError) as refused:
        decoded(tmp_path / "tokenizer.json", [[1]])
    assert "no text can be generated" in str(refused.value) and expected in str(refused.value)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{", "is not JSON"),
        ('{"model": {"type": "BPE", "vocab": {"a": 0, "b": 0}, "merges": []}}', "has the id 0, as another"),
        ('{"model": {"type": "BPE", "vocab": {"a": -1}, "merges": []}}', "has the id -1, which is none"),
        (
            '{"model": {"type": "BPE", "vocab": {"a": 0}, "merges": ["a b"]}}',
            'the merge of "a" and "b" is of tokens',
        ),
        (
            '{"model": {"type": "BPE", "vocab": {"a": 0}, "merges": ["ab"]}}',
            'the merge "ab" is not of two tokens',
        ),
        ('{"model": {"type": "BPE", "vocab": null, "merges": []}}', "vocab should be an object of tokens"),
        ('{"model": {"type": "BPE", "vocab": [], "merges": []}}', "it has a list"),
        (
            '{"model": {"type": "BPE", "vocab": {"a": "0"}, "merges": []}}',
            "it has a value of the type string",
        ),
        ('{"model": {"type": "BPE", "vocab": {"a": 0}, "merges": [1]}}', "merges should be a list of pairs"),
        ('{"model": {"type": "BPE", "vocab": {"a": 0}, "merges": {"a": 0}}}', "it has an object"),
        ('{"model": {"type": "BPE", "vocab": {"a": 0}, "merges": null}}', "it has a value of the type null"),
    ],
)
def test_refuses_a_broken_file(text: str, expected: str, tmp_path: Path) -> None:
    file = tmp_path / "tokenizer.json"
    file.write_text(text)
    with pytest.raises(RuntimeError) as refused:
        encoded(file, [])
    assert expected in str(refused.value)
