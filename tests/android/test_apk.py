"""The APK as build.py makes it: signed, aligned, with what is said of it."""

from __future__ import annotations

import hashlib
import re
import zipfile

import pytest

from tests.android.conftest import Apk
from tests.debian_source import run

pytestmark = pytest.mark.android


@pytest.mark.parametrize(("oldest", "newest", "scheme"), [(24, 27, "v2"), (28, 35, "v3")])
def test_it_is_signed(apk: Apk, oldest: int, newest: int, scheme: str) -> None:
    """Of several schemes only the newest is looked at that the versions of Android know."""
    versions = ("--min-sdk-version", str(oldest), "--max-sdk-version", str(newest))
    said = run(apk.path.parent, "apksigner", "verify", "--print-certs", "-v", *versions, str(apk.path))
    assert said.startswith("Verifies\n")
    assert re.search(rf"Verified using {scheme} scheme .*: true", said)
    assert "Verified using v1 scheme (JAR signing): false" in said
    assert "Signer #1 certificate DN: CN=Android Debug, O=Android, C=US" in said


def test_a_changed_byte_is_noticed(apk: Apk) -> None:
    data = bytearray(apk.path.read_bytes())
    with zipfile.ZipFile(apk.path) as archive:
        entry = archive.getinfo("classes.dex")
    data[entry.header_offset + entry.compress_size // 2] ^= 1
    changed = apk.path.with_name("changed.apk")
    changed.write_bytes(data)
    with pytest.raises(RuntimeError, match="DOES NOT VERIFY"):
        run(changed.parent, "apksigner", "verify", str(changed))


def test_it_is_aligned(apk: Apk) -> None:
    run(apk.path.parent, "zipalign", "-c", "-p", "4", str(apk.path))


def test_badging(apk: Apk) -> None:
    badging = apk.aapt2("badging")
    assert "package: name='dev.lowpeak.demo' versionCode='1' versionName='0.1.0'" in badging
    assert "compileSdkVersion='35'" in badging
    assert "minSdkVersion:'28'\n" in badging
    assert "targetSdkVersion:'35'\n" in badging
    assert "launchable-activity: name='dev.lowpeak.demo.MainActivity'" in badging
    assert "native-code: 'x86_64'\n" in badging
    permissions = set(re.findall(r"uses-permission: name='(.+)'", badging))
    # None to reach the network: what is learned stays on the phone.
    assert permissions == {
        "android.permission.FOREGROUND_SERVICE",
        "android.permission.FOREGROUND_SERVICE_SPECIAL_USE",
        "android.permission.POST_NOTIFICATIONS",
        "android.permission.WAKE_LOCK",
    }


def test_it_carries_the_runner_as_it_is(apk: Apk) -> None:
    with zipfile.ZipFile(apk.path) as archive:
        packed = archive.read("lib/x86_64/liblowpeak_runner.so")
        others = [name for name in archive.namelist() if name.startswith("lib/")]
    assert hashlib.sha256(packed).digest() == hashlib.sha256(apk.runner.read_bytes()).digest()
    assert others == ["lib/x86_64/liblowpeak_runner.so"]
    # This machine's: it shows that it is packed, not that it runs on a phone.
    assert b"/lib64/ld-linux-x86-64.so.2\0" in packed


def test_nothing_of_the_framework_is_packed(apk: Apk) -> None:
    assert all(name.startswith("dev/lowpeak/") for name in apk.classes)
    assert "dev/lowpeak/core/RunMachine" in apk.classes
    assert "dev/lowpeak/demo/MainActivity" in apk.classes
