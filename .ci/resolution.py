"""Whether the dependencies resolve for each Python and platform that pyproject.toml opens, from wheels alone.

Only metadata is read, of the package index, not of wheels that lie on this machine. Nothing is installed and
nothing run: which of them was run, docs/installation.md says.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from itertools import product
from pathlib import Path

from pip._internal.models.index import PyPI

ROOT = Path(__file__).parents[1]
VERSIONS = ("3.10", "3.11", "3.12", "3.13", "3.14")
PLATFORMS = ("x86_64-manylinux_2_28", "aarch64-manylinux_2_28", "aarch64-apple-darwin")
EXTRAS = ("demo", "onnxruntime", "sign", "android")
SHOWN = ("torch", "torchao", "executorch", "transformers", "onnxruntime-training-cpu", "adbutils")
MACOS = "14.0"
AT_ONCE = 5
UNREACHABLE = re.compile(
    r"error sending request|dns error|connection (refused|reset)|timed out|tls handshake", re.IGNORECASE
)
"""What uv says where the index does not answer, which tells nothing of the dependencies."""
INDEX = f"""
[[index]]
url = "{os.environ.get("PIP_INDEX_URL", PyPI.simple_url)}"
default = true
# An answer serves all environments.
cache-control = {{ api = "max-age=600", files = "max-age=31536000" }}
"""


def resolved(version: str, platform: str, configuration: Path) -> tuple[bool | None, str]:
    """-> whether, and a line of some versions, or what uv says; None if the index does not answer."""
    command = ["uv", "pip", "compile", "--quiet", "--config-file", str(configuration), "--no-header"]
    command += ["--no-annotate", "--python", sys.executable]
    command += ["--only-binary", ":all:", "--python-version", version, "--python-platform", platform]
    command += [argument for extra in EXTRAS for argument in ("--extra", extra)]
    environment = {**os.environ, "MACOSX_DEPLOYMENT_TARGET": MACOS}
    done = subprocess.run(
        [*command, "pyproject.toml"], cwd=ROOT, env=environment, capture_output=True, text=True
    )
    if done.returncode:
        said = done.stderr.strip()
        return None if UNREACHABLE.search(said) else False, said
    versions = dict(re.findall(r"^([\w.-]+)==(\S+)", done.stdout, re.MULTILINE))
    shown = ", ".join(f"{name} {versions[name]}" for name in SHOWN if name in versions)
    return True, f"{len(versions)} packages: {shown}"


def main() -> int:
    environments = list(product(VERSIONS, PLATFORMS))
    with ThreadPoolExecutor(AT_ONCE) as pool, tempfile.TemporaryDirectory() as folder:
        configuration = Path(folder) / "uv.toml"
        configuration.write_text(INDEX, encoding="utf-8")
        answers = list(pool.map(lambda environment: resolved(*environment, configuration), environments))
    for (version, platform), (resolves, said) in zip(environments, answers, strict=True):
        outcome = {True: "", False: "FAILS: ", None: "NOT CHECKED, the package index does not answer: "}[
            resolves
        ]
        print(f"Python {version} {platform}: {outcome}{said}")
    return 1 if any(resolves is False for resolves, _ in answers) else 0


if __name__ == "__main__":
    sys.exit(main())
