"""A tiny checkpoint folder with a tokenizer of single characters, and data for it."""

from __future__ import annotations

from pathlib import Path

from tokenizers import Tokenizer, models
from transformers import PreTrainedTokenizerFast

from tests.model.tiny import tiny_model

SEQ_LEN = 16
LINES = '{"text": "hello world"}\n{"text": "the quick brown fox"}\n'


def save_checkpoint(folder: Path, tokenizer: bool = True, nan: bool = False) -> Path:
    """One layer; `nan` spoils a weight."""
    model = tiny_model(num_hidden_layers=1)
    if nan:
        model.get_parameter("model.layers.0.mlp.up_proj.weight").data[3, 5] = float("nan")
    model.save_pretrained(folder)
    if tokenizer:
        characters = {chr(code): index for index, code in enumerate(range(32, 127))}
        backend = Tokenizer(models.BPE(vocab={**characters, "<pad>": 95}, merges=[], unk_token="<pad>"))
        fast = PreTrainedTokenizerFast(tokenizer_object=backend, pad_token="<pad>", eos_token="<pad>")
        fast.save_pretrained(folder)
    return folder


def save_data(path: Path, text: str = LINES) -> Path:
    path.write_text(text, encoding="utf-8")
    return path
