"""The manifest as the APK has it, by aapt2 dump xmltree."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

import pytest

from tests.android.conftest import Apk

pytestmark = pytest.mark.android

SPECIAL_USE = "0x40000000"


@dataclass
class Element:
    name: str
    depth: int
    attributes: dict[str, str] = field(default_factory=dict)
    children: list[Element] = field(default_factory=list)

    def all(self, name: str) -> list[Element]:
        """Of that name, at any depth."""
        below = [found for child in self.children for found in child.all(name)]
        return [child for child in self.children if child.name == name] + below

    def one(self, name: str) -> Element:
        (found,) = self.all(name)
        return found


@pytest.fixture(scope="module")
def manifest(apk: Apk) -> Element:
    return tree(apk.aapt2("xmltree", "--file", "AndroidManifest.xml"))


def tree(dump: str) -> Element:
    root = Element("", -1)
    path = [root]
    for line in dump.splitlines():
        depth = len(line) - len(line.lstrip())
        if match := re.match(r" *E: (\S+) \(line", line):
            while path[-1].depth >= depth:
                path.pop()
            path[-1].children.append(Element(match[1], depth))
            path.append(path[-1].children[-1])
        elif match := re.match(
            r' *A: (?:\S+/android:)?(\w+)(?:\(0x[0-9a-f]+\))?=(?:"(.*?)" \(Raw|(\S+))', line
        ):
            path[-1].attributes[match[1]] = match[2] if match[3] is None else match[3]
    return root


def test_the_service_declares_its_type_and_what_it_is_for(apk: Apk, manifest: Element) -> None:
    service = manifest.one("service")
    assert service.attributes["name"] == ".TrainingService"
    assert service.attributes["foregroundServiceType"] == SPECIAL_USE
    subtype = service.one("property").attributes
    assert subtype["name"] == "android.app.PROPERTY_SPECIAL_USE_FGS_SUBTYPE"
    # A reference to a text, which badging follows.
    assert re.search(
        rf"property: name='{subtype['name']}' value='Trains a language model", apk.aapt2("badging")
    )


def test_only_the_screen_is_for_other_apps(manifest: Element) -> None:
    exported = {
        one.attributes["name"]: one.attributes["exported"]
        for kind in ("activity", "service", "provider")
        for one in manifest.all(kind)
    }
    assert exported == {".MainActivity": "true", ".TrainingService": "false", ".AdapterProvider": "false"}
    assert manifest.one("provider").attributes["grantUriPermissions"] == "true"
    assert not manifest.all("receiver")


def test_the_screen_is_started_by_a_person_and_by_deploy(manifest: Element) -> None:
    activity = manifest.one("activity")
    assert activity.attributes["launchMode"] == "1"  # singleTop: a second intent comes to the same screen
    actions = [one.attributes["name"] for one in activity.all("action")]
    asked = [f"dev.lowpeak.demo.action.{name}" for name in ("TRAIN", "STOP")]
    assert actions == ["android.intent.action.MAIN", *asked]


def test_the_runner_is_extracted_and_run_as_works(manifest: Element) -> None:
    application = manifest.one("application").attributes
    assert application["extractNativeLibs"] == "true"
    assert application["debuggable"] == "true"


def test_nothing_is_backed_up(apk: Apk, manifest: Element) -> None:
    application = manifest.one("application").attributes
    assert application["allowBackup"] == "false"
    assert application["fullBackupContent"] == "false"
    assert application["dataExtractionRules"].startswith("@0x7f")
    rules = tree(apk.aapt2("xmltree", "--file", "res/xml/no_data_extraction.xml"))
    for kind in ("cloud-backup", "device-transfer"):
        excluded = [one.attributes["domain"] for one in rules.one(kind).all("exclude")]
        assert excluded == ["root", "file"]
