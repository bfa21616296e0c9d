"""Characters that a tokenizer leaves out in silence: a BPE (of tokenizers 0.23) that has neither an entry for
them nor a token for what is unknown. Offsets of what follows in the same word are then too small, so that
labels by characters would be of other tokens.

SmolLM2's has no entry for some control characters, such as U+0013.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from tokenizers import models
from transformers import PreTrainedTokenizerBase
from transformers.convert_slow_tokenizer import bytes_to_unicode

ENTRIES: dict[int, str] = bytes_to_unicode()  # type: ignore[no-untyped-call]
"""The character that stands for each byte in a vocabulary of bytes."""


def finder_of_dropped(tokenizer: PreTrainedTokenizerBase) -> Callable[[str], str | None]:
    """A function that returns the first character of a text that the tokenizer would leave out, with the word
    that it is in where the tokenizer makes words; None if there is none."""
    backend: Any = tokenizer.backend_tokenizer
    model = backend.model
    if not isinstance(model, models.BPE) or model.unk_token is not None:
        return lambda text: None
    if model.byte_fallback and all(model.token_to_id(f"<0x{byte:02X}>") is not None for byte in range(256)):
        return lambda text: None
    if not _is_of_bytes(backend):
        return lambda text: _first_dropped(backend, text)
    without = [byte for byte, entry in ENTRIES.items() if model.token_to_id(entry) is None]
    if not without:
        return lambda text: None
    suspect = re.compile(b"[" + re.escape(bytes(without)) + b"]")

    def first_dropped(text: str) -> str | None:
        return _first_dropped(backend, text) if suspect.search(_normalized(backend, text).encode()) else None

    return first_dropped


def _is_of_bytes(backend: Any) -> bool:
    """Whether the model is given bytes, each as a character of its own: GPT-2's way."""
    pieces = backend.pre_tokenizer.pre_tokenize_str("é") if backend.pre_tokenizer else []
    return "".join(piece for piece, _ in pieces).endswith("".join(ENTRIES[byte] for byte in "é".encode()))


def _normalized(backend: Any, text: str) -> str:
    return str(backend.normalizer.normalize_str(text)) if backend.normalizer else text


def _first_dropped(backend: Any, text: str) -> str | None:
    added = [re.escape(token.content) for token in backend.get_added_tokens_decoder().values()]
    between = re.compile("|".join(sorted(added, key=len, reverse=True)) or r"(?!)")
    prefix = backend.model.continuing_subword_prefix or ""
    for part in between.split(text):
        normalized = _normalized(backend, part)
        pieces = backend.pre_tokenizer.pre_tokenize_str(normalized) if backend.pre_tokenizer else None
        for piece, span in [(normalized, None)] if pieces is None else pieces:
            for place, character in enumerate(piece):
                if backend.model.token_to_id((prefix if place else "") + character) is None:
                    return part[slice(*span)] if span else character
    return None
