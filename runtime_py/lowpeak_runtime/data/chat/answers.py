"""A conversation -> the text that the tokenizer's chat template makes of it, and what the assistant says in
it.

A turn of the assistant is what the model generates: it begins where the prompt ends that the template makes
for it, and ends after the token that closes it. `{% generation %}` marks of a template say the same, and
come first.

    <|user|>Hi<|end|><|assistant|>Hello<|end|><|user|>Bye<|end|>
                                  ~~~~~~~~~~~~

What the template puts between messages is remembered: a chat of known roles is rendered once, and if the
known parts and the messages' words join to the rendered text, its turns lie as they did. Else it is rendered
some more times, whose number does not grow with that of the turns.
"""

from __future__ import annotations

import json
from bisect import bisect_right
from collections import Counter
from collections.abc import Hashable, Sequence
from dataclasses import replace
from weakref import WeakKeyDictionary

from transformers import PreTrainedTokenizerBase

from lowpeak_artifact.errors import DataError
from lowpeak_runtime.data.chat.edges import Edges, remember
from lowpeak_runtime.data.chat.layout import Layout, layout_of
from lowpeak_runtime.data.chat.marks import STYLES, Leaf, Marked, Region, Style, mark
from lowpeak_runtime.data.chat.template import Refusal, Template
from lowpeak_runtime.data.chat.turns import (
    ADVICE,
    Run,
    Turn,
    check,
    check_openings,
    missing_key,
    runs_of,
    without_empty,
)
from lowpeak_runtime.data.record import Chat

LEFT_OUT = "the chat template leaves out part of an answer: that answer has no loss"
NO_END = "the chat template closes answers with nothing that the model could learn to stop with"

# Keys of an answer whose strings a template may leave out of earlier turns.
_WORDS = frozenset({"content", "reasoning_content", "reasoning", "thinking"})


class ChatTemplate:
    """A tokenizer's chat template, and what is known of it by now."""

    def __init__(self, template: Template) -> None:
        self._template = template
        # Tools and options can change the prompt.
        self._edges: dict[str | None, Edges] = {}
        self._layouts: dict[Hashable, Layout] = {}
        self._repetitions: dict[tuple[str, int, int], int] = {}

    def turns(self, chat: Chat) -> tuple[str, list[Turn]]:
        """The rendered chat, and every turn of the assistant in it, from left to right.

        Raises DataError when the template refuses the messages, leaves out what it should show, or does not
        keep the words of different messages apart.
        """
        try:
            text, generated = self._template.render(chat, chat.messages)
        except Refusal as error:
            raise DataError(f"the tokenizer's chat template refuses the messages: {error}") from error
        contents = _contents(chat)
        setting = json.dumps([chat.tools, chat.options]) if chat.tools or chat.options else None
        known = chat.roles, setting
        if contents and known in self._layouts and not self._begins_in_prompt(chat, setting):
            turns = self._layouts[known].find(text, contents)
            if turns is not None:
                return text, turns
        self._template.check_names(chat)
        marked, style, regions = self._located(chat, text)
        _check_shown(chat, marked, regions)
        runs = runs_of(self._own_words(chat, style, marked, regions))
        if self._template.has_generation_marks:
            turns = _generated_turns(generated, runs, text)
        else:
            if setting not in self._edges:
                remember(self._edges, setting, Edges(self._template))
            turns = self._edges[setting].turns(chat, style, runs, text)
            check_openings(turns, runs, text)
        check(turns, runs)
        turns = _with_missing(turns, runs, marked, text)
        # Marks may depend on what is said.
        marked_by_template = self._template.has_generation_marks
        if contents and not marked_by_template and not any(turn.missing for turn in turns):
            layout = layout_of(text, contents, runs, turns)
            if layout:
                remember(self._layouts, known, layout)
        return text, turns

    def prompt(self, chat: Chat) -> str:
        """The rendered chat with the prompt for the next answer.

        Raises DataError when the template refuses the messages.
        """
        try:
            return self._template.render(chat, chat.messages, prompt=True)[0]
        except Refusal as error:
            raise DataError(f"the tokenizer's chat template refuses the messages: {error}") from error

    @property
    def source(self) -> str:
        return self._template.source

    @property
    def begun(self) -> set[str]:
        """What prompts had of answers in the chats until now."""
        return {words for edges in self._edges.values() for words in edges.begun}

    def _begins_in_prompt(self, chat: Chat, setting: str | None) -> bool:
        answers = (message["content"] for message in chat.messages if message["role"] == "assistant")
        return any(map(self._edges[setting].may_begin_in_prompt, answers))

    def _located(self, chat: Chat, text: str) -> tuple[Marked, Style, list[Region]]:
        """Where in the rendered chat the words of its messages stand."""
        for style in STYLES:
            marked = mark(chat.messages, style, text)
            try:
                unmarked, regions = marked.read(self._template.render(chat, marked.messages)[0])
            except Refusal:
                continue
            if unmarked == text:
                return marked, style, regions
        raise DataError(f"the chat template rewrites the messages, so no label has a place: {ADVICE}")

    def _own_words(self, chat: Chat, style: Style, marked: Marked, regions: Sequence[Region]) -> list[Region]:
        """The regions, where what the assistant said is its own words only as often as in a chat that ends
        there: results of tools can name their calls once more.
        """
        shown = without_empty(regions)
        times = Counter(region.leaf.number for region in shown if region.said)
        sizes = Counter(leaf.message for leaf in marked.leaves)
        first = {leaf.message: leaf.number for leaf in reversed(marked.leaves)}
        seen: Counter[int] = Counter()
        for index, region in enumerate(shown):
            leaf = region.leaf
            if times[leaf.number] < 2 or leaf.message == len(chat.messages) - 1:
                continue
            seen[leaf.number] += 1
            key = leaf.key, leaf.number - first[leaf.message], sizes[leaf.message]
            if key not in self._repetitions:
                alone = self._template.read(chat, style, chat.messages[: leaf.message + 1])
                count = sum(other.leaf.number == leaf.number for other in alone[1]) if alone else 1
                remember(self._repetitions, key, count)
            if seen[leaf.number] > self._repetitions[key]:
                shown[index] = replace(region, said=False)
        return shown


