"""Small tokenizers of the kinds that models have, trained here, and what each keeps of a text."""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache

from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast
from transformers.convert_slow_tokenizer import bytes_to_unicode

from tests.runtime_py.chat.templates import TOKENS

BOS, EOS, UNKNOWN = "<s>", "</s>", "<unk>"
SENTENCES = [
    "The train leaves at 7:42. Is this spam? Answer: yes",
    "is this spam: no, the ferns, grüße, naïve café 🌿 日本 a b c",
    "Question: could you remind me to call the dentist?\n\nAnswer: the train leaves  at 7:42",
]
SPECIAL = [UNKNOWN, BOS, EOS, *TOKENS]
_BYTES = {character: byte for byte, character in bytes_to_unicode().items()}


@dataclass(frozen=True)
class Kind:
    """A tokenizer, and what its tokens stand for."""

    tokenizer: PreTrainedTokenizerFast

    piece: Callable[[str], bytes]
    """What a token stands for."""

    kept: Callable[[str], bytes] = str.encode
    """What the tokenizer keeps of a text: some leave out spaces, capitals and accents."""

    def pieces(self, ids: Sequence[int]) -> list[bytes]:
        tokens = self.tokenizer.convert_ids_to_tokens(list(ids))
        return [token.encode() if token in SPECIAL else self.piece(token) for token in tokens]


def _fast(tokenizer: Tokenizer) -> PreTrainedTokenizerFast:
    tokenizer.add_special_tokens(SPECIAL)
    return PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=tokenizer, bos_token=BOS, eos_token=EOS, unk_token=UNKNOWN, pad_token=EOS
    )


def _byte_piece(token: str) -> bytes:
    return bytes(_BYTES[character] for character in token)


def _space_piece(token: str) -> bytes:
    """▁ for a space, and <0x0A> for a byte."""
    if token.startswith("<0x"):
        return bytes([int(token[3:5], 16)])
    return token.replace("▁", " ").encode()


def _byte_level(
    pre_tokenizer: pre_tokenizers.PreTokenizer, post_processor: processors.PostProcessor | None = None
) -> Kind:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizer
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=380, initial_alphabet=alphabet, show_progress=False)
    tokenizer.train_from_iterator(SENTENCES * 5, trainer)
    if post_processor is not None:
        tokenizer.post_processor = post_processor
    return Kind(_fast(tokenizer), _byte_piece)


def _gpt2() -> Kind:
    return _byte_level(
        pre_tokenizers.ByteLevel(add_prefix_space=False), processors.ByteLevel(trim_offsets=False)
    )


def _trimmed() -> Kind:
    """Offsets without the spaces of a token."""
    return _byte_level(
        pre_tokenizers.ByteLevel(add_prefix_space=False), processors.ByteLevel(trim_offsets=True)
    )


def _prefix_space() -> Kind:
    return _byte_level(
        pre_tokenizers.ByteLevel(add_prefix_space=True),
        processors.ByteLevel(add_prefix_space=True, trim_offsets=True),
    )


def _split_first() -> Kind:
    """Numbers of up to three digits, newlines with what is before: Llama 3, Qwen2."""
    pattern = Regex(r" ?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+")
    return _byte_level(
        pre_tokenizers.Sequence(
            [
                pre_tokenizers.Split(pattern, "isolated"),
                pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
            ]
        )
    )


def _with_bos() -> Kind:
    """A BOS before every text: Llama 3."""
    kind = _split_first()
    backend = kind.tokenizer.backend_tokenizer
    backend.post_processor = processors.TemplateProcessing(
        single=f"{BOS} $A", special_tokens=[(BOS, backend.token_to_id(BOS))]
    )
    return kind


