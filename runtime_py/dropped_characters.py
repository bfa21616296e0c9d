"""Characters that a tokenizer leaves out in silence: a BPE (of tokenizers 0.23) that has neither an entry for
them nor a token for what is unknown. Offsets of all that follows are then too small, so that labels by
characters would be of other tokens.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from tokenizers import models, pre_tokenizers
from transformers import PreTrainedTokenizerBase


def finder_of_dropped(tokenizer: PreTrainedTokenizerBase) -> Callable[[str], str | None]:
    """A function that gives the first character of a text that the tokenizer would leave out, if any."""
    backend: Any = tokenizer.backend_tokenizer
    model = backend.model
    if not isinstance(model, models.BPE) or model.unk_token is not None or _has_all_bytes(backend):
        return lambda text: None
    vocabulary: dict[str, int] = backend.get_vocab(with_added_tokens=False)
    added = [re.escape(token.content) for token in backend.get_added_tokens_decoder().values()]
    between = re.compile("|".join(sorted(added, key=len, reverse=True)) or r"(?!)")
    prefix = model.continuing_subword_prefix or ""

    def first_dropped(text: str) -> str | None:
        for part in between.split(text):
            normalized = backend.normalizer.normalize_str(part) if backend.normalizer else part
            pieces = (
                [piece for piece, _ in backend.pre_tokenizer.pre_tokenize_str(normalized)]
                if backend.pre_tokenizer
                else [normalized]
            )
            for piece in pieces:
                for place, character in enumerate(piece):
                    if (prefix if place else "") + character not in vocabulary:
                        return str(character)
        return None

    return first_dropped


def _has_all_bytes(backend: Any) -> bool:
    """Whether every byte is an entry, so that every text can be spelled."""
    if backend.model.byte_fallback:
        return all(backend.token_to_id(f"<0x{byte:02X}>") is not None for byte in range(256))
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    return all(backend.token_to_id(character) is not None for character in alphabet)
