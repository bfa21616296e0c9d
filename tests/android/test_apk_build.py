"""build.py as a developer calls it: an SDK's layout, a key of one's own, and everything that can be wrong."""

from __future__ import annotations

import re
import shutil
import subprocess
import zipfile
from pathlib import Path

import pytest

from tests.android.conftest import BUILD, Apk, build
from tests.android.tools import Tools
from tests.debian_source import run
from tests.native.runner import runner

pytestmark = pytest.mark.android

PASSWORD = "a secret"
NATIVE = ["--native", "x86_64", "--executorch", "x86_64=/", "--executorch-sources", "/"]
"""All that a build by the NDK needs but the NDK: folders."""


@pytest.fixture(scope="module")
def sdk(android_tools: Tools, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The real tools as Android's SDK has them."""
    home = tmp_path_factory.mktemp("sdk")
    platform, tools = home / "platforms" / "android-35", home / "build-tools" / "35.0.1"
    for folder in (platform, tools / "lib", home / "build-tools" / "9.0.0"):
        folder.mkdir(parents=True)
    (tools / "lib" / "d8.jar").symlink_to(android_tools.d8)
    (tools / "aapt2").symlink_to(android_tools.aapt2)
    for tool in ("zipalign", "apksigner"):
        (tools / tool).symlink_to(shutil.which(tool) or "")
    # Classes and resources are in one file.
    with zipfile.ZipFile(platform / "android.jar", "w") as made:
        for part in (android_tools.framework, android_tools.resources):
            with zipfile.ZipFile(part) as jar:
                for name in jar.namelist():
                    made.writestr(name, jar.read(name))
    return home


def only_sdk(sdk: Path, java_home: Path | None = None) -> dict[str, str]:
    """Environment of a machine where the SDK is all there is; variables that are empty name nothing."""
    named = {f"LOWPEAK_ANDROID_{name}": "" for name in ("FRAMEWORK", "RESOURCES", "D8", "AAPT2")}
    return {**named, "ANDROID_HOME": str(sdk), "JAVA_HOME": str(java_home or ""), "ANDROID_NDK": ""}


def jdk() -> Path:
    return Path(shutil.which("javac") or "").resolve().parents[1]


def test_an_sdk_and_a_key_of_one_s_own(sdk: Path, tmp_path: Path) -> None:
    keystore = tmp_path / "my keys"
    run(
        tmp_path,
        *("keytool", "-genkeypair", "-keystore", str(keystore), "-alias", "mine", "-storepass", PASSWORD),
        *("-keyalg", "EC", "-validity", "9999", "-dname", "CN=Somebody"),
    )
    out = tmp_path / "out of it"
    done = build(
        *("--out", str(out), "--runner", f"x86_64={runner()}", "--linux-runner"),
        *("--keystore", str(keystore), "--key-alias", "mine"),
        **only_sdk(sdk, jdk()),
        LOWPEAK_ANDROID_KEYSTORE_PASSWORD=PASSWORD,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"{out / 'lowpeak-demo.apk'}\n"
    said = run(tmp_path, "apksigner", "verify", "--print-certs", str(out / "lowpeak-demo.apk"))
    assert "Signer #1 certificate DN: CN=Somebody\n" in said


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ([], ["a runner: name one by --runner, or build one by --native"]),
        (
            ["--runner", "arm64-v8a=/nope", "--keystore", "/nope"],
            [
                "there is no /nope: build native/ for arm64-v8a",
                "--keystore /nope is not there: make it",
                "--keystore /nope needs --key-alias",
                "--keystore /nope needs its password in LOWPEAK_ANDROID_KEYSTORE_PASSWORD",
            ],
        ),
        (
            ["--native", "x86_64"],
            [
                "--native x86_64: ANDROID_NDK is not set",
                "--native x86_64 needs --executorch x86_64=FOLDER",
                "--native x86_64 needs --executorch-sources FOLDER",
            ],
        ),
    ],
)
def test_everything_that_is_missing_is_named_in_one_list(
    options: list[str], says: list[str], tmp_path: Path
) -> None:
    empty = {**only_sdk(tmp_path), "ANDROID_HOME": "", "PATH": str(tmp_path)}
    done = build("--out", str(tmp_path / "out"), *options, **empty)
    assert done.returncode == 1
    lines = done.stderr.splitlines()
    assert lines[0] == "build.py: the APK cannot be built, these are missing:"
    assert len(lines) == 10 + len(says)
    for said in says:
        assert f"  {said}" in done.stderr
    for tool in ("javac", "java", "keytool"):
        assert f"  {tool}: install a JDK of version 11 or later and set JAVA_HOME" in done.stderr
    for tool in ("framework", "resources", "d8", "aapt2", "zipalign", "apksigner"):
        packages = "'platforms;android-35' 'build-tools;35.0.1'"
        hint = f"install Android's SDK and set ANDROID_HOME (sdkmanager {packages})"
        assert f"  {tool}: {hint}, or name it by --{tool} or LOWPEAK_ANDROID_{tool.upper()}" in done.stderr


