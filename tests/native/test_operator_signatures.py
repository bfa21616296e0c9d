"""The list of kernels that a program may call is that of the ExecuTorch and the operators that are here."""

import importlib.util
from pathlib import Path

SCRIPT = Path(__file__).parents[2] / "native" / "trainer" / "operator_signatures.py"


def test_the_list_is_up_to_date() -> None:
    spec = importlib.util.spec_from_file_location("operator_signatures", SCRIPT)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert module.FILE.read_text() == module.table(), f"run python {SCRIPT.relative_to(Path.cwd())}"
