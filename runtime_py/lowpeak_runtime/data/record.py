"""What one record of training data asks for: its kind, its messages, and which of them the loss is taken on.

Every key of a record and of a message is used, known to be only about the record, or refused by its name:
none that changes what the model reads or learns is passed over.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from lowpeak_artifact.errors import DataError
from lowpeak_artifact.json_types import json_type

Message = dict[str, Any]

_KINDS = ({"messages"}, {"prompt", "completion"}, {"text"})
# They change what the model would read or learn, and mean one thing in chats only.
_CHAT_KEYS = {"system", "tools", "chat_template_kwargs"}

METADATA = frozenset(
    {
        "author",
        "category",
        "chat_id",
        "conversation_id",
        "created",
        "created_at",
        "dataset",
        "date",
        "domain",
        "id",
        "idx",
        "index",
        "lang",
        "language",
        "license",
        "message_id",
        "metadata",
        "model",
        "origin",
        "prompt_id",
        "session_id",
        "source",
        "split",
        "subset",
        "tags",
        "task",
        "timestamp",
        "topic",
        "updated_at",
        "url",
        "uuid",
        "version",
    }
)
"""Keys of records and messages that say where they come from; the model reads none of them."""

# Whether the loss is taken on a message. Of these names only the values below mean one thing everywhere.
_SWITCHES = ("train", "weight", "loss")
# An identifier that ties a result to its call: templates need not show it.
_IDENTIFIERS = frozenset({"tool_call_id"})
_ASSISTANT_ELSEWHERE = frozenset({"assistant", "model", "gpt", "bot", "ai", "chatbot"})

ROLES = ("system", "developer", "user", "assistant", "tool")


@dataclass(frozen=True)
class Chat:
    """A conversation as the chat template sees it."""

    messages: tuple[Message, ...]
    """`role`, `content` and whatever else the template is to show."""

    trained: tuple[bool, ...]
    """For each message whether the loss is taken on it: only on those of the assistant."""

    tools: tuple[Any, ...] | None
    options: Mapping[str, Any]
    """The template's own variables, from `chat_template_kwargs`."""

    @property
    def roles(self) -> tuple[str, ...]:
        return tuple(message["role"] for message in self.messages)


def kind_of(record: Mapping[str, Any]) -> str:
    """What all lines of a file must have in common, in words. Raises DataError for an unknown combination,
    and for a key that is neither used nor one of METADATA; a key without a value (null, an empty list) is
    absent."""
    keys = set().union(*_KINDS) & record.keys()
    if keys not in _KINDS:
        names = _quoted(sorted(record)) or "nothing"
        raise DataError(f'has {names}; it needs "messages", or "prompt" and "completion", or "text"')
    types = {isinstance(record[key], str) for key in keys}
    if keys == {"prompt", "completion"} and len(types) > 1:
        raise DataError("has text and messages: prompt and completion must be of the same type")
    is_chat = keys == {"messages"} or (keys == {"prompt", "completion"} and types == {False})
    for key in record.keys() - keys - METADATA - (_CHAT_KEYS if is_chat else set()):
        if not _absent(record[key]):
            raise DataError(
                f'has "{key}", which is not supported: remove it, or put what only describes the record '
                'under "metadata"'
            )
    if keys != {"prompt", "completion"}:
        return f'"{keys.pop()}"'
    return f'"prompt" and "completion" as {"text" if types.pop() else "messages"}'


def text_of(record: Mapping[str, Any], key: str) -> str:
    """The string under `key`. Raises DataError when it is none, or not Unicode."""
    value = record[key]
    if not isinstance(value, str):
        raise DataError(f'"{key}" must be a string, not {json_type(value)}')
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise DataError(f'"{key}" has half a surrogate pair at character {error.start + 1}') from error
    return value


