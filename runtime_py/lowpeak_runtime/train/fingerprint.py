"""What later steps of a run depend on beside artifact, data and seed: its options, and their fingerprint.

    accumulate=1
    algorithm=adamw
    ...
    weight_decay=0.01

The fingerprint is the SHA-256 of a line `name=value` for each field, sorted by name, each line ended by a
newline. A value is a text as it is, a count in decimal digits, or a number: the shortest decimal that is read
back as the same float64, written as Python's repr writes it. `clip_norm` may be `none`; `total_steps` is a
field only where the schedule has an end. native/trainer/fingerprint.h has the same, and
tests/fingerprints.json what both must give; docs/recovery.md describes it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

_TEXTS = ("algorithm", "schedule")
_COUNTS = ("accumulate", "warmup_steps")
_NUMBERS = ("beta1", "beta2", "epsilon", "learning_rate", "momentum", "weight_decay")


def option_fields(options: Mapping[str, Any]) -> dict[str, str]:
    """The fields of a run's options, sorted: those of `OptimizerOptions`, `accumulate` and `total_steps`.

    Raises KeyError, TypeError or ValueError for what are no options.
    """
    beta1, beta2 = options["betas"]
    known = {**options, "beta1": beta1, "beta2": beta2}
    counts = _COUNTS if known["schedule"] == "constant" else (*_COUNTS, "total_steps")
    clip_norm = known["clip_norm"]
    fields = {
        **{name: str(known[name]) for name in _TEXTS},
        **{name: str(int(known[name])) for name in counts},
        **{name: repr(float(known[name])) for name in _NUMBERS},
        "clip_norm": "none" if clip_norm is None else repr(float(clip_norm)),
    }
    return dict(sorted(fields.items()))


def fingerprint(fields: Mapping[str, str]) -> str:
    """64 hexadecimal digits."""
    lines = "".join(f"{name}={value}\n" for name, value in sorted(fields.items()))
    return hashlib.sha256(lines.encode()).hexdigest()
