"""What Android asks of an app that works for hours, by the code of the dex: no phone is seen here."""

from __future__ import annotations

import re

import pytest

from tests.android.conftest import Apk
from tests.android.dex import Reference
from tests.android.test_apk_manifest import SPECIAL_USE

pytestmark = pytest.mark.android

DEMO, CORE = "dev/lowpeak/demo", "dev/lowpeak/core"


def callers(apk: Apk, name: str, owner: str = "") -> set[tuple[str, str]]:
    """(class, method) of what refers to members of that name, of any type or of the owner; a lambda's is that
    which has it.
    """
    return {
        (one.name, re.sub(r"^lambda\$(\w+)\$.*|\(.*", r"\1", code.method))
        for one in apk.classes.values()
        for code in one.methods
        for reference in code.references
        if reference.name == name and reference.owner.startswith(owner)
    }


def last(names: list[str], name: str) -> int:
    return len(names) - 1 - names[::-1].index(name)


def called(apk: Apk, name: str, method: str) -> list[str]:
    """Names of what a method of the app calls, in its order."""
    return [one.name for one in apk.classes[f"{DEMO}/{name}"].method(method).references]


def test_foreground_has_the_type_of_the_manifest(apk: Apk) -> None:
    code = apk.classes[f"{DEMO}/Api34"].method("startForeground")
    assert (
        Reference("android/app/Service", "startForeground", "(ILandroid/app/Notification;I)V")
        in code.references
    )
    assert any(
        re.match(rf"const/high16 v\d, #int {int(SPECIAL_USE, 16)} ", each) for each in code.instructions
    )


def test_a_time_limit_ends_it_with_a_checkpoint(apk: Apk) -> None:
    service = apk.classes[f"{DEMO}/TrainingService"]
    assert ("onTimeout", "(II)V") in service.members
    assert called(apk, "TrainingService", "onTimeout")[:3] == ["session", "getString", "stop"]
    assert "postDelayed" in called(apk, "TrainingService", "onTimeout")
    # SIGTERM first; what takes longer than the system waits for is killed.
    assert callers(apk, "kill", f"{DEMO}/Trainer") == {(service.name, "onTimeout")}


def test_only_the_screen_starts_it_in_the_foreground(apk: Apk) -> None:
    assert callers(apk, "startForegroundService") == {(f"{DEMO}/TrainingService", "keepRunning")}
    screen = f"{DEMO}/MainActivity"
    assert callers(apk, "keepRunning", f"{DEMO}/TrainingService") == {(screen, "keepRunning")}
    panels = {f"{DEMO}/TrainPanel", f"{DEMO}/ComparePanel"}
    assert {name for name, _ in callers(apk, "keepRunning", screen)} == panels


def test_a_start_that_is_on_its_way_is_not_undone(apk: Apk) -> None:
    """A service that was promised the foreground and is stopped before ends the app."""
    leave = apk.classes[f"{DEMO}/TrainingService"].method("leaveForeground")
    stops = [one.descriptor for one in leave.references if one.name == "stopSelf"]
    assert stops == ["(I)V"]
    assert callers(apk, "stopSelf") == {(f"{DEMO}/TrainingService", "leaveForeground")}


def test_training_does_not_wait_for_the_permission_to_notify(apk: Apk) -> None:
    assert callers(apk, "requestPermissions") == {(f"{DEMO}/Api33", "askForNotifications")}
    begin = called(apk, "TrainPanel", "begin")
    assert begin.index("askForNotifications") < begin.index("train")
    assert not any(
        ("onRequestPermissionsResult" in name) for one in apk.classes.values() for name, _ in one.members
    )


def test_the_notification_is_quiet_and_stops_the_run(apk: Apk) -> None:
    make = called(apk, "RunNotification", "make")
    assert {"setOngoing", "setOnlyAlertOnce", "setProgress", "addAction", "action"} <= set(make)
    created = apk.classes[f"{DEMO}/RunNotification"].method("<init>").instructions
    # NotificationManager.IMPORTANCE_LOW
    assert any(re.match(r"const/4 v\d+, #int 2 ", each) for each in created)
    title = called(apk, "RunNotification", "title")
    assert {"step", "loss", "megabytes"} <= set(title)


def test_the_wake_lock_ends_by_itself_and_on_every_path(apk: Apk) -> None:
    lock = "android/os/PowerManager$WakeLock"
    acquired = [
        reference
        for one in apk.classes.values()
        for code in one.methods
        for reference in code.references
        if (reference.owner, reference.name) == (lock, "acquire")
    ]
    assert acquired == [Reference(lock, "acquire", "(J)V")]
    ends = {"onDestroy", "changed", "leaveForeground"}
    assert callers(apk, "release", f"{DEMO}/TrainingWakeLock") == {
        (f"{DEMO}/TrainingService", end) for end in ends
    }


def test_heat_and_memory_are_read_when_they_are_needed(apk: Apk) -> None:
    state = called(apk, "DeviceMonitor", "state")
    assert {"memory", "thermalStatus", "availMem", "threshold", "lowMemory", "battery"} <= set(state)
    assert callers(apk, "getMemoryInfo") == {(f"{DEMO}/DeviceMonitor", "memory")}
    # No levels of running processes arrive from API 34 on.
    assert not any(name == "onTrimMemory" for one in apk.classes.values() for name, _ in one.members)
    assert {"check", "postDelayed"} <= set(called(apk, "TrainingService", "check"))
    assert "onThermalStatus" in called(apk, "TrainingService", "onCreate")


def test_a_death_is_explained_when_the_screen_is_back(apk: Apk) -> None:
    assert callers(apk, "explainLastEnd") == {(f"{DEMO}/MainActivity", "bound")}
    explain = called(apk, "MainActivity", "explainLastEnd")
    # `open` of the run, and of the trainer that shows it.
    assert explain.index("run") < explain.index("lastExit") < explain.index("appEnded")
    assert explain.index("appEnded") < last(explain, "open")
    assert "ofAndroid" in called(apk, "Api30", "lastExit")


def test_code_comes_from_the_apk_only(apk: Apk) -> None:
    assert callers(apk, "nativeLibraryDir") == {(f"{DEMO}/Session", "<init>")}
    assert {name for name, _ in callers(apk, "<init>", "java/lang/ProcessBuilder")} == {
        f"{CORE}/RunnerProcess"
    }
    for loading in ("exec", "load", "loadLibrary"):
        assert not callers(apk, loading, "java/lang/")
    assert not callers(apk, "<init>", "dalvik/")


def test_files_are_the_app_s_own(apk: Apk) -> None:
    folders = {
        ("getFilesDir", "Session"),
        ("getFilesDir", "AdapterProvider"),
        ("getCacheDir", "AdapterPanel"),
    }
    for name in ("getFilesDir", "getCacheDir"):
        found = {one.rpartition("/")[2] for one, _ in callers(apk, name)}
        assert found == {one for method, one in folders if method == name}
    for name in ("getExternalFilesDir", "getExternalStorageDirectory", "getExternalCacheDir", "getDataDir"):
        assert not callers(apk, name)


def test_rotation_leaves_the_run_alone(apk: Apk) -> None:
    """The screen unbinds and binds; only the service has what lasts."""
    stop = called(apk, "MainActivity", "onStop")
    assert "unbindService" in stop and "stop" not in stop
    made = {
        one.name
        for one in apk.classes.values()
        for code in one.methods
        if any(each.startswith("new-instance") and f"L{DEMO}/Session;" in each for each in code.instructions)
    }
    assert made == {f"{DEMO}/TrainingService"}
