"""What a chat template puts around the contents of messages of known roles, to find them without marks."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import accumulate

from lowpeak_runtime.data.chat.turns import Run, Turn


@dataclass(frozen=True)
class Layout:
    """The chat is glue, words, glue, words, ..., glue."""

    glue: tuple[str, ...]

    order: tuple[int, ...]
    """The message of each words."""

    trimmed: bool
    """Whether words are a message's content without whitespace around it."""

    turns: tuple[tuple[Turn, int, int], ...]
    """A turn, and the glues that it begins and ends in: its `start` and `end` count from their beginnings."""

    def find(self, text: str, contents: Sequence[str]) -> list[Turn] | None:
        """The turns of a chat with these contents, or None if the template put something else around them."""
        parts = [self.glue[0]]
        for glue, message in zip(self.glue[1:], self.order, strict=True):
            parts += contents[message].strip() if self.trimmed else contents[message], glue
        if "".join(parts) != text:
            return None
        starts = [0, *accumulate(map(len, parts))]
        return [
            Turn(
                turn.message,
                starts[2 * first] + turn.start,
                starts[2 * last] + turn.end,
                turn.ended,
                turn.missing,
            )
            for turn, first, last in self.turns
        ]


def layout_of(
    text: str, contents: Sequence[str], runs: Sequence[Run], turns: Sequence[Turn]
) -> Layout | None:
    """The layout of a chat whose runs and turns are known; None unless its words are the contents, each once,
    and every turn begins and ends outside of words."""
    trimmed = any(text[run.start : run.end] != contents[run.message] for run in runs)
    expected = [content.strip() if trimmed else content for content in contents]
    if sorted(run.message for run in runs) != list(range(len(contents))) or any(
        text[run.start : run.end] != expected[run.message] for run in runs
    ):
        return None
    edges = [0, *(place for run in runs for place in (run.start, run.end)), len(text)]
    starts, ends = edges[::2], edges[1::2]
    placed = []
    for turn in turns:
        first, last = bisect_left(ends, turn.start), bisect_right(starts, turn.end) - 1
        if starts[first] > turn.start or ends[last] < turn.end:
            return None
        placed.append(
            (replace(turn, start=turn.start - starts[first], end=turn.end - starts[last]), first, last)
        )
    return Layout(
        tuple(text[start:end] for start, end in zip(starts, ends, strict=True)),
        tuple(run.message for run in runs),
        trimmed,
        tuple(placed),
    )
