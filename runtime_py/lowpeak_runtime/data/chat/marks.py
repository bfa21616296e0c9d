"""Where in a rendered chat the words of each message stand.

Every string of the messages is marked at its ends by characters that occur nowhere else, the marked messages
are rendered, and the marks are taken out:

    <|user|>(Hi)<|end|><|assistant|>[Hello]<|end|>  ->  <|user|>Hi<|end|><|assistant|>Hello<|end|>
                                                                ~~                    ~~~~~

If what is left is the chat as it is rendered without marks, the words stand where the marks were.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice, takewhile
from typing import Any

from lowpeak_runtime.data.record import UNMARKED, Message

# Tool results that a message of the assistant carries along are not its words.
_RESULTS = frozenset({"tool_responses"})
# Planes 15 and 16, for private use.
_PRIVATE = range(0xF0000, 0x110000)
_PRIVATE_CHARACTER = re.compile(f"[{chr(_PRIVATE[0])}-{chr(_PRIVATE[-1])}]")


@dataclass(frozen=True)
class Leaf:
    """One string of a message."""

    number: int
    """Its place among all strings of the messages."""

    message: int
    """Index of its message."""

    key: str
    """The message's key that it is under."""

    text: str

    said: bool
    """Whether the assistant says it."""

    optional: bool
    """Whether a template may leave it out: the name of a tool that a result is from."""


@dataclass(frozen=True)
class Region:
    """Characters [start, end) of a rendered chat that are a leaf's, or what the template leaves of it."""

    leaf: Leaf
    start: int
    end: int

    said: bool
    """Whether the assistant says it here. A tool's result may name its call once more."""


@dataclass(frozen=True)
class Style:
    """How a string is marked: templates that trim it or look at its ends render some marks differently."""

    opens: bool
    closes: bool
    inside: bool
    """Marks stand inside of leading and trailing whitespace."""

    def marked(self, text: str, opening: str, closing: str) -> str:
        if not text and not (self.opens and self.closes):
            return text
        core = text.strip() if self.inside else text
        before = text[: len(text) - len(text.lstrip())] if core and self.inside else ""
        after = text[len(before) + len(core) :]
        return f"{before}{opening * self.opens}{core}{closing * self.closes}{after}"


STYLES = (
    Style(True, True, False),
    Style(True, True, True),
    Style(False, True, True),
    Style(True, False, True),
)
"""In the order to try them."""


@dataclass(frozen=True)
class Marked:
    """Messages with marks."""

    messages: tuple[Message, ...]
    leaves: tuple[Leaf, ...]
    marks: dict[str, tuple[int, bool]]
    """The leaf's index, and whether the mark closes."""

    def read(self, rendered: str) -> tuple[str, list[Region]]:
        """The rendered messages without the marks, and the regions in them, from left to right."""
        parts: list[str] = []
        positions: list[tuple[int, int, bool]] = []
        last = removed = 0
        for match in _PRIVATE_CHARACTER.finditer(rendered):
            if match.group() in self.marks:
                parts.append(rendered[last : match.start()])
                positions.append((match.start() - removed, *self.marks[match.group()]))
                last, removed = match.end(), removed + 1
        text = "".join([*parts, rendered[last:]])
        return text, sorted(self._regions(text, positions), key=lambda region: (region.start, region.end))

    def _regions(self, text: str, positions: Sequence[tuple[int, int, bool]]) -> Iterator[Region]:
        """Of a string with one mark only, what lies before or after it as in the string is the string's."""
        opened: dict[int, int] = {}
        for position, index, closes in positions:
            leaf = self.leaves[index]
            if closes and index in opened:
                yield Region(leaf, opened.pop(index), position, leaf.said)
            elif closes:
                shared = _common_prefix(text[:position][::-1], leaf.text.rstrip()[::-1])
                yield Region(leaf, position - shared, position, leaf.said)
            else:
                opened[index] = position
        for index, position in opened.items():
            shared = _common_prefix(text[position:], self.leaves[index].text.lstrip())
            yield Region(self.leaves[index], position, position + shared, self.leaves[index].said)


def mark(messages: Sequence[Message], style: Style, used: str) -> Marked:
    """The messages with every string marked, but roles, types and identifiers. `used`: text that the marks
    may not occur in."""
    taken = set(_PRIVATE_CHARACTER.findall(used)) | set(
        _PRIVATE_CHARACTER.findall(json.dumps(messages, ensure_ascii=False))
    )
    free = (chr(code) for code in _PRIVATE if chr(code) not in taken)
    leaves: list[Leaf] = []
    marks: dict[str, tuple[int, bool]] = {}

    def of(value: Any, message: int, key: str) -> Any:
        if isinstance(value, list):
            return [of(item, message, key) for item in value]
        if isinstance(value, dict):
            return {
                name: item if name in UNMARKED else of(item, message, key) for name, item in value.items()
            }
        if not isinstance(value, str):
            return value
        role = messages[message]["role"]
        optional = role == "tool" and key == "name"
        opening, closing = islice(free, 2)
        marks[opening], marks[closing] = (len(leaves), False), (len(leaves), True)
        leaves.append(
            Leaf(len(leaves), message, key, value, role == "assistant" and key not in _RESULTS, optional)
        )
        return style.marked(value, opening, closing)

    shown = tuple(
        {key: value if key in UNMARKED else of(value, index, key) for key, value in message.items()}
        for index, message in enumerate(messages)
    )
    return Marked(shown, tuple(leaves), marks)


def _common_prefix(one: str, other: str) -> int:
    """How many characters both begin with."""
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(one, other, strict=False)))
