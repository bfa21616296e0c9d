"""Texts with characters that the tokenizer leaves out are refused: their labels would be of other tokens."""

from __future__ import annotations

from typing import Any

import pytest
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from compiler.errors import DataError
from runtime_py.encode import encode

ENTRIES = {"a": 0, "b": 1, "ab": 2, "</s>": 3, "\u2581": 4}


def tokenizer_of(entries: dict[str, int], **options: Any) -> PreTrainedTokenizerFast:
    backend = Tokenizer(models.BPE(entries, [("a", "b")], **options))
    return PreTrainedTokenizerFast(tokenizer_object=backend, eos_token="</s>")  # type: ignore[no-untyped-call]


@pytest.mark.parametrize(("prompt", "completion"), [("ccab", "ab"), ("ab", "abc"), ("ab", "c")])
def test_a_character_without_a_token(prompt: str, completion: str) -> None:
    with pytest.raises(DataError, match="no token for 'c' and would leave it out"):
        encode({"prompt": prompt, "completion": completion}, tokenizer_of(ENTRIES))


def test_what_every_character_has_a_token_of() -> None:
    tokenizer = tokenizer_of(ENTRIES)
    assert encode({"prompt": "ab", "completion": "ab"}, tokenizer).labels == (-100, 2, 3)
    # A special token in the text is one token, whatever its characters are.
    assert encode({"prompt": "ab</s>", "completion": "ab"}, tokenizer).labels == (-100, -100, 2, 3)


def test_what_is_looked_up_is_what_the_tokenizer_makes_of_the_text() -> None:
    tokenizer = tokenizer_of(ENTRIES)
    tokenizer.backend_tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.backend_tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    assert encode({"prompt": "AB", "completion": " AB"}, tokenizer).labels[-2:] == (2, 3)
    with pytest.raises(DataError, match="no token for 'c'"):
        encode({"prompt": "AB", "completion": " C"}, tokenizer)


def test_unknown_tokens_and_bytes_stand_for_every_character() -> None:
    unknown = tokenizer_of({**ENTRIES, "<unk>": 5}, unk_token="<unk>")
    assert encode({"prompt": "cab", "completion": "ab"}, unknown).labels == (-100, -100, 2, 3)
    fallback = {f"<0x{byte:02X}>": 5 + byte for byte in range(256)}
    spelled = tokenizer_of({**ENTRIES, **fallback}, byte_fallback=True)
    spelled.backend_tokenizer.decoder = decoders.ByteFallback()
    assert encode({"prompt": "cab", "completion": "ab"}, spelled).labels == (-100, -100, 2, 3)
    incomplete = tokenizer_of({**ENTRIES, "<0x63>": 5}, byte_fallback=True)
    with pytest.raises(DataError, match="no token for 'd'"):
        encode({"prompt": "dab", "completion": "ab"}, incomplete)
