"""Tokenizers configured as those of the families that people train, trained here on a few texts, and strings
to try them on."""

from __future__ import annotations

import json
import random
import unicodedata
from collections.abc import Callable, Iterator
from functools import cache, wraps
from pathlib import Path

from tokenizers import (
    AddedToken,
    Regex,
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    processors,
    trainers,
)

BOS, EOS = "<|begin_of_text|>", "<|end_of_text|>"
MARKS = ["<|im_start|>", "<|im_end|>"]
_GPT4_CASES = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+"
_LLAMA3 = _GPT4_CASES + r"|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
_QWEN2 = _GPT4_CASES + r"|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
_QWEN35 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
_O200K = (
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
    r"|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
    r"|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
_DEEPSEEK = (
    r"[!\"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+"
    r"| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)


def _trained_once(make: Callable[[], Tokenizer]) -> Callable[[], Tokenizer]:
    text = cache(lambda: make().to_str())

    @wraps(make)
    def made() -> Tokenizer:
        return Tokenizer.from_str(text())

    return made


@cache
def _corpus() -> list[str]:
    root = Path(__file__).resolve().parents[2]
    files = [*sorted((root / "docs").glob("*.md"))[:6], Path(__file__)]
    letters = [
        "naïve café grüße",
        "日本語のテキスト 中文字符",
        "привет мир",
        "مرحبا",
        "e\u0301 a\u0308",
        "👩‍👩‍👧 🇩🇪 ☃",
    ]
    return [*"".join(file.read_text("utf-8") for file in files).splitlines(True), *letters * 20]


def _of_bytes(*before: pre_tokenizers.PreTokenizer, regex: bool = False, **model: bool) -> Tokenizer:
    tokenizer = Tokenizer(models.BPE(**model))
    of_bytes = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=regex)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([*before, of_bytes]) if before else of_bytes
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=2000, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False
    )
    tokenizer.train_from_iterator(_corpus(), trainer)
    tokenizer.add_special_tokens([BOS, EOS, *MARKS])
    return tokenizer


def _split(pattern: str) -> pre_tokenizers.PreTokenizer:
    return pre_tokenizers.Split(Regex(pattern), "isolated")


@_trained_once
def gpt2() -> Tokenizer:
    tokenizer = _of_bytes(regex=True)
    tokenizer.post_processor = processors.ByteLevel(trim_offsets=True)
    return tokenizer


@_trained_once
def smollm2() -> Tokenizer:
    return _of_bytes(pre_tokenizers.Digits(individual_digits=True), regex=True)


@_trained_once
def llama3() -> Tokenizer:
    tokenizer = _of_bytes(_split(_LLAMA3), ignore_merges=True)
    bos = tokenizer.token_to_id(BOS)
    tokenizer.post_processor = processors.Sequence(
        [
            processors.ByteLevel(trim_offsets=True),
            processors.TemplateProcessing(single=f"{BOS} $A", special_tokens=[(BOS, bos)]),
        ]
    )
    return tokenizer


@_trained_once
def qwen() -> Tokenizer:
    tokenizer = _of_bytes(_split(_QWEN2))
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.post_processor = processors.ByteLevel(trim_offsets=False)
    tokenizer.add_tokens(
        [AddedToken(each, normalized=False) for each in ("<tool_call>", "</tool_call>", "<think>")]
    )
    return tokenizer


@_trained_once
def qwen35() -> Tokenizer:
    tokenizer = _of_bytes(_split(_QWEN35))
    tokenizer.normalizer = normalizers.NFC()
    return tokenizer


@_trained_once
def gpt_oss() -> Tokenizer:
    return _of_bytes(_split(_O200K), ignore_merges=True)


@_trained_once
def deepseek() -> Tokenizer:
    numbers, cjk = _split(r"\p{N}{1,3}"), _split(r"[\u4e00-\u9fa5\u3040-\u309f\u30a0-\u30ff]+")
    return _of_bytes(numbers, cjk, _split(_DEEPSEEK))


@_trained_once
def prefix_space() -> Tokenizer:
    """RoBERTa's, with added tokens of every kind."""
    tokenizer = _of_bytes(regex=True)
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    tokenizer.post_processor = processors.ByteLevel(add_prefix_space=True, trim_offsets=True)
    tokenizer.add_tokens(
        [
            AddedToken("<mask>", lstrip=True, normalized=False),
            AddedToken("[word]", rstrip=True, normalized=False),
            AddedToken("the", single_word=True),
            AddedToken("the train"),
        ]
    )
    return tokenizer


@cache
def _characters() -> tuple[dict[str, int], list[tuple[str, str]]]:
    """A vocabulary of characters and bytes, spaces as ▁."""
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>"))
    tokenizer.normalizer = normalizers.Replace(" ", "▁")
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(r"(?<=[^▁])(?=▁)"), "isolated")
    trainer = trainers.BpeTrainer(
        vocab_size=1500, special_tokens=["<unk>", "<s>", "</s>"], show_progress=False
    )
    tokenizer.train_from_iterator([text.replace("☃", "") for text in _corpus()], trainer)
    merges = [tuple(merge) for merge in json.loads(tokenizer.to_str())["model"]["merges"]]
    vocabulary = tokenizer.get_vocab()
    for byte in range(256):
        vocabulary[f"<0x{byte:02X}>"] = len(vocabulary)
    return vocabulary, merges


