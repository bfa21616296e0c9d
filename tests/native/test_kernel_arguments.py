"""Every argument of every registered kernel, wrong in kind, element type, size, rank, range, layout and
place: an error each time, nothing written, and the right call still gives the same bytes.

kernel_arguments.cpp asks ExecuTorch's registry for the kernels; kernel_calls.h has a right call of each. With
LOWPEAK_SANITIZE=1 all of it runs under sanitizers.
"""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

from lowpeak_artifact.ops.record import OPERATORS
from lowpeak_export.executorch import library
from lowpeak_export.executorch.paging import GIVE_BACK, READ_AHEAD
from tests.native.build import build, executorch_program

SOURCE = Path(__file__).with_name("kernel_arguments.cpp")
REGISTER = Path(__file__).resolve().parents[2] / "native" / "executorch" / "register.cpp"


def test_each_wrong_argument_of_each_kernel_is_refused(tmp_path: Path) -> None:
    program = executorch_program(SOURCE, build() / library.OPS, tmp_path / "kernel_arguments")
    done = subprocess.run([program, tmp_path], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    wrong = {name: int(count) for name, count in map(str.split, done.stdout.splitlines())}
    assert len(wrong) == len(re.findall(r"checked<\w+>\(\),", REGISTER.read_text()))
    assert all(count >= 60 for count in wrong.values()), wrong
    recorded = {record.kernel for record in OPERATORS.values() if record.kernel}
    assert wrong.keys() == recorded | {READ_AHEAD, GIVE_BACK}
    # The log says what is wrong with which argument.
    assert re.search(r"lowpeak::rotary\.out: cos has axes of other sizes", done.stderr)
    assert re.search(r"lowpeak::write_rows\.out: its arguments do not fit each other", done.stderr)
