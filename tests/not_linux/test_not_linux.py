"""The verbs in a process without the files and calls of Linux: what works, and what says that it does not.

That is not macOS; it shows that nothing of Linux is needed.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.lowpeak.checkpoint import SEQ_LEN, save_checkpoint, save_data

STARTUP = Path(__file__).with_name("startup")
SIZES = ["--seq-len", str(SEQ_LEN), "--rank", "4"]
DOUBLING = "{% set n = namespace(s='a') %}{% for i in range(60) %}{% set n.s = n.s ~ n.s %}{% endfor %}"


@pytest.fixture
def environment() -> dict[str, str]:
    path = [os.fspath(STARTUP), os.environ.get("PYTHONPATH", "")]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, path))}


def test_nothing_of_linux_is_left(environment: dict[str, str]) -> None:
    code = (
        "import os\nfrom pathlib import Path\nfrom lowpeak_artifact import linux\n"
        "from lowpeak_artifact.disk import Mount\n"
        "print(linux.memory_lines(None), linux.memory_controller(), linux.limit_address_space(1),"
        " linux.exchange(Path('a'), Path('b')), Mount.of(Path('/')), linux.processors() == os.cpu_count())\n"
        "linux.refuse_huge_pages(), linux.return_freed_memory(), linux.allocate(-1, 1)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "None None False False its file system True\n"), done.stderr


@pytest.mark.thorough
def test_compile_estimate_simulate_and_templates_work_and_training_refuses(
    tmp_path: Path, environment: dict[str, str]
) -> None:
    checkpoint, data = save_checkpoint(tmp_path / "tiny"), save_data(tmp_path / "data.jsonl")
    artifact, out = str(tmp_path / "artifact"), str(tmp_path / "run")
    verbs = [
        ["compile", str(checkpoint), *SIZES, "--budget-mb", "20", "--out", artifact, "--json"],
        ["compile", str(checkpoint), *SIZES, "--budget-mb", "20", "--out", artifact, "--overwrite", "--json"],
        ["estimate", str(checkpoint), *SIZES, "--json"],
        ["simulate", artifact, "--data", str(data), "--json"],
        ["fsck", artifact, "--json"],
        ["render", "{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}"],
        ["render", DOUBLING],
        ["render", "{{ 'abcd' * 10 ** 9 }}"],
        ["render", "{{ 1 }}"],
        ["train", artifact, "--data", str(data), "--steps", "1", "--out", out],
        ["demo", "--out", out],
    ]
    command = [sys.executable, "-m", "tests.not_linux.verbs", json.dumps(verbs)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stderr
    compiled, code, again, code_again, estimated, estimate, simulated, simulate, *rest = map(
        json.loads, done.stdout.splitlines()
    )
    assert (code, code_again, estimate, simulate) == (0, 0, 0, 0), done.stderr
    assert compiled["planned_peak_bytes"] == again["planned_peak_bytes"] <= 20_000_000
    assert estimated and simulated["loss_relative_error"] < 1e-5
    checked, fsck, text, doubling, huge, after, train, demo = rest
    assert (fsck, text, after) == (0, "<user>Hi", "1"), checked
    assert "takes more than 512 MiB" in doubling and "takes more than 512 MiB" in huge
    assert (train, demo) == (1, 1) and done.stderr.count("only Linux tells") == 2, done.stderr
    assert not Path(out).exists()
