"""Counts, lengths and places of a GGUF file that its bytes do not bear out, and numbers that no model has."""

from __future__ import annotations

import json
import struct
import time
from pathlib import Path
from typing import Any

import pytest

from lowpeak_artifact.errors import ModelError
from lowpeak_compiler.frontend.model.gguf import GgufWeights
from lowpeak_compiler.frontend.model.gguf_config import read_config
from lowpeak_compiler.frontend.model.gguf_file import MOST_ITEMS, GgufFile
from lowpeak_compiler.frontend.model.source import open_model
from tests.model.tiny import tiny_model, write_gguf

U8, U32, STRING, ARRAY, U64 = 0, 4, 8, 9, 10
F32 = 0


def text(value: str | bytes) -> bytes:
    raw = value.encode() if isinstance(value, str) else value
    return struct.pack("<Q", len(raw)) + raw


def field(key: str | bytes, kind: int, value: bytes) -> bytes:
    return text(key) + struct.pack("<I", kind) + value


def array(kind: int, count: int, items: bytes = b"") -> bytes:
    return struct.pack("<IQ", kind, count) + items


def tensor(name: str, *dimensions: int, kind: int = F32, offset: int = 0) -> bytes:
    sizes = struct.pack(f"<I{len(dimensions)}Q", len(dimensions), *dimensions)
    return text(name) + sizes + struct.pack("<IQ", kind, offset)


def write(
    path: Path, fields: list[bytes], tensors: list[bytes], counts: tuple[int, int] | None = None
) -> Path:
    tensor_count, field_count = counts or (len(tensors), len(fields))
    header = b"GGUF" + struct.pack("<IQQ", 3, tensor_count, field_count) + b"".join(fields + tensors)
    path.write_bytes(header + bytes(-len(header) % 32) + bytes(128))
    return path


def test_a_file_of_this_kind_is_read(tmp_path: Path) -> None:
    fields = [
        field("general.alignment", U32, struct.pack("<I", 64)),
        field("a", ARRAY, array(ARRAY, 2, array(U8, 3, b"abc") + array(STRING, 1, text("x")))),
        field("b", STRING, text("x" * 70_000)),
        field("c", STRING, text("x")),
    ]
    file = GgufFile(write(tmp_path / "m.gguf", fields, [tensor("x", 4), tensor("y", 4, offset=64)]))
    assert file.lists == {"a": 2, "b": 0}
    assert file.metadata == {"general.alignment": 64, "c": "x"}
    assert file.tensors["y"].offset - file.tensors["x"].offset == 64


@pytest.mark.parametrize(
    ("fields", "tensors", "counts", "message"),
    [
        ([], [], (2**62, 0), "has 4611686018427387904 tensors: there is room for"),
        ([], [], (0, 2**62), "has 4611686018427387904 fields: there is room for"),
        ([field("a", STRING, struct.pack("<Q", 2**63))], [], None, "ends at byte .* within its header"),
        ([struct.pack("<Q", 2**40)], [], None, "the name of a field has 1099511627776 bytes, not 1 to"),
        ([field("a", ARRAY, array(U8, 2**62))], [], None, "items in a: there is room for"),
        ([field("a", ARRAY, array(STRING, 2**40))], [], None, "items in a: there is room for"),
        ([field("a", ARRAY, array(ARRAY, 2**40))], [], None, "items in a: there is room for"),
        ([field("a", ARRAY, array(ARRAY, 1) * 8)], [], None, "field a has lists in lists, over 4 deep"),
        ([field("a", ARRAY, array(99, 1))], [], None, "field a is a list of the unknown type 99"),
        ([field("a", 99, b"")], [], None, "field a has the unknown type 99"),
        ([field("a", U8, b"1"), field("a", U8, b"1")], [], None, "has the field a twice"),
        ([field(b"\xff", U8, b"1")], [], None, "the name of a field is no UTF-8 text"),
        ([field("a", STRING, text(b"\xff"))], [], None, "its field a is no UTF-8 text"),
        ([field("a\x1b[2J", U8, b"1")], [], None, "has characters that cannot be printed"),
        ([], [tensor("x", 4), tensor("x", 4, offset=32)], None, "has the tensor x twice"),
        ([], [tensor("x", 8), tensor("y", 8, offset=0)], None, "y begins at byte .*, within x"),
        ([], [tensor("x", 4, offset=4)], None, "x begins at byte 4, which is no multiple of 32"),
        ([], [tensor("x", 400)], None, "cut short: x ends at byte"),
        ([], [tensor("x", 2**62, 2**62, 2**62, 2**62)], None, "cut short: x ends at byte"),
        ([], [tensor("x", 4, offset=2**62)], None, "cut short: x ends at byte"),
        ([], [tensor("x", 4, 0)], None, r"x has the shape \[0, 4\]: it is empty"),
        ([], [tensor("x")], None, "x has 0 dimensions, not 1 to 4"),
        ([], [tensor("x", *[1] * 5)], None, "x has 5 dimensions, not 1 to 4"),
        ([], [tensor("x", 4, kind=999)], None, "its tensor x: 999 is not a valid GGMLQuantizationType"),
        ([], [tensor("x", 31, kind=2)], None, "its tensor x: "),
        *(
            ([field("general.alignment", kind, value)], [], None, "its general.alignment is")
            for kind, value in (
                (U32, struct.pack("<I", 0)), (U32, struct.pack("<I", 24)), (U64, struct.pack("<Q", 2**40)),
                (STRING, text("32")), (7, b"\1"), (6, struct.pack("<f", 32)),
            )
        ),
    ],
)  # fmt: skip
def test_containers_that_are_refused(
    tmp_path: Path, fields: list[bytes], tensors: list[bytes], counts: tuple[int, int], message: str
) -> None:
    with pytest.raises(ModelError, match=message):
        GgufFile(write(tmp_path / "m.gguf", fields, tensors, counts))


