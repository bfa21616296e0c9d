"""The fingerprint of a run's options: the same in Python and C++, and of every option."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from lowpeak_runtime.train.fingerprint import fingerprint, option_fields
from lowpeak_runtime.train.optimizer import OptimizerOptions

CASES = json.loads((Path(__file__).resolve().parents[1] / "fingerprints.json").read_text())
"""What tests/native/unit/fingerprint_test.cpp compares as well."""


@pytest.mark.parametrize("case", CASES, ids=range(len(CASES)))
def test_fingerprints_are_those_that_cpp_gives(case: dict[str, Any]) -> None:
    assert fingerprint(option_fields(case["options"])) == case["fingerprint"]


def test_it_is_the_hash_of_sorted_lines() -> None:
    text = (
        "accumulate=1\nalgorithm=adamw\nbeta1=0.9\nbeta2=0.999\nclip_norm=none\nepsilon=1e-08\n"
        "learning_rate=0.0002\nmomentum=0.0\nschedule=constant\nwarmup_steps=0\nweight_decay=0.0\n"
    )
    assert CASES[0]["fingerprint"] == hashlib.sha256(text.encode()).hexdigest()


def test_every_option_counts() -> None:
    def of(**changed: Any) -> str:
        known = {**dataclasses.asdict(OptimizerOptions()), "accumulate": 1, "total_steps": 10, **changed}
        return fingerprint(option_fields(known))

    other: dict[str, Any] = {
        "algorithm": "sgd", "learning_rate": 1.0, "weight_decay": 0.5, "betas": (0.5, 0.999), "epsilon": 1.0,
        "momentum": 0.5, "clip_norm": 1.0, "warmup_steps": 1, "schedule": "cosine",
    }  # fmt: skip
    assert other.keys() == {field.name for field in dataclasses.fields(OptimizerOptions)}
    changed = [of(**{name: value}) for name, value in {**other, "accumulate": 2}.items()]
    assert len({of(), of(betas=(0.9, 0.5)), *changed}) == 2 + len(changed)
    assert of(total_steps=11) == of()
    assert of(schedule="cosine", total_steps=11) != of(schedule="cosine")


@pytest.mark.parametrize(
    "wrong", [{}, {**CASES[0]["options"], "betas": [1]}, {**CASES[0]["options"], "epsilon": "x"}]
)
def test_what_are_no_options_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises((KeyError, TypeError, ValueError)):
        option_fields(wrong)
