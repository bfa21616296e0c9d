"""How a module of ours is run in a process of its own, by the Python of this one."""

from __future__ import annotations

import sys

# Without the working folder on the path: a file named json.py there must not be taken for Python's. The
# option -P does the same, from Python 3.11 on.
_START = (
    "import sys; sys.path = list(filter(None, sys.path)); del sys.argv[0]; import runpy; "
    "runpy.run_module(sys.argv[0], run_name='__main__', alter_sys=True)"
)


def python_process(module: str) -> tuple[str, ...]:
    """The command; the module's arguments come after it."""
    return sys.executable, "-c", _START, module
