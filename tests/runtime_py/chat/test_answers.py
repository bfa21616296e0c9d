"""Which words of a chat are learned, with chat templates that behave as those of well-known models."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import PreTrainedTokenizerFast

from lowpeak_artifact.errors import DataError
from lowpeak_runtime.data.chat.answers import LEFT_OUT, NO_END
from lowpeak_runtime.data.chat.sandbox import RENDERER
from lowpeak_runtime.data.encode import NO_LOSS, Example, encode, encode_many
from tests.runtime_py.chat import templates
from tests.runtime_py.tokenizer_kinds import BOS, EOS, kind

CHAT = [
    {"role": "user", "content": "When does the train leave?"},
    {"role": "assistant", "content": "At 7:42 🌿"},
    {"role": "user", "content": "a"},
    {"role": "assistant", "content": "a"},
]
SYSTEM = {"role": "system", "content": "Be brief."}
THOUGHT = {"role": "assistant", "content": "<think>\nhmm\n</think>\n\nAt 7:42"}
CALLS = [
    CHAT[0],
    {
        "role": "assistant",
        "content": "",
        "tool_calls": [
            {
                "type": "function",
                "id": "c1",
                "function": {"name": "look", "arguments": {"at": "clock", "n": 3}},
            }
        ],
    },
    {"role": "tool", "tool_call_id": "c1", "name": "look", "content": "RESULT"},
    {"role": "assistant", "content": "done"},
]


def tokenizer(chat_template: str) -> PreTrainedTokenizerFast:
    fast = PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=kind("byte BPE").tokenizer.backend_tokenizer, bos_token=BOS, eos_token=EOS
    )
    fast.chat_template = chat_template
    return fast


def learned(example: Example, chat_template: str = templates.CHATML) -> list[str]:
    """The text of every run of tokens with a label."""
    runs: list[list[int]] = [[]]
    for token, label in zip(example.input_ids, example.labels, strict=True):
        assert label in (token, NO_LOSS)
        if label != NO_LOSS:
            runs[-1].append(token)
        elif runs[-1]:
            runs.append([])
    return [str(tokenizer(chat_template).decode(run)) for run in runs if run]


def answers(chat_template: str, messages: list[dict[str, Any]], **keys: Any) -> list[str]:
    fast = tokenizer(chat_template)
    record = {"messages": messages, **keys}
    example = encode(record, fast)
    options = {"tools": keys.get("tools"), **keys.get("chat_template_kwargs", {})}
    rendered = fast.apply_chat_template(messages, tokenize=False, **options)
    assert fast.decode(list(example.input_ids)) == rendered
    # What is remembered of the template changes nothing.
    assert encode(record, fast) == example
    return learned(example, chat_template)


ENDS = {
    "CHATML": "<|im_end|>",
    "DEFAULT_SYSTEM": "<|im_end|>",
    "QWEN2_5": "<|im_end|>",
    "LLAMA3": "<|eot_id|>",
    "LLAMA3_ALWAYS": "<|eot_id|>",
    "GEMMA2": "<end_of_turn>",
    "GEMMA4": "<turn|>",
    "PHI4": "<|im_end|>",
    "PLAIN": "</s>",
    "MARKED": "<|im_end|>",
    "R1_DISTILL": "</s>",
}


@pytest.mark.parametrize("name", ENDS)
@pytest.mark.parametrize("with_system", [False, True])
def test_answers_and_their_ends_are_learned(name: str, with_system: bool) -> None:
    chat_template = getattr(templates, name)
    messages = [SYSTEM, *CHAT] if with_system else CHAT
    expected = [f"At 7:42 🌿{ENDS[name]}", f"a{ENDS[name]}"]
    if name == "GEMMA2" and with_system:
        with pytest.raises(DataError, match="refuses the messages: System role not supported"):
            answers(chat_template, messages)
    elif name == "PLAIN":
        # It has no prompt for an answer: the model says who speaks.
        assert answers(chat_template, messages) == [f"### assistant: {answer}" for answer in expected]
    else:
        assert answers(chat_template, messages) == expected


@pytest.mark.parametrize("name", ["LLAMA2", "MISTRAL"])
@pytest.mark.parametrize("with_system", [False, True])
def test_system_words_within_a_users(name: str, with_system: bool) -> None:
    end = " </s>" if name == "LLAMA2" else "</s>"
    messages = [SYSTEM, *CHAT] if with_system else CHAT
    assert answers(getattr(templates, name), messages) == [f" At 7:42 🌿{end}", f" a{end}"]


def test_the_next_turns_opening_is_not_learned() -> None:
    first, last = answers(templates.PHI3, CHAT)
    assert (first, last) == ("At 7:42 🌿<|end|>", "a<|end|>\n</s>")


def test_an_end_that_only_the_middle_of_a_chat_has() -> None:
    assert answers(templates.HARMONY, CHAT) == [
        "<|channel|>final<|message|>At 7:42 🌿<|end|>",
        "<|channel|>final<|message|>a<|return|>",
    ]
    thinking = [*CHAT[:1], {"role": "assistant", "thinking": "hmm", "content": "At 7:42"}]
    assert answers(templates.HARMONY, thinking) == [
        "<|channel|>analysis<|message|>hmm<|end|><|start|>assistant"
        "<|channel|>final<|message|>At 7:42<|return|>"
    ]


def test_no_end_token_is_said() -> None:
    example = encode({"messages": CHAT}, tokenizer(templates.GLM4))
    assert learned(example) == ["At 7:42 🌿", "a"]
    assert example.warnings == (NO_END,)
    assert encode({"messages": CHAT}, tokenizer(templates.PHI4)).warnings == ()


def test_reasoning_that_the_template_shows_is_learned() -> None:
    whole = "<think>\nhmm\n</think>\n\nAt 7:42<|im_end|>"
    assert answers(templates.QWEN3, [CHAT[0], THOUGHT]) == [whole]
    apart = {"role": "assistant", "reasoning_content": "hmm", "content": "At 7:42"}
    assert answers(templates.QWEN3, [CHAT[0], apart]) == [whole]
    assert answers(templates.QWEN3, CHAT) == ["At 7:42 🌿<|im_end|>", "<think>\n\n</think>\n\na<|im_end|>"]


def test_an_answer_without_its_reasoning_is_not_learned() -> None:
    example = encode({"messages": [CHAT[0], THOUGHT, *CHAT[2:]]}, tokenizer(templates.QWEN3))
    assert learned(example) == ["<think>\n\n</think>\n\na<|im_end|>"]
    assert example.warnings == (LEFT_OUT,)
    with pytest.raises(DataError, match=r'leaves out or rewrites part of "content" of message 2.*prompt and'):
        encode({"messages": [CHAT[0], THOUGHT]}, tokenizer(templates.R1_DISTILL))
    apart = {"role": "assistant", "reasoning_content": "hmm", "content": "At 7:42"}
    with pytest.raises(DataError, match='part of "reasoning_content" of message 2'):
        encode({"messages": [CHAT[0], apart]}, tokenizer(templates.CHATML))


def test_reasoning_that_begins_in_the_prompt() -> None:
    opened = templates.QWEN3.replace(
        "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}",
        "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n<think>\\n' }}",
    )
    assert opened != templates.QWEN3
    assert answers(opened, [CHAT[0], THOUGHT]) == ["hmm\n</think>\n\nAt 7:42<|im_end|>"]


def test_options_of_the_template() -> None:
    off = {"chat_template_kwargs": {"enable_thinking": False}}
    assert answers(templates.QWEN3, CHAT[2:], **off) == ["a<|im_end|>"]
    assert answers(templates.QWEN3, CHAT[2:]) == ["<think>\n\n</think>\n\na<|im_end|>"]
    with pytest.raises(DataError, match='has "enable_thinking", which the chat template does not read'):
        answers(templates.CHATML, CHAT, **off)


def test_options_of_one_record_are_not_those_of_the_next() -> None:
    fast = tokenizer(templates.QWEN3)
    off = {"messages": CHAT[2:], "chat_template_kwargs": {"enable_thinking": False}}
    on = {"messages": CHAT[2:]}
    said = [learned(encode(record, fast)) for record in (off, on, off)]
    assert said == [["a<|im_end|>"], ["<think>\n\n</think>\n\na<|im_end|>"], ["a<|im_end|>"]]


def test_results_within_the_message_of_their_call() -> None:
    within = (
        "{% for m in messages %}{{ '<|turn>' + m.role + '\n' }}"
        "{% for call in m.tool_calls or [] %}{{ '<|tool_call>call:' + call.function.name + '<tool_call|>' }}"
        "{% endfor %}{% for result in m.tool_responses or [] %}"
        "{{ '<|tool_response>' + result.response + '<tool_response|>' }}{% endfor %}"
        "{{ m.content + '<turn|>\n' }}{% endfor %}"
        "{% if add_generation_prompt %}{{ '<|turn>assistant\n' }}{% endif %}"
    )
    call = {"role": "assistant", "tool_calls": [{"function": {"name": "look"}}]}
    results = {"tool_responses": [{"response": "RESULT"}]}
    messages = [CHAT[0], {**call, **results, "content": "done"}]
    assert answers(within, messages) == ["<|tool_call>call:look<tool_call|>", "done<turn|>"]
    messages = [CHAT[0], {**call, **results, "content": ""}, *CHAT[2:]]
    assert answers(within, messages) == ["<|tool_call>call:look<tool_call|>", "a<turn|>"]


TOOLS = [{"type": "function", "function": {"name": "look", "description": "Looks."}}]


def test_calls_are_learned_and_results_are_not() -> None:
    call = '<tool_call>\n{"name": "look", "arguments": {"at": "clock", "n": 3}}\n</tool_call><|im_end|>'
    assert answers(templates.QWEN2_5, CALLS, tools=TOOLS) == [call, "done<|im_end|>"]
    assert answers(templates.GEMMA4, CALLS) == [
        '<|tool_call>call:look{at:<|"|>clock<|"|>,n:3}<tool_call|>',
        "done<turn|>",
    ]


def test_calls_that_the_template_does_not_show_are_refused() -> None:
    with pytest.raises(DataError, match='leaves out "tool_calls" of message 2, whose role is "assistant"'):
        encode({"messages": CALLS}, tokenizer(templates.CHATML))
    with pytest.raises(DataError, match='has "tools", which the chat template does not read'):
        encode({"messages": CHAT, "tools": TOOLS}, tokenizer(templates.CHATML))
    spelled = [dict(message) for message in CALLS]
    spelled[1]["tool_calls"] = [{"function": {"name": "look", "arguments": '{"at": "clock"}'}}]
    # The template spells a string as a JSON string, quotes and all.
    assert '"{\\"at\\"' in str(tokenizer(templates.QWEN2_5).apply_chat_template(spelled, tokenize=False))
    with pytest.raises(DataError, match='leaves out or rewrites part of "tool_calls" of message 2'):
        encode({"messages": spelled[:2]}, tokenizer(templates.QWEN2_5))


def test_a_message_that_the_template_leaves_out_is_refused() -> None:
    with pytest.raises(DataError, match='leaves out "content" of message 2, whose role is "system"'):
        late = [CHAT[0], SYSTEM, CHAT[1]]
        encode({"messages": late}, tokenizer(templates.MISTRAL))
    with pytest.raises(DataError, match='leaves out "name" of message 1'):
        named = [{**CHAT[0], "name": "alice"}, CHAT[1]]
        encode({"messages": named}, tokenizer(templates.CHATML))


def test_roles_that_the_template_does_not_name_are_refused() -> None:
    observation = [*CHAT[:2], {"role": "observation", "content": "b"}, CHAT[3]]
    with pytest.raises(DataError, match='has the role "observation", which the chat template does not name'):
        encode({"messages": observation}, tokenizer(templates.CHATML))
    aware = "{% set known = ['observation'] %}" + templates.CHATML
    assert answers(aware, observation)[-1] == "a<|im_end|>"


def test_a_conversation_that_the_assistant_opens() -> None:
    assert answers(templates.CHATML, CHAT[1:3]) == ["At 7:42 🌿<|im_end|>"]


def test_whitespace_around_the_words() -> None:
    padded = [{**message, "content": f" {message['content']}\n"} for message in CHAT]
    assert answers(templates.CHATML, padded) == [" At 7:42 🌿\n<|im_end|>", " a\n<|im_end|>"]
    assert answers(templates.LLAMA3, padded) == ["At 7:42 🌿<|eot_id|>", "a<|eot_id|>"]


def test_an_empty_answer_is_its_end() -> None:
    assert answers(templates.CHATML, [CHAT[0], {"role": "assistant", "content": ""}]) == ["<|im_end|>"]


def test_words_that_the_template_tells_by_their_ends() -> None:
    picky = templates.CHATML.replace(
        "m.content + '<|im_end|>", "m.content + ('!' if m.content.startswith('/') else '') + '<|im_end|>"
    )
    assert picky != templates.CHATML
    assert answers(picky, [{"role": "user", "content": "/stop"}, CHAT[1]]) == ["At 7:42 🌿<|im_end|>"]


def test_a_template_that_rewrites_the_words_is_refused() -> None:
    counting = templates.CHATML.replace("m.content +", "m.content | length | string +")
    with pytest.raises(DataError, match="rewrites the messages, so no label has a place: give prompt and"):
        encode({"messages": CHAT}, tokenizer(counting))


def test_generation_marks_that_take_in_another_message_are_refused() -> None:
    greedy = templates.CHATML.replace("{% for m", "{% generation %}{% for m").replace(
        "{% endfor %}", "{% endfor %}{% endgeneration %}"
    )
    with pytest.raises(DataError, match="marks messages 2 and 4 as one answer"):
        encode({"messages": CHAT}, tokenizer(greedy))
    with pytest.raises(DataError, match="puts words of message 1 into what the assistant says in message 2"):
        encode({"messages": CHAT[:2]}, tokenizer(greedy))


def test_one_bos_where_the_first_message_begins_with_one() -> None:
    bare = "{{ bos_token }}{% for m in messages %}{{ m.content }}{{ eos_token }}{% endfor %}"
    messages = [{"role": "user", "content": "<s>Hello"}, CHAT[1]]
    example = encode({"messages": messages}, tokenizer(bare))
    assert tokenizer(bare).decode(list(example.input_ids)) == "<s>Hello</s>At 7:42 🌿</s>"
    assert learned(example) == ["At 7:42 🌿</s>"]


WORDS = st.text("ab \n🌿é<>|:", min_size=1, max_size=6)
PROPERTY = ["CHATML", "LLAMA3", "LLAMA2", "GEMMA2", "PHI4", "GEMMA4", "MARKED", "QWEN2_5"]


@pytest.mark.parametrize("name", PROPERTY)
def test_any_words_are_learned_if_and_only_if_the_assistant_says_them(name: str) -> None:
    chat_template = getattr(templates, name)
    fast = tokenizer(chat_template)

    @settings(max_examples=25, deadline=None)
    @given(st.lists(WORDS, min_size=2, max_size=6))
    def run(contents: list[str]) -> None:
        contents = contents[: len(contents) // 2 * 2]
        roles = ["user", "assistant"] * 3
        messages = [{"role": role, "content": text} for role, text in zip(roles, contents, strict=False)]
        example = encode({"messages": messages}, fast)
        said = learned(example, chat_template)
        assert len(said) == len(contents) // 2
        for text, content in zip(said, contents[1::2], strict=True):
            end = ENDS.get(name, " </s>")
            assert text.endswith(end)
            assert text.removesuffix(end).strip() == content.strip()

    run()


def test_a_long_chat_is_rendered_as_often_as_a_short_one(monkeypatch: pytest.MonkeyPatch) -> None:
    renderings = []
    render = RENDERER.render
    monkeypatch.setattr(RENDERER, "render", lambda asked: renderings.append(0) or render(asked))

    def count(fast: PreTrainedTokenizerFast, turns: int, thought: str = "") -> int:
        renderings.clear()
        messages = [
            {"role": ("user", "assistant")[turn % 2], "content": thought * (turn % 2) + f"number {turn}"}
            for turn in range(turns)
        ]
        encode({"messages": messages}, fast)
        return len(renderings)

    for name in (*ENDS, "QWEN3", "GLM4", "PHI3", "HARMONY"):
        fresh = getattr(templates, name)
        assert count(tokenizer(fresh), 60) == count(tokenizer(fresh), 6) <= 12
        known = tokenizer(fresh)
        count(known, 6)
        # Marks of a template can depend on what is said: the words are located each time.
        assert count(known, 6) == (2 if name == "MARKED" else 1)
    known = tokenizer(templates.QWEN3)
    thought = "<think>hm</think>"
    assert count(known, 60, thought) <= 12
    assert count(known, 60, thought) <= 2


OPENS_REASONING = (
    "{% for m in messages %}{{ '<|im_start|>' + m.role + '\n' + m.content + '<|im_end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n<think>\n' }}{% endif %}"
)
MARKS_SOME = (
    "{% for m in messages %}{{ '<|im_start|>' + m.role + '\n' }}"
    "{% if m.role == 'assistant' and 'skip' not in m.content %}"
    "{% generation %}{{ m.content + '<|im_end|>' }}{% endgeneration %}"
    "{% else %}{{ m.content + '<|im_end|>' }}{% endif %}{{ '\n' }}{% endfor %}"
)


@pytest.mark.parametrize(
    ("chat_template", "others", "said"),
    [(OPENS_REASONING, "<think>\nhm</think>ok", ["hm</think>ok<|im_end|>"]), (MARKS_SOME, "skip it", [])],
)
def test_labels_do_not_depend_on_the_chats_before(chat_template: str, others: str, said: list[str]) -> None:
    plain, other = (
        {"messages": [CHAT[0], {"role": "assistant", "content": text}]} for text in ("Hello", others)
    )
    for records in ([plain, other], [other, plain], [plain, other, plain, other]):
        examples = encode_many(records, tokenizer(chat_template))
        for record, example in zip(records, examples, strict=True):
            assert isinstance(example, Example)
            expected = ["Hello<|im_end|>"] if record is plain else said
            assert learned(example, chat_template) == expected


def test_an_end_of_several_pieces_is_learned_whole() -> None:
    chat_template = "{% for m in messages %}{{ m.role + ': ' + m.content + ' [END]</s>' }}{% endfor %}"
    example = encode({"messages": CHAT}, tokenizer(chat_template))
    assert learned(example, chat_template) == ["assistant: At 7:42 🌿 [END]</s>", "assistant: a [END]</s>"]
    assert example.warnings == ()
