"""Builds the demo's APK, without Gradle.

    python android_demo/build.py --runner arm64-v8a=build/arm64/lowpeak-runner
    python android_demo/build.py --native arm64-v8a \\
        --executorch arm64-v8a=build/et-install --executorch-sources executorch

javac -> D8 -> aapt2 -> zipalign -> apksigner, of ANDROID_HOME or as options and variables name them; native/
with the NDK of ANDROID_NDK. The APK is signed by the key that --keystore names, or by a debug key of its own.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

from tools.ndk import MIN_SDK, build_runner, missing_for_native
from tools.runners import MACHINES, NativeFile, missing_runner, native_files
from tools.sdk import COMPILE_NAME, COMPILE_SDK, BuildError, Sdk, find_sdk, variable

HERE = Path(__file__).resolve().parent
SOURCES = (HERE / "core" / "src" / "main" / "java", HERE / "app" / "src" / "main" / "java")
MANIFEST = HERE / "app" / "src" / "main" / "AndroidManifest.xml"
RESOURCES = HERE / "app" / "src" / "main" / "res"
VERSION_CODE, VERSION_NAME = 1, "0.1.0"
TOOLS = ("javac", "java", "keytool", "framework", "resources", "d8", "aapt2", "zipalign", "apksigner")
PASSWORD = variable("keystore_password")
DEBUG_ALIAS, DEBUG_PASSWORD = "androiddebugkey", "android"


def main(arguments: list[str]) -> int:
    options = parser().parse_args(arguments)
    try:
        out = options.out.absolute()
        out.mkdir(parents=True, exist_ok=True)
        sdk, missing = find_sdk(
            {tool: getattr(options, tool) or os.environ.get(variable(tool)) for tool in TOOLS}
        )
        missing += missing_runners(options) + missing_key(options)
        if missing:
            raise BuildError("the APK cannot be built, these are missing:\n  " + "\n  ".join(missing))
        apk = build(sdk, packed(options, out), out, options.keystore, options.key_alias)
    except BuildError as error:
        print(f"build.py: {error}", file=sys.stderr)
        return 1
    print(apk)
    return 0


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(
        "build.py", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    abis = ", ".join(MACHINES)
    made.add_argument(
        "--out", type=Path, default=HERE / "build", help="folder for the APK and what it is made of"
    )
    made.add_argument(
        *("--runner", "-r"), action="append", default=[], metavar="ABI=PATH", type=pair,
        help=f"lowpeak-runner, or a folder with it and its libraries; {abis}",
    )  # fmt: skip
    made.add_argument(
        *("--native", "-n"), action="append", default=[], metavar="ABI", choices=list(MACHINES),
        help="build the runner with ANDROID_NDK",
    )  # fmt: skip
    made.add_argument(
        "--executorch", action="append", default=[], metavar="ABI=FOLDER", type=pair,
        help="for --native: where ExecuTorch built for the ABI is installed",
    )  # fmt: skip
    made.add_argument(
        "--executorch-sources",
        type=Path,
        metavar="FOLDER",
        help="for --native: what ExecuTorch was built from",
    )
    made.add_argument(
        "--linux-runner",
        action="store_true",
        help="pack a runner that is not built for Android: it will not start",
    )
    made.add_argument("--keystore", type=Path, help=f"signs with this key; its password is {PASSWORD}")
    made.add_argument("--key-alias", help="the key in the keystore")
    for tool in TOOLS:
        made.add_argument(f"--{tool}", metavar="FILE", help=f"or {variable(tool)}")
    return made


def pair(text: str) -> tuple[str, Path]:
    abi, equals, path = text.partition("=")
    if not equals or not path:
        raise argparse.ArgumentTypeError(f"{text} is not ABI=PATH")
    return abi, Path(path)


def missing_runners(options: argparse.Namespace) -> list[str]:
    if not options.runner and not options.native:
        return ["a runner: name one by --runner, or build one by --native: the app has nothing to train with"]
    executorch = dict(options.executorch)
    missing = [missing_runner(abi, path) for abi, path in options.runner]
    for abi in options.native:
        missing += missing_for_native(abi, executorch.get(abi), options.executorch_sources)
    return [each for each in missing if each]


def missing_key(options: argparse.Namespace) -> list[str]:
    if options.keystore is None:
        return []
    needs = {
        "is not there: make it with keytool, or leave it out for a debug key": options.keystore.is_file(),
        "needs --key-alias, the key in it": options.key_alias,
        f"needs its password in {PASSWORD}": os.environ.get(PASSWORD),
    }
    return [f"--keystore {options.keystore} {what}" for what, given in needs.items() if not given]


def packed(options: argparse.Namespace, out: Path) -> list[NativeFile]:
    executorch = dict(options.executorch)
    sources = options.executorch_sources
    built = [(abi, build_runner(abi, executorch[abi], sources, out)) for abi in options.native]
    runners = options.runner + built
    if len({abi for abi, _ in runners}) < len(runners):
        raise BuildError("there are two runners for one ABI")
    return [file for abi, path in runners for file in native_files(abi, path, options.linux_runner)]


def build(sdk: Sdk, native: list[NativeFile], out: Path, keystore: Path | None, alias: str | None) -> Path:
    """Builds and returns the APK; its parts stay beside it. Raises BuildError with what a tool said."""
    work = out / "parts"
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir()
    unsigned, aligned, signed = work / "unsigned.apk", work / "aligned.apk", out / "lowpeak-demo.apk"
    link_resources(sdk, work, unsigned)
    classes = compile_java(sdk, work)
    dex(sdk, classes, work / "dex")
    with zipfile.ZipFile(unsigned, "a", zipfile.ZIP_DEFLATED) as archive:
        for file in sorted((work / "dex").glob("classes*.dex")):
            archive.write(file, file.name)
        for library in native:
            archive.write(library.path, f"lib/{library.abi}/{library.name}")
    run(sdk.zipalign, "-f", "-p", "4", unsigned, aligned)
    sign(sdk, aligned, signed, keystore, alias)
    return signed


def link_resources(sdk: Sdk, work: Path, apk: Path) -> None:
    """Writes the APK with manifest and resources, and R.java to gen/."""
    run(sdk.aapt2, "compile", "--dir", RESOURCES, "-o", work / "resources.zip")
    run(
        *(sdk.aapt2, "link", "-I", sdk.resources, "--manifest", MANIFEST, "--java", work / "gen", "-o", apk),
        *("--min-sdk-version", MIN_SDK, "--target-sdk-version", COMPILE_SDK),
        *("--compile-sdk-version-code", COMPILE_SDK, "--compile-sdk-version-name", COMPILE_NAME),
        *("--version-code", VERSION_CODE, "--version-name", VERSION_NAME),
        work / "resources.zip",
    )


def compile_java(sdk: Sdk, work: Path) -> Path:
    """Compiles core, app and R.java into a jar and returns it."""
    files = [file for folder in (*SOURCES, work / "gen") for file in sorted(folder.rglob("*.java"))]
    listed = work / "sources.txt"
    listed.write_text("".join(f'"{file}"\n' for file in files))
    classes = work / "classes"
    run(
        *(sdk.javac, "--release", "11", "-encoding", "UTF-8", "-Xlint:all,-options", "-Werror"),
        *("-classpath", sdk.framework, "-d", classes, f"@{listed}"),
    )
    jar = work / "classes.jar"
    with zipfile.ZipFile(jar, "w") as archive:
        for file in sorted(classes.rglob("*.class")):
            archive.write(file, str(file.relative_to(classes)))
    return jar


def dex(sdk: Sdk, classes: Path, folder: Path) -> None:
    folder.mkdir()
    run(
        *(sdk.java, "-cp", sdk.d8, "com.android.tools.r8.D8", "--debug", "--min-api", MIN_SDK),
        *("--lib", sdk.framework, "--lib", sdk.jdk, "--output", folder, classes),
    )


def sign(sdk: Sdk, aligned: Path, signed: Path, keystore: Path | None, alias: str | None) -> None:
    password = os.environ.get(PASSWORD, "")
    if keystore is None:
        keystore, alias, password = signed.parent / "debug.keystore", DEBUG_ALIAS, DEBUG_PASSWORD
        if not keystore.is_file():
            make_debug_key(sdk, keystore)
    # The password is not to be seen among the processes.
    run(
        *(sdk.apksigner, "sign", "--ks", keystore, "--ks-key-alias", alias, "--ks-pass", "env:KEY_PASSWORD"),
        *("--v1-signing-enabled", "false", "--v2-signing-enabled", "true", "--v3-signing-enabled", "true"),
        *("--min-sdk-version", MIN_SDK, "--out", signed, aligned),
        environment={"KEY_PASSWORD": password},
    )


def make_debug_key(sdk: Sdk, keystore: Path) -> None:
    """Of the name and password that Android's own tools have for such keys."""
    run(
        *(sdk.keytool, "-genkeypair", "-keystore", keystore, "-alias", DEBUG_ALIAS, "-storetype", "PKCS12"),
        *("-storepass", DEBUG_PASSWORD, "-keyalg", "RSA", "-keysize", "2048", "-validity", "10000"),
        *("-dname", "CN=Android Debug,O=Android,C=US"),
    )


def run(*command: object, environment: dict[str, str] | None = None) -> None:
    """Raises BuildError with what the tool said."""
    words = list(map(str, command))
    done = subprocess.run(
        words, env={**os.environ, **(environment or {})}, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise BuildError(f"{Path(words[0]).name} failed:\n{(done.stdout + done.stderr).strip()}")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
