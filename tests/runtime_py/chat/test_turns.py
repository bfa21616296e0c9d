"""What must hold of turns, whatever finds them."""

from __future__ import annotations

import pytest

from lowpeak_artifact.errors import DataError
from lowpeak_runtime.data.chat.marks import STYLES, Leaf, Region, mark
from lowpeak_runtime.data.chat.turns import (
    Run,
    Turn,
    check,
    check_openings,
    common_pieces,
    first_piece,
    left_open,
    missing_key,
    runs_of,
    without_empty,
)

TEXT = "<|user|>Hi<|end|><|assistant|>Hello<|end|><|user|>Bye<|end|>"


def run(message: int, said: bool, words: str) -> Run:
    start = TEXT.index(words)
    return Run(message, said, start, start + len(words), ())


RUNS = [run(0, False, "Hi"), run(1, True, "Hello"), run(2, False, "Bye")]


def turn(words: str) -> Turn:
    return Turn(1, TEXT.index(words), TEXT.index(words) + len(words), True)


def test_a_turn_holds_its_own_words_only() -> None:
    check([turn("Hello<|end|>")], RUNS)
    check([turn("<|end|><|assistant|>Hello<|end|><|user|>")], RUNS)
    for words, other in (("Hello<|end|><|user|>B", 3), ("i<|end|><|assistant|>Hello", 1)):
        with pytest.raises(DataError, match=f"puts words of message {other} into what the assistant says in"):
            check([turn(words)], RUNS)
    with pytest.raises(DataError, match="mixes messages 2 and 2"):
        check([turn("Hello"), turn("lo<|end|>")], RUNS)
    with pytest.raises(DataError, match="mixes messages 1 and 2"):
        check([], [run(0, False, "Hi<|end|><|assistant|>He"), run(1, True, "Hello")])


def test_a_turn_holds_no_opening_of_another() -> None:
    check_openings([turn("Hello<|end|>")], RUNS, TEXT)
    for words in ("Hello<|end|><|user|>", "<|user|>Hi<|end|><|assistant|>Hello"):
        with pytest.raises(DataError, match=r"opens another's turn, '<\|user\|>', within .* in message 2"):
            check_openings([turn(words)], RUNS, TEXT)


def test_words_may_name_an_opening() -> None:
    text = TEXT.replace("Hello", "<|user|>")
    said = Run(1, True, 30, 38, ())
    assert text[30:38] == "<|user|>"
    later = run(2, False, "Bye")
    check_openings(
        [Turn(1, 30, 45, True)], [RUNS[0], said, Run(2, False, later.start + 3, later.end + 3, ())], text
    )


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        ("<|end|>\n<|endoftext|>", "<|end|>\n<|user|>\n", "<|end|>\n"),
        ("</s>", "</s>### user: ", "</s>"),
        ("[/INST] a", "[/INST] b", "[/INST] "),
        ("<im>a", "<im>ab", "<im>"),
        ("\n", "\n\n", ""),
        ("ENDofuser", "ENDofsystem", "ENDof"),
    ],
)
def test_a_common_beginning_has_no_half_token(one: str, other: str, expected: str) -> None:
    assert common_pieces(one, other, ["ENDof"]) == common_pieces(other, one, ["ENDof"]) == expected


def test_first_piece() -> None:
    assert first_piece(" <|end|><|user|>", []) == " <|end|>"
    assert first_piece("ENDofuser", ["END"]) == "END"
    assert first_piece("", []) == first_piece("\n", [])[1:] == ""


def test_a_tag_that_somebody_else_closes() -> None:
    assert left_open("<tool_call|><|tool_response>", "RESULT<tool_response|>") == 12
    assert left_open("</s><result>", "7</result></s>") == 4
    assert left_open("<|end|>[RESULT]", "7[/RESULT]") == 7
    assert left_open("<|im_end|>", "<|im_start|>a<|im_end|>") == 10


def leaf(number: int, text: str, message: int = 1, said: bool = True) -> Leaf:
    return Leaf(number, message, "content", text, said, False)


def test_what_is_missing() -> None:
    assert missing_key("At  7:42<|end|>", [leaf(0, "At 7:42\n")]) is None
    assert missing_key("7:42<|end|>", [leaf(0, "At 7:42")]) == "content"
    assert missing_key('{"at": "a\\"b"}', [leaf(0, 'a"b')]) is None
    assert missing_key('"{\\"at\\": 1}"', [leaf(0, '{"at": 1}')]) == "content"


def test_runs_are_of_one_message_and_one_speaker() -> None:
    regions = [
        Region(leaf(0, "a", 0, False), 0, 1, False),
        Region(leaf(1, "b"), 2, 3, True),
        Region(leaf(2, "c"), 4, 5, True),
        Region(leaf(2, "c"), 6, 7, False),
        Region(leaf(3, ""), 8, 8, True),
    ]
    spans = [(run.message, run.said, run.start, run.end) for run in runs_of(without_empty(regions))]
    assert spans == [(0, False, 0, 1), (1, True, 2, 5), (1, False, 6, 7)]
    assert without_empty([Region(leaf(0, ""), 0, 0, True)]) != []


@pytest.mark.parametrize("style", STYLES)
def test_marks_say_where_words_stand(style: object) -> None:
    messages = [
        {"role": "user", "content": " Hi\n"},
        {"role": "assistant", "content": "\U000f0000 Hello", "calls": [{"type": "x", "n": 1, "to": "me"}]},
    ]
    assert style in STYLES
    marked = mark(messages, STYLES[STYLES.index(style)], "\U000f0001")  # type: ignore[arg-type]
    first, second = marked.messages
    assert (first["role"], second["calls"][0]["type"], second["calls"][0]["n"]) == ("user", "x", 1)
    rendered = f"<{first['content']}>\U000f0001[{second['content']}]{{{second['calls'][0]['to']}}}"
    text, regions = marked.read(rendered)
    assert text == "< Hi\n>\U000f0001[\U000f0000 Hello]{me}"
    assert [text[region.start : region.end].strip() for region in regions] == ["Hi", "\U000f0000 Hello", "me"]
    assert [region.said for region in regions] == [False, True, True]
    # Where the template leaves out the beginning of the words, their end is still theirs.
    cut = rendered.replace(second["content"], second["content"].split("He")[-1])
    text, regions = marked.read(cut)
    if style in STYLES[:3]:
        assert text[regions[1].start : regions[1].end] == "llo"
