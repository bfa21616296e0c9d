"""The program of `lowpeak generate` for a compiled model, or the reason why it has none."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from typing import Any

from torch import fx
from transformers import PreTrainedTokenizerBase

from lowpeak_artifact.errors import ModelError, UnsupportedOperator
from lowpeak_compiler.decode import compile_decoder
from lowpeak_compiler.pipeline import Compiled
from lowpeak_export.build import Generator

GENERATION_CONFIG = "generation_config.json"
TOKENIZER_BYTES = 100
"""Of each token: the runner's tokenizer of SmolLM2 with 49,152 tokens takes 3.3 MB."""


def generator_of(
    compiled: Compiled,
    check: Callable[[Iterable[fx.Node]], None],
    tokenizer: PreTrainedTokenizerBase | None,
    progress: Callable[[str], None],
) -> Generator:
    """`check` refuses operations that the target has no kernel for."""
    try:
        tokenizer_bytes = 0 if tokenizer is None else TOKENIZER_BYTES * len(tokenizer)
        decoder = compile_decoder(compiled, beside=tokenizer_bytes, check=check, progress=progress)
    except (ModelError, UnsupportedOperator) as error:
        return Generator(None, str(error), [])
    return Generator(decoder, None, end_tokens(compiled, tokenizer))


def end_tokens(compiled: Compiled, tokenizer: PreTrainedTokenizerBase | None) -> list[int]:
    """Those of the model's config, of its generation config and of the tokenizer."""
    tokens: set[int] = set()

    def add(ids: Any) -> None:
        tokens.update(each for each in (ids if isinstance(ids, list) else [ids]) if isinstance(each, int))

    config = compiled.intake.model_config or {}
    add(config.get("eos_token_id"))
    add((config.get("text_config") or {}).get("eos_token_id"))
    origin = compiled.intake.origin
    path = None if origin is None else origin.path / GENERATION_CONFIG
    if path is not None and path.is_file():
        add(json.loads(path.read_text(encoding="utf-8")).get("eos_token_id"))
    add(getattr(tokenizer, "eos_token_id", None))
    return sorted(tokens)
