"""Texts with characters that the tokenizer leaves out are refused: their labels would be of other tokens."""

from __future__ import annotations

from typing import Any

import pytest
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers
from transformers import PreTrainedTokenizerFast
from transformers.convert_slow_tokenizer import bytes_to_unicode

from lowpeak_artifact.errors import DataError
from lowpeak_runtime.data.encode import encode

ENTRIES = {"a": 0, "b": 1, "ab": 2, "</s>": 3, "\u2581": 4}


def tokenizer_of(entries: dict[str, int], **options: Any) -> PreTrainedTokenizerFast:
    backend = Tokenizer(models.BPE(entries, [("a", "b")], **options))
    return PreTrainedTokenizerFast(tokenizer_object=backend, eos_token="</s>")  # type: ignore[no-untyped-call]


@pytest.mark.parametrize(("prompt", "completion"), [("ccab", "ab"), ("ab", "abc"), ("ab", "c")])
def test_a_character_without_a_token(prompt: str, completion: str) -> None:
    with pytest.raises(DataError, match=r"no token for \(a part of\) 'c' and would leave it out"):
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
    with pytest.raises(DataError, match="' C' and would"):
        encode({"prompt": "AB", "completion": " C"}, tokenizer)


def test_unknown_tokens_and_bytes_stand_for_every_character() -> None:
    unknown = tokenizer_of({**ENTRIES, "<unk>": 5}, unk_token="<unk>")
    assert encode({"prompt": "cab", "completion": "ab"}, unknown).labels == (-100, -100, 2, 3)
    fallback = {f"<0x{byte:02X}>": 5 + byte for byte in range(256)}
    spelled = tokenizer_of({**ENTRIES, **fallback}, byte_fallback=True)
    spelled.backend_tokenizer.decoder = decoders.ByteFallback()
    assert encode({"prompt": "cab", "completion": "ab"}, spelled).labels == (-100, -100, 2, 3)
    incomplete = tokenizer_of({**ENTRIES, "<0x63>": 5}, byte_fallback=True)
    with pytest.raises(DataError, match="'d' and would"):
        encode({"prompt": "dab", "completion": "ab"}, incomplete)


def test_bytes_without_an_entry() -> None:
    entries = {entry: byte for byte, entry in bytes_to_unicode().items() if byte != 0x13}
    tokenizer = tokenizer_of(entries | {"ab": 300, "</s>": 301})
    tokenizer.backend_tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    assert encode({"prompt": "é\U0001f600", "completion": "ab"}, tokenizer).labels[-2:] == (300, 301)
    with pytest.raises(DataError, match=r"part of\) ' .x13' and would"):
        encode({"prompt": "a \x13b", "completion": "ab"}, tokenizer)
    tokenizer.add_tokens(["\x13"])  # type: ignore[no-untyped-call]
    assert encode({"prompt": "a \x13b", "completion": "ab"}, tokenizer).labels[-2:] == (300, 301)
