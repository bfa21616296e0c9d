"""What stands in for the demo app on a phone: no Android runtime runs it here.

`run-as` (run_as.c) changes to the app's user, `pm` and `am` are scripts. At `am start` with the action TRAIN
the real runner is started as the app does it: as the app's user, in the run's folder, by job.json, its steps
added to metrics.ndjson. STOP is SIGTERM, as in the app.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

from lowpeak.phone.app import PACKAGE
from lowpeak_export.executorch.library import RUNNER
from tests.device.phones import Phone, write_script

APP_USER = 10123
VERSION = "0.1.0"
LIBRARIES = "data/app/lib"
PM = """case "$1 $2" in
  "path "*) [ ! -d "/stand-ins/packages/$2" ] && exit 1; echo "package:/data/app/$2/base.apk" ;;
  "install "*) { [ -f /stand-ins/refuses ] && cat /stand-ins/refuses && exit 1; }
    for apk; do :; done; cat "$apk" > /dev/null || exit 1; echo Success ;;
esac"""
AM = f"""shift
while [ $# -gt 0 ]; do
  case $1 in
    -n) component=$2; shift 2 ;;
    -a) action=$2; shift 2 ;;
    --es) eval "$2=\\$3"; shift 3 ;;
  esac
done
echo "Starting: Intent {{ act=$action cmp=$component }}"
case $component in
  {PACKAGE}/.MainActivity) ;;
  *) echo "Error: Activity class $component does not exist."; exit ;;
esac
case $action in
  *.TRAIN) setsid run-as {PACKAGE} sh -c 'exec -a {PACKAGE} sh /data/app/app.sh "$@"' sh "$artifact" "$run" \\
    < /dev/null > /dev/null 2>&1 & ;;
  *.STOP) run-as {PACKAGE} sh -c 'kill -TERM $(pidof -s liblowpeak_runner.so)' ;;
esac"""
APP = f"""cd "files/runs/$2" && [ -d "../../artifacts/$1" ] || exit 1
LD_LIBRARY_PATH=/{LIBRARIES} /{LIBRARIES}/liblowpeak_runner.so job.json --metrics 2> stderr |&
while IFS= read -rp line; do
  case $line in *'"event":"step"'*) echo "$line" >> metrics.ndjson ;; esac
done
sleep 600"""


def install_app(phone: Phone, runner: Path, debuggable: bool = True) -> None:
    """`runner`: of this machine, in a folder with its libraries."""
    libraries = phone.folder / LIBRARIES
    shutil.copytree(runner, libraries)
    libraries.chmod(0o755)
    (libraries / RUNNER).rename(libraries / "liblowpeak_runner.so")
    write_script(phone.folder / "data" / "app" / "app.sh", APP)
    package = phone.folder / "stand-ins" / "packages" / PACKAGE
    package.mkdir(parents=True)
    if debuggable:
        (package / "debuggable").touch()
    phone.prints("dumpsys-package", f"  Package [{PACKAGE}]\n    versionCode=1\n    versionName={VERSION}\n")
    home = phone.folder / "data" / "data" / PACKAGE
    home.mkdir(parents=True)
    os.chown(home, APP_USER, APP_USER)
    home.chmod(0o700)


def add_stand_ins(phone: Phone) -> None:
    """The tools of a phone that may have apps."""
    binaries = phone.folder / "system" / "bin"
    phone.replace_tool("pm", PM)
    phone.replace_tool("am", AM)
    source = Path(__file__).with_name("run_as.c")
    subprocess.run(["cc", "-O1", "-o", str(binaries / "run-as"), str(source)], check=True)
    (binaries / "run-as").chmod(0o4755)


def files_of_app(phone: Phone) -> Path:
    """As root sees them."""
    return phone.root / "data" / "data" / PACKAGE / "files"
