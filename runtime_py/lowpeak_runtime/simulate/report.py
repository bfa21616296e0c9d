"""What a simulation found: figures with stable names for tools, and a picture of the memory for people."""

from __future__ import annotations

import itertools
import json
import math
from dataclasses import dataclass
from typing import Any

from lowpeak_runtime.simulate.execute import TimelineStep

BARS = " ▁▂▃▄▅▆▇█"
TOLERANCE = 1e-5
"""What the passes leave of float32: the relative error of the loss."""
GRADIENTS = 100
"""Times as much, of gradients."""
LEAST = 1e-6
"""Of a loss near 0: float32 has no more digits of a sum of numbers around 1."""


@dataclass(frozen=True)
class SimulationReport:
    """Peaks, in bytes, are all that is resident because of the step: arena, optimizer state, weights,
    runtime.

    Figures of the reference are None when there was none. A gradient's error is relative to the larger of
    the two.
    """

    planned_peak_bytes: int
    simulated_peak_bytes: int
    loss: float
    reference_loss: float | None
    loss_relative_error: float | None
    gradient_cosine_min: float | None
    gradient_relative_error_max: float | None
    reference: str | None
    """Whose loss and gradients they are, in words."""
    predicted_step_seconds: float
    timeline: tuple[TimelineStep, ...]
    manifest_sha256: str
    """Of the artifact."""
    exact: bool = True
    """The loss is the reference's own; False for a softmax subset, which approximates it."""

    def problem(self, tolerance: float = TOLERANCE) -> str | None:
        """What is wrong with the step, in words: a value that is not finite, or a difference from the
        reference that rounding does not explain. None if nothing is.

        `tolerance`: the largest relative error of the loss; gradients may have GRADIENTS times as much, for
        rounding adds up on the way back. An approximate loss is not compared.
        """
        figures = (self.loss, self.gradient_cosine_min, self.gradient_relative_error_max)
        if not all(math.isfinite(value) for value in figures if value is not None):
            return f"the step gives values that are not finite: loss {self.loss}{self._gradients_in_words()}"
        if not self.exact or self.reference_loss is None:
            return None
        apart = abs(self.loss - self.reference_loss)
        # Also true where the reference is not finite.
        if not apart <= max(tolerance * abs(self.reference_loss), LEAST):
            return (
                f"the loss is {self.loss:.9g}, the reference's {self.reference_loss:.9g}: relative error "
                f"{self.loss_relative_error:.1e}, of rounding it would be at most {tolerance:.1e}"
            )
        error = self.gradient_relative_error_max
        if error is not None and error > GRADIENTS * tolerance:
            return (
                f"the gradients differ from the reference's{self._gradients_in_words()}, of rounding at most "
                f"{GRADIENTS * tolerance:.1e}"
            )
        return None

    def _gradients_in_words(self) -> str:
        if self.gradient_relative_error_max is None:
            return ""
        cosine, error = self.gradient_cosine_min, self.gradient_relative_error_max
        return f", gradients' cosine at least {cosine:.8f}, relative error at most {error:.1e}"

    @property
    def peak(self) -> TimelineStep:
        """The operation with the most live bytes."""
        return max(self.timeline, key=lambda step: step.live_bytes)

    @property
    def by_category(self) -> dict[str, int]:
        """Bytes of live values at the peak."""
        return self.peak.live

    def to_json(self) -> str:
        """The figures and `by_category`. What is not finite is a string: JSON has no NaN."""
        figures: dict[str, Any] = {
            "manifest_sha256": self.manifest_sha256,
            "planned_peak_bytes": self.planned_peak_bytes,
            "simulated_peak_bytes": self.simulated_peak_bytes,
            "loss": _finite(self.loss),
            "reference_loss": _finite(self.reference_loss),
            "loss_relative_error": _finite(self.loss_relative_error),
            "gradient_cosine_min": _finite(self.gradient_cosine_min),
            "gradient_relative_error_max": _finite(self.gradient_relative_error_max),
            "reference": self.reference,
            "predicted_step_seconds": _finite(self.predicted_step_seconds),
            "by_category": self.by_category,
        }
        return json.dumps(figures, indent=1, allow_nan=False)

    def to_text(self, columns: int = 72) -> str:
        """A line for each figure, and for each category a strip of its live bytes over the step."""
        lines = [
            f"peak      planned {_mb(self.planned_peak_bytes)}, simulated {_mb(self.simulated_peak_bytes)}",
            f"step      {self.predicted_step_seconds:.3g} s predicted",
            f"loss      {self.loss:.6f}" + self._beside_reference(),
        ]
        if self.gradient_cosine_min is not None and self.gradient_relative_error_max is not None:
            cosine, error = self.gradient_cosine_min, self.gradient_relative_error_max
            lines.append(f"gradients cosine at least {cosine:.8f}, relative error at most {error:.1e}")
        if self.reference is not None:
            lines.append(f"reference {self.reference}")
        peak = self.peak
        lines.append(f"live bytes over {len(self.timeline)} operations, most at {peak.step} ({peak.name})")
        categories = sorted({name for step in self.timeline for name in step.live})
        width = max(len(name) for name in (*categories, "all"))
        for name in (*categories, "all"):
            values = [step.live_bytes if name == "all" else step.live.get(name, 0) for step in self.timeline]
            strip = sparkline(values, columns, peak.live_bytes)
            lines.append(f"{name:<{width}} |{strip}| {_mb(max(values))}")
        return "\n".join(lines)

    def _beside_reference(self) -> str:
        if self.reference_loss is None:
            return ""
        return f", reference {self.reference_loss:.6f}, relative error {self.loss_relative_error:.1e}"


def sparkline(values: list[int], columns: int, top: int) -> str:
    """At most `columns` bars, each the largest of its share of the values; `top` is a full bar."""
    columns = min(columns, len(values))
    bounds = [i * len(values) // columns for i in range(columns + 1)]
    largest = (max(values[start:end]) for start, end in itertools.pairwise(bounds))
    return "".join(BARS[math.ceil(value / max(top, 1) * (len(BARS) - 1))] for value in largest)


def _mb(nbytes: int) -> str:
    return f"{nbytes / 1e6:.1f} MB"


def _finite(value: float | None) -> float | str | None:
    return value if value is None or math.isfinite(value) else str(value)