def _sentencepiece(normalizer: normalizers.Normalizer) -> Kind:
    """BPE over the whole text, characters that it does not know in bytes."""
    trained = Tokenizer(models.BPE(unk_token=UNKNOWN))
    trained.normalizer = normalizer
    trained.pre_tokenizer = pre_tokenizers.Split(Regex(r"(?<=[^▁])(?=▁)"), "isolated")
    trainer = trainers.BpeTrainer(vocab_size=200, show_progress=False, special_tokens=[UNKNOWN])
    trained.train_from_iterator([sentence.replace("🌿", "") for sentence in SENTENCES] * 5, trainer)
    merges = [tuple(merge) for merge in _json(trained)["model"]["merges"]]
    vocab = trained.get_vocab()
    for byte in range(256):
        vocab[f"<0x{byte:02X}>"] = len(vocab)
    tokenizer = Tokenizer(models.BPE(vocab, merges, byte_fallback=True, fuse_unk=True, unk_token=UNKNOWN))
    tokenizer.normalizer = normalizer
    return Kind(_fast(tokenizer), _space_piece)


def _json(tokenizer: Tokenizer) -> dict[str, dict[str, list[str]]]:
    loaded: dict[str, dict[str, list[str]]] = json.loads(tokenizer.to_str())
    return loaded


def _llama2() -> Kind:
    """A dummy space before the text."""
    return _sentencepiece(normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")]))


def _gemma() -> Kind:
    return _sentencepiece(normalizers.Replace(" ", "▁"))


def _unigram(prepend_scheme: str) -> Kind:
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme=prepend_scheme)
    alphabet = sorted(set("".join(SENTENCES)) | {"▁"})
    trainer = trainers.UnigramTrainer(
        vocab_size=160,
        initial_alphabet=alphabet,
        unk_token=UNKNOWN,
        special_tokens=[UNKNOWN],
        show_progress=False,
    )
    tokenizer.train_from_iterator(SENTENCES * 5, trainer)
    return Kind(_fast(tokenizer), _space_piece)


def _metaspace_bpe() -> Kind:
    tokenizer = Tokenizer(models.BPE(unk_token=UNKNOWN))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first")
    trainer = trainers.BpeTrainer(vocab_size=200, special_tokens=[UNKNOWN], show_progress=False)
    tokenizer.train_from_iterator(SENTENCES * 5, trainer)
    return Kind(_fast(tokenizer), _space_piece)


def _wordpiece() -> Kind:
    tokenizer = Tokenizer(models.WordPiece(unk_token=UNKNOWN))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    trainer = trainers.WordPieceTrainer(vocab_size=300, special_tokens=[UNKNOWN], show_progress=False)
    # Every character, alone, first in a word and within one.
    words = sorted(set("".join(SENTENCES)))
    tokenizer.train_from_iterator([*SENTENCES * 5, *words, *("a" + word for word in words)], trainer)

    def kept(text: str) -> bytes:
        bare = unicodedata.normalize("NFD", text.lower())
        return "".join(c for c in bare if not c.isspace() and unicodedata.category(c) != "Mn").encode()

    return Kind(_fast(tokenizer), lambda token: token.removeprefix("##").encode(), kept)


def _characters() -> Kind:
    characters = sorted(set("".join(SENTENCES)))
    tokenizer = Tokenizer(models.WordLevel({c: i for i, c in enumerate([UNKNOWN, *characters])}, UNKNOWN))
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(r"[\s\S]"), "isolated")
    return Kind(_fast(tokenizer), str.encode)


KINDS: dict[str, Callable[[], Kind]] = {
    "byte BPE": _gpt2,
    "byte BPE, trimmed offsets": _trimmed,
    "byte BPE, prefix space": _prefix_space,
    "byte BPE, split first": _split_first,
    "byte BPE, BOS": _with_bos,
    "SentencePiece BPE, dummy prefix": _llama2,
    "SentencePiece BPE": _gemma,
    "Metaspace BPE": _metaspace_bpe,
    "Unigram, dummy prefix": lambda: _unigram("always"),
    "Unigram": lambda: _unigram("never"),
    "WordPiece": _wordpiece,
    "characters": _characters,
}


@cache
def kind(name: str) -> Kind:
    """Trained once; do not change its tokenizer."""
    return KINDS[name]()
