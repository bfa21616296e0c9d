"""The assistant's turns in a rendered chat: plain values, and what must hold of them whatever found them."""

from __future__ import annotations

import json
import re
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise, takewhile

from lowpeak_artifact.errors import DataError
from lowpeak_runtime.data.chat.marks import Leaf, Region

ADVICE = "give prompt and completion as text, or set a chat template for training"

_SPACE = re.compile(r"\s+")
# Words of a template that no token need stand for: <|user|>, [INST].
_PIECE = r"<[^<>\s]*>|\[[^\[\]\s]*\]|\s+|\w+|."


@dataclass(frozen=True)
class Run:
    """Characters [start, end) that hold the words of one message and nobody else's."""

    message: int
    said: bool
    """Whether they are the assistant's."""

    start: int
    end: int
    regions: tuple[Region, ...]


@dataclass(frozen=True)
class Turn:
    """Characters [start, end) that the assistant says."""

    message: int
    start: int
    end: int

    ended: bool
    """Whether something that closes the turn follows its words."""

    missing: str | None = None
    """The message's key of which some words are in none of its turns."""


def runs_of(regions: Sequence[Region]) -> list[Run]:
    """Neighbouring regions of one message, and of one speaker, together; `regions` lie from left to right."""
    return [
        Run(message, said, group[0].start, max(region.end for region in group), tuple(group))
        for (message, said), members in groupby(
            regions, key=lambda region: (region.leaf.message, region.said)
        )
        for group in [list(members)]
    ]


def without_empty(regions: Sequence[Region]) -> list[Region]:
    """The regions but those of empty strings of messages that have others too."""
    with_words = {region.leaf.message for region in regions if region.leaf.text}
    return [region for region in regions if region.leaf.text or region.leaf.message not in with_words]


def common_pieces(one: str, other: str, tokens: Sequence[str]) -> str:
    """What both begin with, without half a token, tag or word; `tokens` are the tokenizer's own strings."""
    shared = takewhile(
        lambda pair: pair[0] == pair[1], zip(*(_pieces(text, tokens) for text in (one, other)), strict=False)
    )
    return "".join(piece for piece, _ in shared)


def first_piece(text: str, tokens: Sequence[str]) -> str:
    """Up to the end of the first token, tag or word."""
    pieces = _pieces(text, tokens)
    blank = len(list(takewhile(str.isspace, pieces)))
    return "".join(pieces[: blank + 1])


def _pieces(text: str, tokens: Sequence[str]) -> list[str]:
    pattern = "|".join([*map(re.escape, sorted(tokens, key=len, reverse=True)), _PIECE])
    return re.findall(pattern, text, re.DOTALL)


def check(turns: Sequence[Turn], runs: Sequence[Run]) -> None:
    """Raises DataError when a turn holds a character of what somebody else says, or of another turn."""
    for pairs in (pairwise(runs), pairwise(turns)):
        for one, other in pairs:
            if other.start < one.end:
                raise DataError(
                    f"the chat template mixes messages {one.message + 1} and {other.message + 1}: {ADVICE}"
                )
    ends = [run.end for run in runs]
    for turn in turns:
        for index in range(bisect_right(ends, turn.start), len(runs)):
            run = runs[index]
            if run.start >= turn.end:
                break
            if not run.said:
                raise DataError(
                    f"the chat template puts words of message {run.message + 1} into what the assistant says "
                    f"in message {turn.message + 1}: {ADVICE}"
                )


def check_openings(turns: Sequence[Turn], runs: Sequence[Run], text: str) -> None:
    """Raises DataError when a turn holds, beside its words, what opens the turn of somebody else."""
    openings = {text[: runs[0].start].strip()} if runs and not runs[0].said else set()
    ends = [turn.end for turn in turns]
    for before, run in pairwise(runs):
        if before.said and not run.said:
            closed = ends[: bisect_right(ends, run.start)][-1:]
            openings.add(text[max([before.end, *closed]) : run.start].strip())
    starts, run_ends = [run.start for run in runs], [run.end for run in runs]
    for turn in turns:
        own = runs[bisect_right(run_ends, turn.start) : bisect_left(starts, turn.end)]
        edges = [
            turn.start,
            *(max(place, turn.start) for run in own for place in (run.start, run.end)),
            turn.end,
        ]
        for start, end in zip(edges[::2], edges[1::2], strict=True):
            for opening in openings - {""}:
                if opening in text[start:end]:
                    raise DataError(
                        f"the chat template opens another's turn, {opening!r}, within what the assistant "
                        f"says in message {turn.message + 1}: {ADVICE}"
                    )


def missing_key(said: str, leaves: Sequence[Leaf]) -> str | None:
    """The key of the first of the leaves that is not in what was `said`; whitespace apart, and escaped as in
    JSON or not."""
    said = _SPACE.sub("", said)
    for leaf in leaves:
        spellings = [leaf.text]
        if not leaf.text.lstrip().startswith("{"):
            # A string within JSON; what is JSON itself is to be read as it is.
            spellings.append(json.dumps(leaf.text, ensure_ascii=False)[1:-1])
        if not any(_SPACE.sub("", spelling) in said for spelling in spellings):
            return leaf.key
    return None


def left_open(closing: str, behind: str) -> int:
    """Where in a turn's closing a tag opens that only what follows the turn closes: <|result> or
    [RESULT]."""
    for tag in re.finditer(r"<\|(\w+)>|<(\w+)>|\[(\w+)\]", closing):
        bar, angle, square = tag.groups()
        closer = f"<{bar}|>" if bar else f"</{angle}>" if angle else f"[/{square}]"
        if closer in behind:
            return tag.start()
    return len(closing)
