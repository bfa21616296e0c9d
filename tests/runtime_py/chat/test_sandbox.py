"""Templates that take too much end with an error, and the next template is rendered."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import pytest
from transformers import PreTrainedTokenizerFast

from lowpeak_artifact.errors import DataError, EnvironmentProblem
from lowpeak_runtime.data.chat.compiled import compiled_chat
from lowpeak_runtime.data.chat.renderer import PROCESSOR_SECONDS
from lowpeak_runtime.data.chat.sandbox import RENDERER, TemplateStopped
from lowpeak_runtime.data.chat.template import MOST_BYTES, Refusal, Template
from lowpeak_runtime.data.jsonl import JsonlFile
from lowpeak_runtime.data.record import Chat
from tests.runtime_py.tokenizer_kinds import kind

CHAT = Chat(({"role": "user", "content": "Hi"},), (False,), None, {})
PLAIN = "{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}"
FOR_EVER = "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}"
ONCE_IN_A_WHILE = "{% if messages[0].content == 'slow' %}" + FOR_EVER + "{% endif %}" + PLAIN
DOUBLING = "{% set n = namespace(s='a') %}{% for i in range(60) %}{% set n.s = n.s ~ n.s %}{% endfor %}"
LONG = "{{ 'a' * 40000000 }}"


def rendered(source: str) -> str:
    return Template(source, {}, []).render(CHAT, CHAT.messages)[0]


@pytest.mark.parametrize(
    ("source", "fault"),
    [
        (FOR_EVER, f"takes more than {PROCESSOR_SECONDS:g} s"),
        (DOUBLING, "takes more than 512 MiB"),
        ("{{ 'a' * 10**11 }}", "takes more than 512 MiB"),
        (LONG, "makes a text of 4000"),
    ],
)
def test_what_takes_too_much_is_stopped(source: str, fault: str) -> None:
    template = Template(source, {}, [])
    for _ in range(2):
        with pytest.raises(TemplateStopped, match=fault):
            template.render(CHAT, CHAT.messages)
    assert rendered(PLAIN) == "<user>Hi"


@pytest.mark.parametrize(
    ("source", "fault"),
    [
        ("{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}", "recursion"),
        ("{{ messages[0].__class__.__mro__ }}", "unsafe"),
        ("{% for", "unexpected"),
        ("{{ 1 / 0 }}", "division"),
        ("{{ 'é'.encode().decode('ascii') }}", "codec"),
        ("{{ raise_exception('no system role') }}", "^no system role$"),
        ("{{ dict(**3) }}", "mapping"),
    ],
)
def test_whatever_a_template_raises_is_a_refusal(source: str, fault: str) -> None:
    with pytest.raises(Refusal, match=fault):
        rendered(source)


def test_the_process_may_be_killed() -> None:
    assert rendered(PLAIN) == "<user>Hi"
    assert RENDERER._process is not None
    os.kill(RENDERER._process.pid, signal.SIGKILL)
    with pytest.raises(EnvironmentProblem, match="was killed, perhaps by the system"):
        rendered(PLAIN)
    assert rendered(PLAIN) == "<user>Hi"


def test_it_is_not_asked_to_end_by_signals() -> None:
    """As all processes of a group are; the one that started it decides what of the work is still done."""
    rendered(PLAIN)
    process = RENDERER._process
    assert process is not None
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        process.send_signal(number)
    assert rendered(PLAIN) == "<user>Hi"
    assert RENDERER._process is process
    # It ends with the process that started it, at the latest.
    assert process.stdin is not None
    process.stdin.close()
    assert process.wait(60) == 0
    RENDERER.close()


def test_a_source_has_a_bounded_length() -> None:
    with pytest.raises(DataError, match=f"the most is {MOST_BYTES}"):
        Template("a" * (MOST_BYTES + 1), {}, [])


def test_the_line_of_the_data_is_named(tmp_path: Path) -> None:
    file = tmp_path / "data.jsonl"
    lines = [
        [{"role": "user", "content": c}, {"role": "assistant", "content": "a"}] for c in ("quick", "slow")
    ]
    file.write_text("\n".join(json.dumps({"messages": line}) for line in lines))
    source = JsonlFile(file, _tokenizer(ONCE_IN_A_WHILE))
    fine, stopped = source.examples([0, 1])
    assert not isinstance(fine, DataError)
    assert isinstance(stopped, DataError) and stopped.numbers["line"] == 2
    assert f"{file}, line 2: the chat template takes more than" in str(stopped)


def test_a_phone_is_told_why_there_is_no_table(tmp_path: Path) -> None:
    made = compiled_chat(_tokenizer(FOR_EVER), tmp_path / "tokenizer.json")
    assert made.problem is not None and "takes more than" in made.problem


def _tokenizer(template: str) -> PreTrainedTokenizerFast:
    backend = kind("byte BPE").tokenizer.backend_tokenizer
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=backend)  # type: ignore[no-untyped-call]
    tokenizer.chat_template = template
    return tokenizer
