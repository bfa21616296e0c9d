"""Numbers and names that Python and C++ both hold: what the planner counts of the kernels, limits of formats.

The planner works without a compiler, and lowpeak-runner without Python, so each has its own. They are
compared here: constants as the sources of native/ have them, scratch memory as the kernels ask for it.
"""

from __future__ import annotations

import ctypes
import re
from typing import Any

import pytest
import torch

from lowpeak_artifact import batch_checks, manifest, manifest_checks, safetensors_header
from lowpeak_compiler.budget import targets
from lowpeak_compiler.passes.apply import offload
from lowpeak_compiler.plan import timeline
from lowpeak_runtime.data import labels
from lowpeak_runtime.train import checkpoint_format, feed, stop
from tests.native.build import SOURCES
from tests.native.linear import available_isas, library

LOWPEAK = targets.EXECUTORCH_LOWPEAK
LOSS = torch.ops.lowpeak.quantized_linear_cross_entropy.default
WORKERS = 4

_DECLARED = re.compile(r"constexpr ([^;]*);|enum class \w+ \{([^}]*)\}")
_CONSTANT = re.compile(r'\b(k[A-Z]\w*|stopped)(?:\[\])? = ("(?:\\.|[^"\\])*"|[^,;"]+)')
_CAST = re.compile(r"(?:std::\w+|static_cast<[\w:]+>)(?=[({])")


def constants(file: str) -> dict[str, Any]:
    """The constants of a source of native/ whose values are numbers or texts."""
    text = re.sub(r"//.*", "", (SOURCES / file).read_text())
    found: dict[str, Any] = {}
    for of_a_kind in _DECLARED.findall(text):
        for name, value in _CONSTANT.findall("".join(of_a_kind)):
            plain = value
            if not value.startswith('"'):
                plain = _CAST.sub("", value).replace("{", "(").replace("}", ")").replace("'", "")
            try:
                found[name] = eval(plain, {"__builtins__": {}}, found)
            except (NameError, SyntaxError, TypeError):
                continue
    return found


@pytest.mark.parametrize(
    ("file", "name", "ours"),
    [
        # What the planner counts of the kernels.
        ("kernels/loss/cross_entropy.cpp", "kBlockVocabulary", LOWPEAK.rows_at_a_time[LOSS]),
        ("executorch/thread_pool.h", "kMaxWorkers", WORKERS),
        ("executorch/offload_file.cpp", "kPageBytes", offload.PAGE_BYTES),
        ("executorch/pages.cpp", "kBlockBytes", targets.MAPPED_AROUND_BYTES // 2),
        ("trainer/plan_check.h", "kConstantAlignment", LOWPEAK.alignment),
        # Formats and their limits.
        ("trainer/checkpoint_format.cpp", "kFormat", checkpoint_format.FORMAT),
        ("trainer/checkpoint_format.cpp", "kOptionsAsText", checkpoint_format.OPTIONS_AS_TEXT),
        ("trainer/checkpoint_format.cpp", "kChecksum", checkpoint_format.CHECKSUM),
        ("trainer/checkpoint_format.cpp", "kDigits", len(checkpoint_format.NO_CHECKSUM)),
        ("trainer/checkpoint_format.cpp", "kMost", checkpoint_format.MOST),
        ("trainer/checkpoint_format.cpp", "kMostHeaderBytes", safetensors_header.MOST_HEADER_BYTES),
        ("trainer/checkpoint_format.cpp", "kLengthBytes", safetensors_header.LENGTH_BYTES),
        ("trainer/files.h", "kMostText", manifest.MOST_BYTES),
        ("trainer/manifest.cpp", "kSchemaVersion", manifest.SCHEMA_VERSION),
        ("trainer/manifest.cpp", "kMost", manifest_checks.MOST_ELEMENTS),
        ("trainer/batch_weight.cpp", "kNoLabel", batch_checks.IGNORE_INDEX),
        ("encode/example.h", "kNoLoss", labels.NO_LOSS),
        ("encode/batch_files.cpp", "kFileBytes", feed.FILE_BYTES),
        ("runner/verbs.h", "stopped", stop.STOPPED),
    ],
)
def test_both_hold_the_same(file: str, name: str, ours: object) -> None:
    assert constants(file)[name] == ours


def test_what_waits_to_be_written() -> None:
    cpp = constants("executorch/offload_file.h")
    assert cpp["kPieceBytes"] * cpp["kPieces"] == timeline.BUFFERED_BYTES
    assert _is_just_above(targets.OFFLOAD_BUFFER_BYTES, timeline.BUFFERED_BYTES)


def test_scratch_of_the_loss() -> None:
    measure = library().lowpeak_linear_cross_entropy_scratch_bytes
    assert _is_just_above(targets.KERNEL_SCRATCH_BYTES, measure(WORKERS))


@pytest.mark.parametrize("dim", [64, 128])
def test_scratch_of_attention(dim: int) -> None:
    measure = library().lowpeak_attention_backward_scratch_bytes
    measure.restype = ctypes.c_int64
    shape = (ctypes.c_int64 * 5)(1, 1, dim, 0, 1)
    assert all(measure(shape, WORKERS, isa) <= LOWPEAK.attention_scratch_bytes for isa in available_isas())
    assert LOWPEAK.attention_scratch_bytes <= targets.KERNEL_SCRATCH_BYTES


def _is_just_above(planned: int, asked_for: int) -> bool:
    return asked_for <= planned <= 1.01 * asked_for
