"""Why an app was ended, as Android tells it."""

from __future__ import annotations

import pytest

from lowpeak.phone.app_run import reason_of

RECORD = """        ApplicationExitInfo #{number}:
          timestamp=2026-12-01 02:00:00.000 pid={pid} realUid=10123 packageUid=10123 definingUid=10123 user=0
          process=dev.lowpeak.demo reason={reason} subreason=0 (UNKNOWN) status={status}
          importance=125 pss=0.00 rss=210MB description={description} state=empty trace=null
"""


def record(number: int, pid: int, reason: str, status: int = 0, description: str = "null") -> str:
    return RECORD.format(number=number, pid=pid, reason=reason, status=status, description=description)


@pytest.mark.parametrize(
    "reason, status, description, says",
    [
        ("3 (LOW_MEMORY)", 0, "null", "Android ended it because memory was low: close other apps"),
        ("3", 0, "lmkd", "Android ended it because memory was low (lmkd): close other apps"),
        ("2 (SIGNALED)", 9, "null", "it was killed by signal 9, which is how low memory looks"),
        ("2 (SIGNALED)", 11, "null", "the device says SIGNALED"),
        ("4 (APP CRASH(EXCEPTION))", 0, "crash", "the device says APP CRASH(EXCEPTION) (crash)"),
        ("99", 0, "a new one", "the device says reason 99 (a new one)"),
    ],
)
def test_the_reason_of_the_process_is_told(reason: str, status: int, description: str, says: str) -> None:
    told = record(0, 5000, "10 (USER REQUESTED)") + record(1, 4242, reason, status, description)
    assert reason_of(told, 4242).startswith(says)


@pytest.mark.parametrize(
    "told", ["", "nothing", record(0, 424, "3 (LOW_MEMORY)"), "ApplicationExitInfo #0: pid=4242"]
)
def test_of_another_process_nothing_is_told(told: str) -> None:
    assert reason_of(told, 4242) == "the device does not say why (it can from Android 11 on)"
