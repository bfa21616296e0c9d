"""What adb lists, in words; the choice among it is tested in tests/device."""

from __future__ import annotations

import pytest

from lowpeak.phone.devices import Listed, choose, parse
from lowpeak_artifact.errors import EnvironmentProblem

# As adb 36 prints it.
LISTING = """* daemon not running; starting now at tcp:5037
* daemon started successfully
List of devices attached
R5CT10XXXXX            device usb:1-4 product:r0qxx model:SM_S901B device:r0q transport_id:1
emulator-5554          offline transport_id:2
HT7A1   no permissions (user in plugdev group; are your udev rules wrong?); see [http://x/y] usb:1-2
192.168.1.7:40001      unauthorized transport_id:4

"""


def test_a_listing_is_parsed() -> None:
    assert parse(LISTING) == [
        Listed("R5CT10XXXXX", "device", "SM S901B"),
        Listed("emulator-5554", "offline", ""),
        Listed("HT7A1", "no permissions", ""),
        Listed("192.168.1.7:40001", "unauthorized", ""),
    ]
    assert parse("List of devices attached\n\n") == []
    assert str(parse(LISTING)[0]) == "R5CT10XXXXX (SM S901B)"


@pytest.mark.parametrize(
    "serial, says",
    [
        ("HT7A1", "may not be opened by this user: install udev's rules"),
        ("emulator-5554", "is offline: plug it in again"),
        ("192.168.1.7:40001", "does not trust this computer: unlock it"),
        ("none", "there is no device none; adb sees R5CT10XXXXX"),
    ],
)
def test_a_device_that_is_not_ready_is_refused_with_what_to_do(serial: str, says: str) -> None:
    with pytest.raises(EnvironmentProblem, match=says):
        choose(parse(LISTING), serial)


def test_a_state_that_is_not_known_is_named() -> None:
    with pytest.raises(EnvironmentProblem, match="is in the state recovery, not in Android"):
        choose([Listed("a", "recovery", "")], None)