def test_more_items_than_any_vocabulary_has_take_no_time(tmp_path: Path) -> None:
    path = tmp_path / "m.gguf"
    many = field("a", ARRAY, array(STRING, MOST_ITEMS // 2 + 1, bytes(8 * (MOST_ITEMS // 2 + 1))))
    started = time.monotonic()
    with pytest.raises(ModelError, match="items in b: there is room for"):
        GgufFile(write(path, [many, many.replace(text("a"), text("b"), 1)], []))
    assert time.monotonic() - started < 20


@pytest.fixture
def file(tmp_path: Path) -> GgufFile:
    write_gguf(tmp_path / "m.gguf", tiny_model(), {})
    return GgufFile(tmp_path / "m.gguf")


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        (
            "llama.block_count",
            10**6,
            r"1000000 layers \(llama.block_count\) but has tensors of 2",
        ),
        ("llama.block_count", True, "block_count = True: it must be a positive whole number"),
        ("llama.block_count", "2", "block_count = 2: it must be a positive whole number"),
        ("llama.context_length", 10**12, "context_length = 1000000000000: it must be at most 16777216"),
        ("llama.embedding_length", 128, r"embedding_length = 128: it must be that of token_embd.weight"),
        ("llama.feed_forward_length", 10**9, "feed_forward_length = 1000000000: it must be at most"),
        (
            "llama.feed_forward_length",
            64,
            "feed_forward_length = 64: it must be that of blk.0.ffn_gate",
        ),
        ("llama.attention.head_count", 8, "head_count_kv = 2: it must be that of blk.0.attn_k.weight"),
        ("llama.attention.head_count_kv", 4, "head_count_kv = 4: it must be that of blk.0.attn_k.weight"),
        ("llama.attention.layer_norm_rms_epsilon", 0.0, "rms_epsilon = 0.0: it must be over 0 and below 1"),
        ("llama.attention.layer_norm_rms_epsilon", float("nan"), "rms_epsilon = nan: it must be over 0"),
        ("llama.attention.layer_norm_rms_epsilon", "1e-5", "rms_epsilon = 1e-5: it must be over 0"),
        ("llama.rope.freq_base", float("nan"), "freq_base = nan: it must be a positive number"),
        ("llama.rope.freq_base", float("inf"), "freq_base = inf: it must be a positive number"),
        ("llama.rope.freq_base", "x", "freq_base = x: it must be a positive number"),
        ("tokenizer.ggml.bos_token_id", "x", "bos_token_id = x: it must be a token's number"),
        ("tokenizer.ggml.bos_token_id", -1, "bos_token_id = -1: it must be a token's number"),
        ("split.no", "x", "split.count"),
    ],
)
def test_numbers_that_are_refused(file: GgufFile, key: str, value: Any, message: str) -> None:
    file.metadata[key] = value
    if key == "split.no":
        file.metadata["split.count"] = 2
        message = "is part 1 of 2"
    with pytest.raises(ModelError, match=message) as caught:
        read_config(file, None)
    assert str(file.path) in str(caught.value)


def test_a_vocabulary_out_of_proportion(file: GgufFile) -> None:
    file.lists["tokenizer.ggml.tokens"] = 3_000_000
    with pytest.raises(ModelError, match=r"3000000 items in tokenizer.ggml.tokens, but an embedding of 96"):
        read_config(file, None)


def test_a_layer_is_missing_in_the_middle(tmp_path: Path) -> None:
    write_gguf(tmp_path / "m.gguf", tiny_model(num_hidden_layers=3), {})
    whole = (tmp_path / "m.gguf").read_bytes()
    (tmp_path / "m.gguf").write_bytes(whole.replace(b"blk.1.attn_norm", b"blk.9.attn_norm"))
    with pytest.raises(ModelError, match=r"no tensor model.layers.1.input_layernorm.weight"):
        open_model(tmp_path / "m.gguf")


def test_a_scale_that_is_no_number(tmp_path: Path) -> None:
    import gguf

    kind = gguf.GGMLQuantizationType.Q8_0
    write_gguf(tmp_path / "m.gguf", tiny_model(), {"attn_v.weight": kind})
    place = GgufFile(tmp_path / "m.gguf").tensors["blk.0.attn_v.weight"].offset
    content = bytearray((tmp_path / "m.gguf").read_bytes())
    content[place : place + 2] = struct.pack("<H", 0x7E00)
    (tmp_path / "m.gguf").write_bytes(content)
    weights = GgufWeights(GgufFile(tmp_path / "m.gguf"))
    with pytest.raises(ModelError, match=r"scales of model.layers.0.self_attn.v_proj.weight has 1 NaN"):
        weights.dense("model.layers.0.self_attn.v_proj.weight")


def test_the_tokenizer_of_a_file_is_not_that_of_its_neighbours(tmp_path: Path) -> None:
    words = ["ab", "<s>", "</s>", *(chr(97 + index) for index in range(26))]
    vocabulary = [*words, *(f"x{index}" for index in range(96 - len(words)))]
    write_gguf(tmp_path / "m.gguf", tiny_model(), {}, vocabulary=vocabulary)
    expected = open_model(tmp_path / "m.gguf").load_tokenizer()
    assert expected.chat_template is None
    (tmp_path / "chat_template.jinja").write_text("{{ 'of another model' }}")
    settings = {"auto_map": {"AutoTokenizer": ["own.Own", None]}}
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(settings))
    again = open_model(tmp_path / "m.gguf").load_tokenizer()
    assert again.chat_template is None and again("abc")["input_ids"] == expected("abc")["input_ids"]