@pytest.mark.parametrize(
    ("options", "environment", "says"),
    [
        (["--d8", "/no/d8.jar", "--runner", "x86_64=/bin/sh"], {}, "d8: /no/d8.jar is not there"),
        ([], {"ANDROID_HOME": "/no/sdk"}, "ANDROID_HOME names /no/sdk, which is no folder"),
        ([], {}, "a runner: name one by --runner, or build one by --native"),
        (["--runner", "mips=/bin/true"], {}, "the ABI is one of arm64-v8a, x86_64"),
        (["--runner", "x86_64=/no/runner"], {}, "there is no /no/runner: build native/ for x86_64"),
        (["--runner", "x86_64=/bin/sh", "--runner", "x86_64=/bin/sh"], {}, "two runners for one ABI"),
        (["--runner", "x86_64=/bin/sh"], {}, "is a program for /lib64/ld-linux-x86-64.so.2, not for Android"),
        (["--runner", "arm64-v8a=/bin/sh"], {}, "is built for ELF machine 62; arm64-v8a is 183"),
        (["--runner", f"x86_64={__file__}"], {}, "is no 64-bit program for Linux or Android"),
        (NATIVE, {"ANDROID_NDK": ""}, "ANDROID_NDK is not set: install the NDK"),
        (
            NATIVE,
            {"ANDROID_NDK": "/no/ndk"},
            "ANDROID_NDK names /no/ndk, which has no android",
        ),
        (
            ["--runner", "x86_64=/bin/sh", "--keystore", __file__, "--key-alias", "mine"],
            {},
            f"--keystore {__file__} needs its password in LOWPEAK_ANDROID_KEYSTORE_PASSWORD",
        ),
    ],
)
def test_what_is_wrong_is_said(
    options: list[str], environment: dict[str, str], says: str, tmp_path: Path
) -> None:
    done = build("--out", str(tmp_path), *options, **environment)
    assert done.returncode == 1
    assert says in done.stderr
    assert len(done.stderr.splitlines()) <= 2
    assert not list(tmp_path.glob("*.apk"))


def test_a_runner_for_small_pages_is_refused(tmp_path: Path) -> None:
    source = tmp_path / "main.c"
    source.write_text("int main() { return 0; }\n")
    for page, accepted in ((4096, False), (16384, True)):
        program = tmp_path / f"runner-{page}"
        subprocess.run(
            ["gcc", str(source), "-o", str(program), f"-Wl,-z,max-page-size={page}",
             "-Wl,--dynamic-linker=/system/bin/linker64"],
            check=True,
        )  # fmt: skip
        # After the runner's check nothing is to be built here.
        done = build("--out", str(tmp_path), "--runner", f"x86_64={program}", "--aapt2", "/bin/false")
        refused = f"{program} is linked for pages of {page} bytes" in done.stderr
        assert refused is not accepted, done.stderr
        assert ("false failed" in done.stderr) is accepted


def test_a_library_that_android_would_not_install_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "runner"
    folder.mkdir()
    source = tmp_path / "main.c"
    source.write_text("int main() { return 0; }\n")
    linker = "-Wl,-z,max-page-size=16384,--dynamic-linker=/system/bin/linker64"
    for name in ("lowpeak-runner", "libexecutorch.so.1"):
        subprocess.run(["gcc", str(source), "-o", str(folder / name), linker], check=True)
    done = build("--out", str(tmp_path), "--runner", f"x86_64={folder}")
    assert "libexecutorch.so.1: Android installs no library whose name is not lib*.so" in done.stderr


def test_gradle_has_the_same_numbers(apk: Apk) -> None:
    """It is not run here: at least it says what build.py does, and that it was not run."""
    demo = BUILD.parent
    gradle = (demo / "app" / "build.gradle.kts").read_text()
    badging = apk.aapt2("badging")
    for written, badge in (
        ('applicationId = "{}"', r"package: name='(.+?)'"),
        ("versionCode = {}", r"versionCode='(\d+)'"),
        ('versionName = "{}"', r"versionName='(.+?)'"),
        ("compileSdk = {}", r"compileSdkVersion='(\d+)'"),
        ("minSdk = {}", r"minSdkVersion:'(\d+)'"),
        ("targetSdk = {}", r"targetSdkVersion:'(\d+)'"),
    ):
        match = re.search(badge, badging)
        assert match is not None
        assert f"    {written.format(match[1])}\n" in gradle
    for name in ("settings.gradle.kts", "build.gradle.kts", "gradle.properties", "app/build.gradle.kts"):
        assert "NOT RUN by lowpeak's checks" in (demo / name).read_text()


def test_the_ndk_alone_is_not_enough(tmp_path: Path) -> None:
    """Nothing is built here: there is a folder that looks like an NDK."""
    toolchain = tmp_path / "build" / "cmake" / "android.toolchain.cmake"
    toolchain.parent.mkdir(parents=True)
    toolchain.touch()
    for options, says in (
        ([], "--native x86_64 needs --executorch x86_64=FOLDER, ExecuTorch installed for x86_64"),
        (
            ["--executorch", "x86_64=/no"],
            "--executorch x86_64=/no is no folder: build and install ExecuTorch there",
        ),
        (["--executorch", f"x86_64={tmp_path}"], "--native x86_64 needs --executorch-sources FOLDER"),
    ):
        done = build("--out", str(tmp_path), "--native", "x86_64", *options, ANDROID_NDK=str(tmp_path))
        assert done.returncode == 1
        assert says in done.stderr
