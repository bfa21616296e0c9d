"""Device profiles: the figures that the cost model predicts times from."""

from __future__ import annotations

from dataclasses import dataclass

from lowpeak_artifact.errors import ModelError


@dataclass(frozen=True)
class DeviceProfile:
    """Speeds of one device for one process; all rates are sustained, not peak."""

    name: str
    ram_bytes: int
    gflops: float
    """float32 matrix products, 1e9 operations a second."""
    memory_bytes_per_second: float
    disk_read_bytes_per_second: float
    disk_write_bytes_per_second: float


PROFILES = {
    profile.name: profile
    for profile in (
        DeviceProfile("generic-phone", 6_000_000_000, 40.0, 8e9, 800e6, 300e6),
        DeviceProfile("flagship-phone", 12_000_000_000, 120.0, 20e9, 2000e6, 1000e6),
        DeviceProfile("laptop", 16_000_000_000, 70.0, 10e9, 1500e6, 800e6),
    )
}


def device(name: str) -> DeviceProfile:
    """The profile of that name; ModelError lists the known ones."""
    if name not in PROFILES:
        raise ModelError(f"unknown device {name!r}; known are {', '.join(PROFILES)}")
    return PROFILES[name]