def _of_characters(*, fallback: bool = True) -> Tokenizer:
    vocabulary, merges = _characters()
    tokenizer = Tokenizer(
        models.BPE(dict(vocabulary), list(merges), byte_fallback=fallback, fuse_unk=True, unk_token="<unk>")
    )
    steps = [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()]
    tokenizer.decoder = decoders.Sequence(steps)
    tokenizer.add_special_tokens(["<unk>", "<s>", "</s>", *MARKS])
    bos = tokenizer.token_to_id("<s>")
    tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", bos)])
    return tokenizer


@_trained_once
def llama2() -> Tokenizer:
    tokenizer = _of_characters()
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    steps = [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    tokenizer.decoder = decoders.Sequence(steps)
    return tokenizer


@_trained_once
def mistral() -> Tokenizer:
    tokenizer = _of_characters()
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first", split=False)
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    return tokenizer


@_trained_once
def metaspace() -> Tokenizer:
    """Words, and characters that are unknown together."""
    tokenizer = _of_characters(fallback=False)
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always", split=True)
    tokenizer.decoder = decoders.Metaspace(prepend_scheme="always")
    return tokenizer


@_trained_once
def gemma() -> Tokenizer:
    tokenizer = _of_characters()
    tokenizer.normalizer = normalizers.Replace(" ", "▁")
    tokenizer.pre_tokenizer = pre_tokenizers.Split(" ", "merged_with_previous")
    tokenizer.add_tokens(
        [AddedToken(each, normalized=False) for each in ("\n\n", "\n\n\n", "\t\t", "▁▁", "<b>")]
    )
    return tokenizer


FAMILIES: dict[str, Callable[[], Tokenizer]] = {
    made.__name__: made
    for made in (
        *(gpt2, smollm2, llama3, qwen, qwen35, gpt_oss, deepseek, prefix_space),
        *(llama2, mistral, metaspace, gemma),
    )
}


def strings(count: int, seed: int) -> Iterator[str]:
    """Text of all kinds, mixed: words, code, scripts, emoji, whitespace, marks, look-alikes of added tokens,
    control characters, and any character at all.
    """
    chance = random.Random(seed)
    lines = [line for line in _corpus() if line.strip()]
    spaces = [
        " ",
        "  ",
        "\t",
        "\n",
        "\r\n",
        "\n\n",
        "\u00a0",
        "\u2003",
        "\u3000",
        "\u200b",
        "\x85",
        "\x1c",
        "▁",
    ]
    looks = [
        *MARKS,
        BOS,
        EOS,
        "<s>",
        "</s>",
        "<unk>",
        "<|im_start",
        "im_end|>",
        "<tool_call>",
        "<b>",
        "<mask>",
    ]
    looks += ["[word]", "the train", "the", "there", "▁▁", "\n\n\n\n", "<0x0A>", "<0x", "Ġ", "ĠĠ"]
    emoji = ["👩‍👩‍👧", "🇩🇪", "☃", "👍🏽", "🏴‍☠️", "\u200d", "\ufe0f"]
    endings = ["'s", "'T", "'re", "'LL", "'\u017f", "don't", "I'VE", "1234567", "³", "½", "٣٤", "Ⅻ", "一二三"]

    def character(low: int, high: int) -> str:
        code = chance.randrange(low, high)
        return "\ufffd" if 0xD800 <= code < 0xE000 else chr(code)

    def part() -> str:
        kind = chance.randrange(12)
        if kind < 3:
            line = chance.choice(lines)
            start = chance.randrange(len(line))
            return line[start : start + chance.randrange(1, 60)]
        if kind == 3:
            return "".join(chance.choice(spaces) for _ in range(chance.randrange(1, 6)))
        if kind == 4:
            return chance.choice(looks)
        if kind == 5:
            return chance.choice(emoji)
        if kind == 6:
            return chance.choice(endings)
        if kind == 7:
            return "".join(character(0x4E00, 0xA000) for _ in range(chance.randrange(1, 9)))
        if kind == 8:
            base = unicodedata.normalize("NFD", "".join(character(0xC0, 0x250) for _ in range(4)))
            return base + "".join(character(0x300, 0x370) for _ in range(chance.randrange(4)))
        if kind == 9:
            return "".join(character(*chance.choice(_BLOCKS)) for _ in range(chance.randrange(1, 6)))
        if kind == 10:
            return character(0, 0x110000)
        return chance.choice("abcXYZ_-+=(){}[]\"'\\/.,;:!?#$%&*<>|~`@^0123456789") * chance.randrange(1, 30)

    for _ in range(count):
        yield "".join(part() for _ in range(chance.randrange(1, 12)))


_BLOCKS = [
    *((0x00, 0x80), (0x370, 0x400), (0x400, 0x530), (0x590, 0x700), (0x900, 0xE00), (0x1100, 0x1200)),
    *(
        (0x1E00, 0x2070),
        (0x2100, 0x2400),
        (0x3040, 0x3100),
        (0xAC00, 0xD7A4),
        (0xF900, 0xFB00),
        (0x1D100, 0x1D800),
    ),
    (0x1F300, 0x1FA00),
]
