"""What training met of the examples, in numbers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Summary:
    """Of the batches trained on until some step, by one call of `train`."""

    examples: int
    """That the data has."""

    seen: int
    """Examples that were looked at to make the batches, each counted once."""

    dropped: int
    """Those of them that are left out: without a trainable token within the sequence length."""

    truncated: int
    """Those of them that are trained on without their end."""

    tokens: int
    """Tokens of the batches after truncation, without padding; an example counts in every epoch."""

    trainable_tokens: int
    """Those of them that the loss is taken on."""

    longest: int
    """Tokens of the longest example seen, before truncation."""

    enough: int
    """The smallest sequence length that would have dropped none of those seen."""

    warnings: Mapping[str, int] = field(default_factory=dict)
    """What of the answers is not learned, in words, and of how many of those seen."""

    @property
    def notes(self) -> list[str]:
        """In words, what is not trained on and what to do about it."""
        notes = [
            f"of {count} of {self.seen} examples seen: {words}" for words, count in self.warnings.items()
        ]
        if self.dropped:
            notes.append(
                f"left out: {self.dropped} of {self.seen} examples seen have no token to train on within the "
                f"sequence length; compile with --seq-len {self.enough} or more to train on them, or shorten "
                "the prompts"
            )
        return notes
