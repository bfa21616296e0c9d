"""A chat template as what it puts before, between and behind messages, for encoders that cannot render it.

    <|user|>Hi<|end|><|assistant|>Hello<|end|>    ->    "" > user: "<|user|>"
                                                        user > assistant: "<|end|><|assistant|>"
                                                        assistant > "": "<|end|>"

What stands between two messages must depend on their roles alone, and at most on how near they are to the
chat's start and end. It is found out from chats of one to ten messages, then tried on others: with blanks
around the words, and with the words that the template itself looks for. What does not come out as the
template has it is refused.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from transformers import PreTrainedTokenizerBase

from lowpeak_artifact.errors import DataError
from lowpeak_runtime.data.chat.answers import ChatTemplate, chat_template_of
from lowpeak_runtime.data.chat.turns import Turn
from lowpeak_runtime.data.record import Chat
from lowpeak_runtime.data.tokenizer_files import load_tokenizer

CHAT_FILE = "chat.json"
_TOKENIZER_FILE = "tokenizer.json"
_LONGEST = 10
_DISTANCES = ((0, 0), (1, 0), (0, 1), (1, 1), (0, 2), (1, 2), (2, 1), (2, 2))
"""From the chat's start and end, up to which places are told apart; tried in this order."""
_STRING = re.compile(r"'((?:[^'\\\n]|\\.)*)'|\"((?:[^\"\\\n]|\\.)*)\"")
_CODE = re.compile(r"\{[{%].*?[%}]\}", re.DOTALL)
_LEAD, _TRAIL = "\n \t", "\t \n"
_TRIMMED = {"nothing": "", "newlines": "\n", "blanks": None}
"""What the words lose at an end: characters as for `str.strip`."""

_MOST_WORDS = 500
"""Strings in a template's code, each of which is tried in chats."""

_REWRITES = "the chat template rewrites messages, or looks at what they say"

Words = Sequence[str]
Roles = tuple[str, ...]


@dataclass(frozen=True)
class Glue:
    """What stands between two messages. Places are in bytes of its UTF-8."""

    text: str
    begins: int | None = None
    """Where the answer behind it begins."""
    ends: int | None = None
    """Where the answer before it ends."""
    ended: bool = False
    trims_before: str = "nothing"
    """What the words before it lose at their end: nothing, newlines or blanks."""
    trims_behind: str = "nothing"
    """What the words behind it lose at their start."""


@dataclass(frozen=True)
class Table:
    """Glue by the roles around it and the distances from start and end, which count up to these."""

    from_start: int = 0
    from_end: int = 0
    glue: dict[str, Glue] = field(default_factory=dict)

    def key(self, roles: Roles, place: int) -> str:
        before, behind = ("", *roles)[place], (*roles, "")[place]
        distances = min(place, self.from_start), min(len(roles) - place, self.from_end)
        return f"{before}>{behind}:{distances[0]}:{distances[1]}"


@dataclass(frozen=True)
class CompiledChat:
    """What `chat.json` holds; native/tokenizer/chat.h reads it."""

    problem: str | None
    """Why there is no table, in words."""
    tokenizer_problem: str | None
    """Why texts cannot be encoded from the artifact's tokenizer.json."""
    bos: int | None
    eos: int | None
    pad: int | None
    stops: list[int]
    """Tokens after which an answer is over."""
    trained: Table = Table()
    """Of chats that are trained on."""
    asked: Table = Table()
    """Of chats that end with the prompt for the next answer."""
    watched: list[str] = field(default_factory=list)
    """What changes the template's doing where it stands in a message."""
    begun: list[str] = field(default_factory=list)
    """What the prompt for an answer may have of it already."""

    def to_json(self) -> str:
        return json.dumps(asdict(self), ensure_ascii=False, indent=1) + "\n"


def write_chat_file(folder: Path) -> None:
    """Writes `chat.json` beside the tokenizer's files in the folder, if there is a fast tokenizer in them."""
    files = {file.name: file.read_bytes() for file in folder.iterdir()}
    try:
        tokenizer = load_tokenizer(files.keys(), files.__getitem__)
    except DataError:
        # It needs code of its own, without which no text can be encoded.
        return
    if not tokenizer.is_fast:
        return
    (folder / CHAT_FILE).write_text(compiled_chat(tokenizer, folder / _TOKENIZER_FILE).to_json(), "utf-8")