def chat_template_of(tokenizer: PreTrainedTokenizerBase, with_tools: bool = False) -> ChatTemplate:
    """The tokenizer's template, the one for tools if it has one. Raises DataError when it has none."""
    if not tokenizer.chat_template:
        raise DataError(
            "has messages, but the tokenizer has no chat template: use an instruction-tuned model, or text"
        )
    try:
        source = tokenizer.get_chat_template(tools=[] if with_tools else None)
    except ValueError as error:
        raise DataError(f"the tokenizer has no default chat template: {error}") from error
    variables = tokenizer.special_tokens_map
    known = _TEMPLATES.setdefault(tokenizer, {})
    key = source, *variables.items()
    if key not in known:
        known[key] = ChatTemplate(Template(source, variables, list(tokenizer.get_added_vocab())))
    return known[key]


_TEMPLATES: WeakKeyDictionary[PreTrainedTokenizerBase, dict[Hashable, ChatTemplate]] = WeakKeyDictionary()


def _contents(chat: Chat) -> list[str] | None:
    """What the messages say, if they have nothing else and none is empty."""
    contents = [message.get("content", "") for message in chat.messages if len(message) == 2]
    return contents if len(contents) == len(chat.messages) and all(map(str.strip, contents)) else None


def _check_shown(chat: Chat, marked: Marked, regions: Sequence[Region]) -> None:
    """Raises DataError when the template does not show a part of the messages. It may leave out the
    assistant's reasoning, or a part of its content: such an answer is not whole."""
    shown = {region.leaf.number for region in regions}
    messages = {region.leaf.message for region in regions}
    for leaf in marked.leaves:
        if leaf.number in shown or leaf.optional or not leaf.text.strip():
            continue
        if leaf.message in messages and leaf.said and leaf.key in _WORDS:
            continue
        role = chat.messages[leaf.message]["role"]
        raise DataError(
            f'the chat template leaves out "{leaf.key}" of message {leaf.message + 1}, whose role is '
            f'"{role}": remove it, or set a template that shows it'
        )


def _generated_turns(generated: Sequence[tuple[int, int]], runs: Sequence[Run], text: str) -> list[Turn]:
    """What the template marks as generated, each with the message whose words it holds or follows."""
    turns = []
    for start, end in generated:
        inside = [run for run in runs if run.said and run.start < end and start < run.end]
        before = [run for run in runs if run.end <= start]
        if len({run.message for run in inside}) > 1:
            raise DataError(
                f"the chat template marks messages {inside[0].message + 1} and {inside[-1].message + 1} "
                "as one answer"
            )
        owner = inside[-1] if inside else before[-1] if before and before[-1].said else None
        if owner and end > start:
            turns.append(Turn(owner.message, start, end, bool(text[max(start, owner.end) : end].strip())))
    return turns


def _with_missing(turns: Sequence[Turn], runs: Sequence[Run], marked: Marked, text: str) -> list[Turn]:
    """The turns, with what of their messages is in none of them."""
    said: dict[int, list[str]] = {turn.message: [] for turn in turns}
    starts = {run.end: run.start for run in runs if run.said}
    ends = sorted(starts)
    for turn in turns:
        # What the prompt has of the answer's words is not missing.
        first = bisect_right(ends, turn.start)
        start = min(turn.start, starts[ends[first]]) if first < len(ends) else turn.start
        said[turn.message].append(text[start : turn.end])
    leaves: dict[int, list[Leaf]] = {message: [] for message in said}
    for leaf in marked.leaves:
        if leaf.said and leaf.message in leaves:
            leaves[leaf.message].append(leaf)
    missing = {message: missing_key("".join(parts), leaves[message]) for message, parts in said.items()}
    return [replace(turn, missing=missing[turn.message]) for turn in turns]
