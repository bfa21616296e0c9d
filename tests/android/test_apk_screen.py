"""The screen's layout and resources: what a screen reader says, how large things are, day and night."""

from __future__ import annotations

import re

import pytest

from tests.android.conftest import Apk
from tests.android.test_apk_manifest import Element, tree

pytestmark = pytest.mark.android

KINDS = ("TextView", "Button", "CheckBox", "EditText", "Spinner", "dev.lowpeak.demo.ChartView")
HEADING, TEXT_SIZE, TEXT_APPEARANCE = "0x01010580", "0x01010095", "0x01010034"
"""Android's numbers of the attributes accessibilityHeading, textSize and textAppearance."""


@pytest.fixture(scope="module")
def layout(apk: Apk) -> Element:
    return tree(apk.aapt2("xmltree", "--file", "res/layout/main.xml"))


@pytest.fixture(scope="module")
def resources(apk: Apk) -> str:
    return apk.aapt2("resources")


def test_everything_has_words_for_a_screen_reader(layout: Element) -> None:
    labelled = {one.attributes.get("labelFor") for one in layout.all("TextView")}
    for one in layout.all("EditText"):
        assert "hint" in one.attributes or one.attributes["id"] in labelled, one
    for one in layout.all("Spinner"):
        assert one.attributes["contentDescription"].startswith("@0x7f"), one
    for kind in ("Button", "CheckBox"):
        for one in layout.all(kind):
            assert one.attributes["text"].startswith("@0x7f"), one
    assert len(layout.all("EditText")) == 4
    assert len(layout.all("Button")) == 15


def test_the_charts_are_described_in_words(apk: Apk) -> None:
    shown = apk.classes["dev/lowpeak/demo/ChartView"].method("show")
    names = [one.name for one in shown.references]
    assert names.index("describe") < names.index("setContentDescription")


def test_what_is_told_is_said_at_once(layout: Element) -> None:
    live = [one for one in layout.all("TextView") if "accessibilityLiveRegion" in one.attributes]
    assert [one.attributes["accessibilityLiveRegion"] for one in live] == ["1"]


def test_headings_are_headings(layout: Element, resources: str) -> None:
    style = rf"resource (0x7f\w+) style/Section\n(?: {{6,}}.*\n)*? +{HEADING}=true\n"
    section = re.search(style, resources)
    assert section is not None
    headings = [one for one in layout.all("TextView") if one.attributes.get("style") == f"@{section[1]}"]
    assert len(headings) == 6


def test_letters_have_the_size_that_the_user_chose(layout: Element, resources: str) -> None:
    """No size of its own: those of the system's styles are in sp."""
    for kind in KINDS:
        for one in layout.all(kind):
            assert "textSize" not in one.attributes
            assert one.attributes.get("layout_height", "-2") == "-2", "larger letters need room"
    assert not re.search(rf" {TEXT_SIZE}=", resources)
    assert re.search(rf" {TEXT_APPEARANCE}=\?0x0101", resources)


def test_there_is_a_night(resources: str) -> None:
    for name in ("style/Demo", "color/accent"):
        configurations = re.search(rf"resource 0x7f\w+ {name}\n((?:      .*\n)+)", resources)
        assert configurations is not None
        assert "()" in configurations[1] and "(night)" in configurations[1]


def test_it_stands_clear_of_the_system_s_bars(layout: Element) -> None:
    """From API 35 on apps draw behind them."""
    assert layout.one("ScrollView").attributes["fitsSystemWindows"] == "true"
