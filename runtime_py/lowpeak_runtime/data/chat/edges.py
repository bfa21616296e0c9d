"""Where an answer begins and ends: what a chat template puts before and after the assistant's words.

    <|end|><|assistant|>Hello<|end|><|user|>Bye
           ------------     -------

It begins where the prompt ends that the template makes for it. What closes it the template puts there whether
the chat ends with it or goes on. Both are asked of the template by rendering chats that end there, once for
all answers with the same around them.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Any

from lowpeak_runtime.data.chat.marks import Style
from lowpeak_runtime.data.chat.template import Template
from lowpeak_runtime.data.chat.turns import Run, Turn, common_pieces, first_piece, left_open
from lowpeak_runtime.data.record import Chat

_REMEMBERED = 1000


class Edges:
    """What is known of a template's edges by now."""

    def __init__(self, template: Template) -> None:
        self._template = template
        self._prompts: dict[str, tuple[str | None, int]] = {}
        self._closings: dict[tuple[str, str, bool], int] = {}
        self.begun: set[str] = set()
        """What prompts have beyond what stands before every answer: reasoning that they open."""

    def turns(self, chat: Chat, style: Style, runs: Sequence[Run], text: str) -> list[Turn]:
        """The turns, from what the template puts before and after the assistant's words."""
        turns = []
        for index, run in enumerate(runs):
            if not run.said:
                continue
            before = runs[index - 1] if index else None
            start = run.start
            if before and before.message != run.message:
                prompt, shared = self._prompt(chat, style, run, text[before.end : run.start])
                # Reasoning can begin in the prompt.
                begins = prompt is not None and text.startswith(prompt, before.end)
                start = before.end + (len(prompt or "") if begins else shared)
            closing = self._closing(chat, style, runs, index, text)
            following = next((other.start for other in runs[index + 1 :] if other.said), len(text))
            closing = left_open(text[run.end : run.end + closing], text[run.end + closing : following])
            closing = len(text[run.end : run.end + closing].rstrip())
            turns.append(Turn(run.message, start, run.end + closing, closing > 0))
        return turns

    def may_begin_in_prompt(self, words: str) -> bool:
        """Whether the answer's words begin as a prompt ends that was seen by now."""
        return any(words.lstrip().startswith(begun) for begun in self.begun)

    def _prompt(self, chat: Chat, style: Style, run: Run, glue: str) -> tuple[str | None, int]:
        """What the template puts after the messages before an answer as the prompt for it, and how many
        characters it has in common with `glue`, what the template puts there before the answer's words.

        All of the glue counts as common where they part before the prompt opens a turn.
        """
        if glue not in self._prompts:
            told = chat.messages[: run.message]
            prompt = self._template.tail(chat, style, told, prompt=True)
            shared = len(common_pieces(glue, prompt or "", self._template.tokens))
            unasked = common_pieces(
                self._template.tail(chat, style, told) or "", prompt or "", self._template.tokens
            )
            self.begun |= {(prompt or "")[shared:].strip()} - {""}
            remember(self._prompts, glue, (prompt, shared if shared > len(unasked) else len(glue)))
        return self._prompts[glue]

    def _closing(self, chat: Chat, style: Style, runs: Sequence[Run], index: int, text: str) -> int:
        """How many characters after an answer's words close it.

        They are what the template puts there whether the chat ends or goes on, and at the end of the chat
        all.
        """
        run, after = runs[index], runs[index + 1] if index + 1 < len(runs) else None
        before = [other for other in runs[max(0, index - 1) : index] if not other.said]
        glue = text[run.end : after.start if after else len(text)]
        other_glue = text[before[0].end : run.start] if before else ""
        message = chat.messages[run.message]
        if after and after.message == run.message and not after.regions[0].leaf.said:
            # It goes on with tool results, without which it would have ended here.
            keys = {"role", *(region.leaf.key for region in run.regions)}
            kept = {name: value for name, value in message.items() if name in keys}
            message = {"content": "", **kept} if "content" in message else kept
        ends = after is None and run.message == len(chat.messages) - 1
        key = glue, other_glue, ends
        if key not in self._closings:
            told = [*chat.messages[: run.message], message]
            last = (glue if ends else self._template.tail(chat, style, told)) or ""
            always = self._prompts_always(chat, style, run, last, other_glue)
            if ends and not always:
                closing = glue
            else:
                going_on = (self._template.between(chat, style, told) if ends else glue) or ""
                closing = common_pieces(last, going_on, self._template.tokens)
                if always:
                    closing = first_piece(closing, self._template.tokens)
                if not closing.strip() and last.strip():
                    # The last answer is closed as no other one: then those are closed as the user's words.
                    shared = first_piece(
                        common_pieces(going_on, other_glue, self._template.tokens), self._template.tokens
                    )
                    closing = shared if shared.strip() in self._template.tokens else ""
            remember(self._closings, key, len(closing))
        return self._closings[key]

    def _prompts_always(self, chat: Chat, style: Style, run: Run, last: str | None, before: str) -> bool:
        """Whether the template ends every chat with the prompt for an answer, asked for or not: an answer
        then follows right after it. `before`: what stands before this one, empty if unknown.
        """
        asked, unasked = (
            self._template.tail(chat, style, chat.messages[: run.message], prompt=prompt)
            for prompt in (True, False)
        )
        if not asked or not last or asked != unasked or (before and before.strip() != asked.strip()):
            return False
        return asked.split()[-1:] == last.split()[-1:]


def remember(cache: dict[Any, Any], key: Hashable, value: object) -> None:
    if len(cache) >= _REMEMBERED:
        cache.clear()
    cache[key] = value
