"""A chat template: rendering, and what it puts around messages, known by marks that stand for their words."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from lowpeak_artifact.errors import DataError
from lowpeak_runtime.data.chat.marks import Region, Style, mark
from lowpeak_runtime.data.chat.sandbox import RENDERER, TemplateStopped
from lowpeak_runtime.data.chat.turns import without_empty
from lowpeak_runtime.data.record import ROLES, Chat, Message

_GENERATION = re.compile(r"\{%-?\s*generation\s*-?%\}")
MOST_BYTES = 1 << 17
"""Of a template's source: the longest in use have 20 kB."""


class Refusal(Exception):
    """The template raised an error."""


class Template:
    """The template's source, with the tokens that it is rendered with."""

    def __init__(self, source: str, variables: dict[str, Any], tokens: Sequence[str]) -> None:
        """`variables`: the special tokens by the names that templates have for them; `tokens`: those that the
        tokenizer never splits. Raises DataError for a source that is too long to be one."""
        if len(source) > MOST_BYTES:
            raise DataError(
                f"the tokenizer's chat template has {len(source)} characters, the most is {MOST_BYTES}: set "
                "another one, or give prompt and completion as text"
            )
        self._stopped: str | None = None
        """Why it was stopped once: it is not tried again."""
        self.source = source
        self._variables = variables
        self.tokens = tokens
        self.has_generation_marks = bool(_GENERATION.search(source))

    def render(
        self, chat: Chat, messages: Sequence[Message], prompt: bool = False
    ) -> tuple[str, list[tuple[int, int]]]:
        """The text, with the prompt for the next answer or without, and where generation marks stand in
        it.

        Raises Refusal, and DataError when the template takes too long or too much memory.
        """
        if self._stopped is not None:
            raise TemplateStopped(self._stopped)
        try:
            answer = RENDERER.render(
                {
                    "template": self.source,
                    "messages": list(messages),
                    "tools": list(chat.tools) if chat.tools else None,
                    "marks": self.has_generation_marks,
                    "prompt": prompt,
                    "variables": {**self._variables, **chat.options},
                }
            )
        except TemplateStopped as error:
            self._stopped = str(error)
            raise
        if "refused" in answer:
            raise Refusal(answer["refused"])
        return answer["text"], [(start, end) for start, end in answer["generated"]]

    def check_names(self, chat: Chat) -> None:
        """Raises DataError for variables and roles that the template does not know."""
        for name in [*(["tools"] if chat.tools else []), *chat.options]:
            if not re.search(rf"\b{re.escape(name)}\b", self.source):
                raise DataError(f'has "{name}", which the chat template does not read: remove it')
        for role in dict.fromkeys(chat.roles):
            if role not in ROLES and not re.search(rf"""['"]{re.escape(role)}['"]""", self.source):
                raise DataError(
                    f'has the role "{role}", which the chat template does not name; expected are '
                    + ", ".join(f'"{name}"' for name in ROLES)
                )

    def tail(self, chat: Chat, style: Style, messages: Sequence[Message], prompt: bool = False) -> str | None:
        """What the template puts after the last of these messages, or None if it refuses them."""
        read = self.read(chat, style, messages, prompt)
        return read[0][read[1][-1].end :] if read else None

    def between(self, chat: Chat, style: Style, messages: Sequence[Message]) -> str | None:
        """What the template would put between the last of these messages and the user's next one."""
        read = self.read(chat, style, [*messages, {"role": "user", "content": "Hi"}])
        if read is None or len(read[1]) < 2:
            return None
        text, regions = read
        return text[regions[-2].end : regions[-1].start]

    def read(
        self, chat: Chat, style: Style, messages: Sequence[Message], prompt: bool = False
    ) -> tuple[str, list[Region]] | None:
        if not messages:
            return None
        marked = mark(messages, style, "")
        try:
            text, regions = marked.read(self.render(chat, marked.messages, prompt)[0])
        except Refusal:
            return None
        return (text, without_empty(regions)) if regions else None
