"""A tokenizer out of files that are named one by one, never out of a folder as it lies there.

transformers takes from a folder whatever has a name that it knows: a chat template or special tokens that
somebody added, a config that names code. So it is shown a private folder that holds only what was asked for.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

from transformers import AutoTokenizer, PreTrainedTokenizerBase
from transformers.models.auto.tokenization_auto import tokenizer_class_from_name

from lowpeak_artifact.errors import DataError
from lowpeak_artifact.json_types import json_type
from lowpeak_artifact.private_folder import private_folder

TOKENIZER_CONFIG = "tokenizer_config.json"
FILES = frozenset(
    {
        "tokenizer.json",
        TOKENIZER_CONFIG,
        "special_tokens_map.json",
        "added_tokens.json",
        "chat_template.jinja",
    }
)
"""Of every kind of tokenizer. A class has its own vocabulary files beside them."""
REFUSED_KEYS = ("auto_map", "fast_tokenizer_files", "gguf_file")
"""Of the config: code, and other names of files."""


def load_tokenizer(names: Collection[str], read: Callable[[str], bytes]) -> PreTrainedTokenizerBase:
    """`names` of the files that there are, `read` gives one. Of a class that transformers itself has.

    Raises DataError for a tokenizer that needs code of its own, or that transformers cannot load.
    """
    if TOKENIZER_CONFIG not in names:
        raise DataError(f"there is no {TOKENIZER_CONFIG}")
    config = _config(read(TOKENIZER_CONFIG))
    wanted = (FILES | _vocabulary_files(config)) & set(names)
    with private_folder("lowpeak-tokenizer-") as folder:
        for name in wanted:
            Path(folder, name).write_bytes(read(name))
        try:
            tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
        except BaseException as error:
            # Its files are of a dozen kinds; what the package in Rust raises is no Exception.
            if not isinstance(error, Exception) and not is_panic(error):
                raise
            raise DataError(f"transformers cannot load it: {type(error).__name__}: {error}") from error
    if not isinstance(tokenizer, PreTrainedTokenizerBase):
        raise DataError(f"a {type(tokenizer).__name__} is no tokenizer of transformers")
    return tokenizer


def is_panic(error: BaseException) -> bool:
    """Whether code in Rust gave up, for which pyo3 has an exception beside all others."""
    return type(error).__name__ == "PanicException"


def _config(data: bytes) -> dict[str, Any]:
    try:
        config = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{TOKENIZER_CONFIG} is not JSON: {error}") from error
    if not isinstance(config, dict):
        raise DataError(f"{TOKENIZER_CONFIG} is {json_type(config)}, not an object")
    for key in REFUSED_KEYS:
        if config.get(key):
            raise DataError(
                f"{TOKENIZER_CONFIG} has {key!r}: the tokenizer needs files or code of its own, which are "
                "not taken"
            )
    return config


def _vocabulary_files(config: dict[str, Any]) -> set[str]:
    """Names of the files of the config's class. Raises DataError when transformers has no such class."""
    name = config.get("tokenizer_class")
    if name is None:
        return set()
    tokenizer = None
    if isinstance(name, str) and name.isidentifier():
        try:
            tokenizer = tokenizer_class_from_name(name) or tokenizer_class_from_name(f"{name}Fast")
        except (ImportError, AttributeError):
            tokenizer = None
    if not isinstance(tokenizer, type) or not issubclass(tokenizer, PreTrainedTokenizerBase):
        raise DataError(f"the tokenizer is a {str(name)[:100]}, which this transformers does not have")
    names = getattr(tokenizer, "vocab_files_names", {}).values()
    return {each for each in names if isinstance(each, str)}