def chat_of(record: Mapping[str, Any]) -> Chat:
    """The conversation in `messages`, or in `prompt` and `completion`. Raises DataError when it is not well
    formed or has no assistant turn to train on."""
    prompt = [] if "messages" in record else _messages(record, "prompt")
    rest = _messages(record, "messages" if "messages" in record else "completion")
    pairs = [(message, False) for message, _ in prompt] + rest
    if not _absent(system := record.get("system")):
        if any(message["role"] == "system" for message, _ in pairs):
            raise DataError('has "system" and a message with the role "system": keep one of them')
        pairs.insert(0, ({"role": "system", "content": text_of({"system": system}, "system")}, False))
    if not any(message["role"] == "assistant" for message, _ in rest):
        roles = _quoted(dict.fromkeys(message["role"] for message, _ in rest))
        raise DataError(
            f'has no token to train on: no message has the role "assistant", the roles are {roles}; '
            f"expected are {_quoted(ROLES)}"
        )
    tools, options = record.get("tools"), record.get("chat_template_kwargs")
    if not _absent(tools) and not (isinstance(tools, list) and all(isinstance(tool, dict) for tool in tools)):
        raise DataError('"tools" must be a list of objects, each the JSON schema of a function')
    if not _absent(options) and not isinstance(options, dict):
        raise DataError('"chat_template_kwargs" must be an object')
    return Chat(
        tuple(message for message, _ in pairs),
        tuple(trained for _, trained in pairs),
        None if _absent(tools) else tuple(tools or ()),
        options or {},
    )


def well_formed(record: Mapping[str, Any]) -> str:
    """Its `kind_of`. Raises DataError for all that can be said without a tokenizer."""
    kind = kind_of(record)
    if "text" in record:
        text_of(record, "text")
    elif isinstance(record.get("prompt"), str):
        text_of(record, "prompt")
        text_of(record, "completion")
    else:
        chat_of(record)
    return kind


def _messages(record: Mapping[str, Any], key: str) -> list[tuple[Message, bool]]:
    value = record[key]
    if not isinstance(value, list) or not value:
        raise DataError(f'"{key}" must be a list of messages, not {json.dumps(value)[:40]}')
    return [_message(message, key, number) for number, message in enumerate(value, start=1)]


def _message(message: Any, key: str, number: int) -> tuple[Message, bool]:
    """The message as the template is to see it, and whether the loss is taken on it."""
    if not isinstance(message, dict) or not {"role", "content"} <= message.keys() | (
        {"content"} if isinstance(message, dict) and not _absent(message.get("tool_calls")) else set()
    ):
        raise DataError(f'every message in "{key}" must be an object with "role" and "content"')
    role = text_of(message, "role")
    if role != "assistant" and role.lower() in _ASSISTANT_ELSEWHERE:
        raise DataError(f'message {number} in "{key}" has the role "{role}": expected are {_quoted(ROLES)}')
    shown: Message = {"role": role}
    content = message.get("content")
    if isinstance(content, list):
        content = _only_text(content, number)
    if content is not None or _absent(message.get("tool_calls")):
        shown["content"] = text_of({"content": content}, "content")
    trained = role == "assistant"
    for name, part in message.items():
        if name in ("role", "content") or _absent(part):
            continue
        if name in _SWITCHES:
            trained = _switched(name, part, role, number) and trained
        elif name in METADATA or name in _IDENTIFIERS or (name == "name" and role == "tool"):
            shown |= {} if name in METADATA else {name: part}
        elif any(strings(part)):
            shown[name] = part
        else:
            raise DataError(f'message {number} has "{name}", which is not supported: remove it')
    return shown, trained


def _only_text(parts: list[Any], number: int) -> str:
    types = [part.get("type") if isinstance(part, dict) else json_type(part) for part in parts]
    if types != ["text"]:
        raise DataError(
            '"content" must be a string or a list with one part of the type "text": '
            f"message {number} has a list of {_quoted(types) or 'nothing'}"
        )
    if extra := parts[0].keys() - {"type", "text"}:
        raise DataError(
            f"the content of message {number} has {_quoted(sorted(extra))}, which is not supported"
        )
    return text_of({"text": None} | parts[0], "text")


def _switched(name: str, value: Any, role: str, number: int) -> bool:
    if value not in (0, 1):
        raise DataError(
            f'message {number} has "{name}": {json.dumps(value)}, but only 0, 1, false and true are known'
        )
    if value and role != "assistant":
        raise DataError(
            f'message {number} has "{name}" and the role "{role}": the loss is of assistant turns only'
        )
    return bool(value)


def strings(value: Any) -> list[str]:
    """All strings within a JSON value but those that tie a result to its call or name a type."""
    if isinstance(value, str):
        return [value]
    if isinstance(value, list):
        return [text for item in value for text in strings(item)]
    if isinstance(value, dict):
        return [text for key, item in value.items() if key not in UNMARKED for text in strings(item)]
    return []


UNMARKED = frozenset({"role", "type", "id", "tool_call_id"})
"""Keys whose values templates compare with words of their own, or need not show."""


def _absent(value: Any) -> bool:
    return value is None or value == [] or value == {}


def _quoted(names: Any) -> str:
    return " and ".join(f'"{name}"' for name in names)