def compiled_chat(tokenizer: PreTrainedTokenizerBase, file: Path) -> CompiledChat:
    """`file`: the tokenizer.json that a phone will have of it."""
    numbers = [tokenizer.bos_token_id, tokenizer.eos_token_id, tokenizer.pad_token_id]
    bos, eos, pad = (number if isinstance(number, int) else None for number in numbers)
    stops = [] if eos is None else [eos]
    problem = _tokenizer_problem(tokenizer, file)
    try:
        template = chat_template_of(tokenizer)
        if "strftime_now" in template.source:
            raise DataError("the chat template writes today's date")
        trained, asked, watched = _learned(template)
    except DataError as error:
        return CompiledChat(str(error), problem, bos, eos, pad, stops)
    for key, glue in trained.glue.items():
        closing = glue.text.encode()[: glue.ends or 0].decode().strip()
        number = tokenizer.get_added_vocab().get(closing) if key.startswith("assistant>") else None
        if number is not None and number not in stops:
            stops.append(number)
    begun = sorted(template.begun)
    return CompiledChat(None, problem, bos, eos, pad, stops, trained, asked, watched, begun)


def _tokenizer_problem(tokenizer: PreTrainedTokenizerBase, file: Path) -> str | None:
    """Why the file is not what the tokenizer does."""
    if not file.is_file():
        return "the tokenizer has no tokenizer.json"
    texts = tokenizer.backend_tokenizer.to_str(pretty=True), file.read_text("utf-8")
    if texts[0] == texts[1]:
        return None
    backends = [json.loads(text) for text in texts]
    for backend in backends:
        # They are set anew for each call.
        backend["truncation"] = backend["padding"] = None
    for name in backends[0].keys() | backends[1].keys():
        if backends[0].get(name) != backends[1].get(name):
            return f"transformers changes the {name} of tokenizer.json as it loads it"
    return None


def _learned(template: ChatTemplate) -> tuple[Table, Table, list[str]]:
    """Raises DataError for a template that cannot be said so."""
    sequences = [roles for roles in _sequences() if "assistant" in roles]
    questions = [roles for roles in _sequences() if roles[-1] != "assistant"]

    def trained(roles: Roles, words: Words) -> tuple[str, list[Turn]]:
        return template.turns(_chat(roles, words))

    def asked(roles: Roles, words: Words) -> tuple[str, list[Turn]]:
        return template.prompt(_chat(roles, words)), []

    tables = _table(trained, sequences), _table(asked, questions)
    for shown, table, chats in zip((trained, asked), tables, (sequences, questions), strict=True):
        for roles in chats:
            if _is_known(table, roles) and not all(
                _same(shown, table, roles, _with_blanks(roles, roles if role is None else (role,)))
                for role in (None, *dict.fromkeys(roles))
            ):
                raise DataError(_REWRITES)
    words = list(dict.fromkeys(_words_in(template.source)))
    if len(words) > _MOST_WORDS:
        raise DataError(
            f"the chat template names {len(words)} strings, the most that are tried is {_MOST_WORDS}"
        )
    watched = [
        word
        for word in words
        if not all(
            _same(shown, table, roles, _with_word(roles, place, form.format(word)))
            for shown, table, chats in zip((trained, asked), tables, (sequences, questions), strict=True)
            for roles in chats
            if _is_known(table, roles) and len(roles) in (3, 4)
            for place in range(len(roles))
            for form in ("A {} word", "{}", "a {}", "{} a")
        )
    ]
    return *tables, watched


