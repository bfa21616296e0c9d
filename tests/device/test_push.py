"""Files to a phone: broken and resumed, spoiled, without room; only what is not there is sent."""

from __future__ import annotations

import random
from pathlib import Path, PurePosixPath

import pytest

from lowpeak.phone.adb import Adb
from lowpeak.phone.checks import require_room
from lowpeak.phone.devices import choose, listed
from lowpeak.phone.layout import ROOT
from lowpeak.phone.push import PIECE_BYTES, Outgoing, missing, remove_others, send
from lowpeak.phone.shell import Device
from lowpeak_artifact.artifact import sha256_of
from lowpeak_artifact.errors import EnvironmentProblem
from tests.device.phones import Phone, Phones

pytestmark = pytest.mark.device

LARGE = 100_000_000
SMALL_STORAGE = 20_000_000


def random_file(path: Path, size: int) -> Path:
    path.write_bytes(random.Random(size).randbytes(size))
    return path


def outgoing(source: Path, name: str = "file") -> Outgoing:
    return Outgoing.of(source, ROOT / name)


def arrived(phone: Phone, file: Outgoing) -> Path:
    return phone.root / file.target.relative_to("/")


def test_a_push_of_100_mb_that_breaks_goes_on_where_it_broke(
    device: Device, phone: Phone, tmp_path: Path
) -> None:
    file = outgoing(random_file(tmp_path / "large", LARGE))
    reported: list[int] = []

    def cut_in_the_middle(done: int, total: int, name: str) -> None:
        assert (total, name) == (LARGE, "large")
        reported.append(done)
        if done > LARGE // 2:
            phone.cut()

    with pytest.raises(EnvironmentProblem, match="broke; it is gone now"):
        send(device, missing(device, [file]), cut_in_the_middle)
    phone.plug_in()
    (rest,) = missing(device, [file])
    assert LARGE // 2 < reported[-1] <= rest.present < LARGE
    assert send(device, [rest]) == LARGE - rest.present
    assert sha256_of(arrived(phone, file)) == file.sha256
    assert missing(device, [file]) == []
    assert not arrived(phone, file).with_name("file.partial").exists()


def test_what_is_there_of_another_file_is_not_gone_on_with(
    device: Device, phone: Phone, tmp_path: Path
) -> None:
    file = outgoing(random_file(tmp_path / "file", 1000))
    send(device, missing(device, [file]))
    partial = arrived(phone, file).with_name("file.partial")
    arrived(phone, file).rename(partial)
    for spoiled in (b"x" * 500, b"x" * 1000, b"x" * 2000):
        partial.write_bytes(spoiled)
        (whole,) = missing(device, [file])
        assert whole.present == 0
    assert send(device, [whole]) == 1000
    assert arrived(phone, file).read_bytes() == file.source.read_bytes()


def test_what_is_sent_is_for_the_shell_user_only(device: Device, phone: Phone, tmp_path: Path) -> None:
    source = random_file(tmp_path / "file", 10)
    files = [outgoing(source), Outgoing.of(source, ROOT / "program", executable=True)]
    send(device, missing(device, files))
    modes = [arrived(phone, file).stat().st_mode & 0o777 for file in files]
    assert (modes, phone.lowpeak.stat().st_mode & 0o777) == ([0o600, 0o700], 0o700)


def test_a_file_that_changed_there_is_sent_again(device: Device, phone: Phone, tmp_path: Path) -> None:
    files = [outgoing(random_file(tmp_path / name, 100 + len(name)), name) for name in ("a", "bc", "def")]
    send(device, missing(device, files))
    arrived(phone, files[1]).write_bytes(b"x" * files[1].size)
    assert [each.file for each in missing(device, files)] == [files[1]]


def test_odd_names_and_an_empty_file(device: Device, phone: Phone, tmp_path: Path) -> None:
    names = ["two  blanks", 'it\'s "quoted"', "$HOME `id` * ü", "-n", "folder with blank/back\\slash"]
    files = [outgoing(random_file(tmp_path / str(i), i), name) for i, name in enumerate(names)]
    assert send(device, missing(device, files)) == sum(range(len(names)))
    assert [arrived(phone, file).read_bytes() for file in files] == [f.source.read_bytes() for f in files]
    assert missing(device, files) == []
    remove_others(device, ROOT, [files[0].target, files[-1].target])
    left = sorted(str(path.relative_to(phone.lowpeak)) for path in phone.lowpeak.rglob("*") if path.is_file())
    assert left == [names[-1], names[0]]
    remove_others(device, ROOT, [files[0].target])
    assert [path.name for path in phone.lowpeak.iterdir()] == [names[0]]


def test_a_file_that_arrives_as_another(device: Device, phone: Phone, tmp_path: Path) -> None:
    file = outgoing(random_file(tmp_path / "file", 1000))
    phone.replace_tool("cat", "toybox head -c 999; echo x")
    with pytest.raises(EnvironmentProblem, match=f"another file, sent twice: .* not {file.sha256}"):
        send(device, missing(device, [file]))
    assert not arrived(phone, file).exists()


def test_a_storage_that_is_full_before_and_while_it_is_sent(all_phones: Phones, tmp_path: Path) -> None:
    file = outgoing(random_file(tmp_path / "file", 2 * PIECE_BYTES))
    with all_phones.plugged_in(data_bytes=SMALL_STORAGE) as phone:
        device = Device(Adb.find(), choose(listed(Adb.find()), None))
        with pytest.raises(
            EnvironmentProblem, match=r"has \d+.\d MB free in /data/local/tmp: 16.8 MB are to be"
        ):
            require_room(device, ROOT.parent, file.size, SMALL_STORAGE)
        require_room(device, ROOT.parent, file.size, 0)
        other = phone.root / PurePosixPath("data/local/tmp/another's")
        fill = lambda *_: other.write_bytes(b"x" * (SMALL_STORAGE - PIECE_BYTES - 1_000_000))  # noqa: E731
        with pytest.raises(
            EnvironmentProblem, match="has no room for file of 16777216 bytes: 0 bytes are free"
        ):
            send(device, missing(device, [file]), fill)
        other.unlink()
        (rest,) = missing(device, [file])
        assert rest.present > PIECE_BYTES
        send(device, [rest])
        assert sha256_of(arrived(phone, file)) == file.sha256
