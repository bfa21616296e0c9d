"""Every field of a GGUF file that could change the model is read, neutral or refused."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from lowpeak_artifact.errors import ModelError
from lowpeak_compiler.frontend.model import gguf_config, gguf_fields
from lowpeak_compiler.frontend.model.gguf_config import read_config
from lowpeak_compiler.frontend.model.gguf_file import GgufFile
from tests.model.tiny import tiny_model, write_gguf


@pytest.fixture
def file(tmp_path: Path) -> GgufFile:
    write_gguf(tmp_path / "m.gguf", tiny_model(), {})
    return GgufFile(tmp_path / "m.gguf")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("rope.scale_linear", 4.0),
        ("rope.scaling.factor", 4.0),
        ("rope.scaling.attn_factor", 1.2),
        ("rope.scaling.yarn_log_multiplier", 0.1),
        ("rope.freq_base_swa", 10000.0),
        ("attention.scale", 0.0078125),
        ("attention.causal", False),
        ("attention.sliding_window", 64),
        ("attention.value_length", 8),
        ("attention.clamp_kqv", 8.0),
        ("attention.relative_buckets_count", 32),
        ("logit_scale", 0.0625),
        ("residual_scale", 0.22),
        ("embedding_scale", 12.0),
        ("expert_count", 8),
        ("expert_weights_scale", 2.5),
        ("use_parallel_residual", True),
        ("some.field.of.tomorrow", "yes"),
    ],
)
def test_a_field_with_an_effect_is_refused_by_name_and_value(file: GgufFile, field: str, value: Any) -> None:
    file.metadata[f"llama.{field}"] = value
    with pytest.raises(
        ModelError,
        match=re.escape(f"1 fields whose effect on the model is not implemented (llama.{field} = {value})"),
    ):
        read_config(file, None)


def test_a_list_where_a_number_is_expected_is_refused(file: GgufFile) -> None:
    file.lists["llama.rope.dimension_sections"] = 4
    with pytest.raises(ModelError, match=r"\(llama.rope.dimension_sections = a list\)"):
        read_config(file, None)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("rope.scale_linear", 1.0),
        ("rope.scaling.factor", 0.0),
        ("rope.scaling.attn_factor", 1.0),
        ("rope.scaling.original_context_length", 4096),
        ("attention.causal", True),
        ("attention.sliding_window", 128),
        ("attention.key_length", 16),
        ("logit_scale", 1.0),
        ("expert_count", 0),
        ("use_parallel_residual", False),
        ("vocab_size", 96),
    ],
)
def test_a_field_without_an_effect_changes_nothing(file: GgufFile, field: str, value: Any) -> None:
    before = read_config(file, None).to_dict()
    file.metadata[f"llama.{field}"] = value
    assert read_config(file, None).to_dict() == before


def test_rotary_dimensions_that_are_not_the_heads(file: GgufFile) -> None:
    file.metadata |= {"llama.rope.dimension_count": 8, "llama.attention.key_length": 16}
    with pytest.raises(ModelError, match="rotates 8 of the 16 dimensions of a head"):
        read_config(file, None)


def test_the_fields_that_are_read_are_those_of_gguf_config() -> None:
    source = Path(gguf_config.__file__).read_text()
    assert set(re.findall(r'(?:field|count|number)\("([\w.]+)"', source)) == gguf_fields.READ


def test_parts_of_a_model_and_files_that_are_none(file: GgufFile) -> None:
    file.metadata |= {"split.count": 3, "split.no": 0}
    with pytest.raises(ModelError, match="is part 1 of 3 of a split model: join the parts") as caught:
        read_config(file, None)
    assert caught.value.numbers == {"part": 1, "parts": 3}
    file.metadata["general.type"] = "adapter"
    with pytest.raises(ModelError, match="holds no model but a GGUF of type adapter"):
        read_config(file, None)