def _sequences() -> Iterator[Roles]:
    """Roles of chats: with a system's message or without, then user and assistant in turns."""
    for first in ((), ("system",)):
        for count in range(1, _LONGEST + 1):
            yield (*first, *("user", "assistant") * (count // 2), *("user",) * (count % 2))


def _chat(roles: Roles, words: Words) -> Chat:
    messages = tuple({"role": role, "content": each} for role, each in zip(roles, words, strict=True))
    return Chat(messages, tuple(role == "assistant" for role in roles), None, {})


Shown = Callable[[Roles, Words], tuple[str, list[Turn]]]


def _table(shown: Shown, chats: Sequence[Roles]) -> Table:
    """What stands between messages in all these chats.

    Raises DataError when it depends on more than `Table` says, or as the template does that refuses them all.
    """
    rows, refused = [], None
    for roles in chats:
        words = _plain(roles)
        try:
            glues = _glue(*shown(roles, words), words)
            rows.append((roles, _trimming(shown(roles, _with_blanks(roles, roles))[0], words, glues)))
        except DataError as error:
            refused = error
    if not rows:
        raise refused or DataError("the chat template was tried with nothing")
    for from_start, from_end in _DISTANCES:
        table = Table(from_start, from_end)
        if all(
            table.glue.setdefault(table.key(roles, place), glue) == glue
            for roles, glues in rows
            for place, glue in enumerate(glues)
        ):
            return table
    raise DataError("what the chat template puts between messages depends on more than their roles")


def _plain(roles: Roles) -> list[str]:
    return [f"Words{number}of{role.title()}." for number, role in enumerate(roles)]


def _with_blanks(roles: Roles, around: Sequence[str]) -> list[str]:
    """Words with whitespace on both sides, those of the roles `around`."""
    return [
        f"{_LEAD}{each}{_TRAIL}" if role in around else each
        for role, each in zip(roles, _plain(roles), strict=True)
    ]


def _with_word(roles: Roles, place: int, words: str) -> list[str]:
    return [words if number == place else each for number, each in enumerate(_plain(roles))]


def _glue(text: str, turns: Sequence[Turn], words: Words) -> list[Glue]:
    """What lies between the words, which stand in the text once each.

    Raises DataError if they do not, or an answer has not one turn that begins and ends beside its words.
    """
    edges = _edges(text, words)
    parts = _between(text, words)
    begins: dict[int, int] = {}
    ends: dict[int, tuple[int, bool]] = {}
    for turn in turns:
        number = turn.message
        start, end = turn.start - edges[2 * number], turn.end - edges[2 * number + 2]
        inside = 0 <= start <= len(parts[number]) and 0 <= end <= len(parts[number + 1])
        if number in begins or turn.missing is not None or not inside:
            raise DataError("the chat template shows an answer in parts, or not whole")
        begins[number] = len(parts[number][:start].encode())
        ends[number] = len(parts[number + 1][:end].encode()), turn.ended
    return [
        Glue(part, begins.get(place), *ends.get(place - 1, (None, False))) for place, part in enumerate(parts)
    ]


def _trimming(text: str, words: Words, glues: Sequence[Glue]) -> list[Glue]:
    """The glue with what it does to whitespace, from a chat with whitespace around all words."""
    trimmed = []
    for place, (part, glue) in enumerate(zip(_between(text, words), glues, strict=True)):
        trail, lead = _TRAIL if place else "", _LEAD if place < len(words) else ""
        ways = {
            trail.rstrip(_TRIMMED[before]) + glue.text + lead.lstrip(_TRIMMED[behind]): (before, behind)
            for behind in reversed(_TRIMMED)
            for before in reversed(_TRIMMED)
        }
        if part not in ways:
            raise DataError(_REWRITES)
        before, behind = ways[part]
        trimmed.append(replace(glue, trims_before=before, trims_behind=behind))
    return trimmed


def _edges(text: str, words: Words) -> list[int]:
    """Where the words begin and end, the text's own start and end around them."""
    edges = [0]
    for each in words:
        start = text.find(each, edges[-1])
        if start < 0 or text.count(each) > 1:
            raise DataError("the chat template leaves out a message, repeats one or changes their order")
        edges += [start, start + len(each)]
    return [*edges, len(text)]


def _between(text: str, words: Words) -> list[str]:
    edges = _edges(text, words)
    return [text[start:end] for start, end in zip(edges[::2], edges[1::2], strict=True)]


def _is_known(table: Table, roles: Roles) -> bool:
    return all(table.key(roles, place) in table.glue for place in range(len(roles) + 1))


def _same(shown: Shown, table: Table, roles: Roles, words: Words) -> bool:
    """Whether the template shows the words as the table says."""
    glues = [table.glue[table.key(roles, place)] for place in range(len(roles) + 1)]
    parts = [
        _trimmed(each, before.trims_behind, behind.trims_before)
        for each, before, behind in zip(words, glues, glues[1:], strict=False)
    ]
    text = ""
    begins: list[int] = []
    ends: list[tuple[int, bool]] = []
    for place, glue in enumerate(glues):
        if glue.ends is not None:
            ends.append((len(text) + len(glue.text.encode()[: glue.ends].decode()), glue.ended))
        if glue.begins is not None:
            begins.append(len(text) + len(glue.text.encode()[: glue.begins].decode()))
        text += glue.text + (parts[place] if place < len(roles) else "")
    try:
        rendered, turns = shown(roles, words)
    except DataError:
        return False
    return (
        rendered == text
        and [turn.start for turn in turns] == begins
        and [(turn.end, turn.ended) for turn in turns] == ends
        and not any(turn.missing for turn in turns)
    )


def _trimmed(words: str, start: str, end: str) -> str:
    return words.lstrip(_TRIMMED[start]).rstrip(_TRIMMED[end])


def _words_in(source: str) -> Iterator[str]:
    """The strings that the template's code has, but those of a single character or blank."""
    for code in _CODE.findall(source):
        for match in _STRING.finditer(code):
            word = (match[1] or match[2] or "").replace("\\n", "\n").strip()
            if len(word) > 1 and "{" not in word and "}" not in word:
                yield word
