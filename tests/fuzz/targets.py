"""The coverage-guided fuzzers of tests/fuzz/native: built with Clang, run from seeds of a tiny artifact.

python -m tests.fuzz.targets --seconds 600
"""

from __future__ import annotations

import argparse
import hashlib
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.fuzz.seeds import ARTIFACT, BATCHES, DATA, environment, save_seeds
from tests.native.build import run

SOURCES = Path(__file__).with_name("native")
LONGEST = {"record": 1 << 14, "job": 1 << 14, "chat": 1 << 16}
"""Bytes of an input; else 1 MB."""


def targets() -> list[str]:
    """By their lines in CMakeLists.txt."""
    return re.findall(r"^lowpeak_fuzzer\((\w+)", (SOURCES / "CMakeLists.txt").read_text(), re.M)


def build(only: str = "") -> Path:
    """The folder where they are built. RuntimeError without Clang, or when a build fails."""
    if shutil.which("clang++") is None:
        raise RuntimeError("the fuzzers need clang++ with libFuzzer on the PATH")
    checkout = hashlib.sha256(f"{SOURCES} {sys.prefix}".encode()).hexdigest()[:12]
    folder = Path(tempfile.gettempdir()) / f"lowpeak-fuzzers-{checkout}"
    return build_in(folder, only)


def build_in(folder: Path, only: str = "") -> Path:
    python = f"-DPython_EXECUTABLE={sys.executable}"
    compiler = "-DCMAKE_CXX_COMPILER=clang++"
    run("cmake", "-S", str(SOURCES), "-B", str(folder), "-G", "Ninja", python, compiler)
    names = [f"fuzz_{name}" for name in targets() if only in name]
    run("cmake", "--build", str(folder), "--target", *names)
    return folder


def save_corpora(folder: Path, seeds: Path) -> None:
    """A folder of first inputs for each target, of the files of the artifact with a tokenizer."""
    files = {
        "manifest": [seeds / ARTIFACT / "manifest.json"],
        "program": [seeds / ARTIFACT / "program.pte"],
        "weights": [seeds / ARTIFACT / "weights.ptd"],
        "safetensors": [*(seeds / BATCHES).iterdir(), seeds / "kept" / "checkpoint.safetensors"],
        "job": [seeds / "train.json"],
        "tokenizer": [seeds / ARTIFACT / "tokenizer.json"],
        "chat": [seeds / ARTIFACT / "chat.json"],
    }
    for name in targets():
        (folder / name).mkdir(parents=True, exist_ok=True)
        for index, file in enumerate(files.get(name, [])):
            shutil.copy(file, folder / name / f"seed-{index}")
    for index, line in enumerate((seeds / DATA).read_bytes().splitlines()):
        (folder / "record" / f"seed-{index}").write_bytes(line)


def fuzz(
    target: str, built: Path, corpora: Path, seeds: Path, seconds: int
) -> subprocess.CompletedProcess[str]:
    """Ends with 0 unless something was found; what led to it then lies in the folder of the corpora."""
    command = [
        str(built / f"fuzz_{target}"),
        f"-max_total_time={seconds}",
        "-timeout=20",
        "-rss_limit_mb=2048",
    ]
    command += [
        f"-max_len={LONGEST.get(target, 1 << 20)}",
        f"-artifact_prefix={corpora}/",
        "-print_final_stats=1",
    ]
    return subprocess.run(
        [*command, str(corpora / target)],
        env={**environment(), "LOWPEAK_FUZZ_FOLDER": str(seeds), "ASAN_OPTIONS": "detect_leaks=0"},
        capture_output=True,
        text=True,
        check=False,
    )


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=int, default=60, help="of each target")
    parser.add_argument("--only", default="", help="a part of the names of the targets")
    options = parser.parse_args()
    built = build(options.only)
    folder = Path(tempfile.mkdtemp(prefix="lowpeak-fuzz-"))
    seeds = save_seeds(folder / "seeds")[0]
    save_corpora(folder, seeds)
    failed = []
    for target in targets():
        if options.only not in target:
            continue
        done = fuzz(target, built, folder, seeds, options.seconds)
        stats = dict(re.findall(r"stat::(\w+):\s+(\d+)", done.stderr))
        print(
            f"{target}: exit {done.returncode}, {stats.get('number_of_executed_units', '0')} executions",
            flush=True,
        )
        if done.returncode:
            failed.append(target)
            print(done.stderr[-6000:])
    if failed:
        print(f"what led to them is in {folder}")
        return 1
    shutil.rmtree(folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())
