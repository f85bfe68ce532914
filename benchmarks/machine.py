"""The machine and the model of a measurement."""

import hashlib
import os
import platform
from pathlib import Path


def describe() -> dict[str, object]:
    """The CPU, memory, operating system and Python of this machine (Linux), and its current load."""
    return {
        "cpu": field("/proc/cpuinfo", "model name", ":"),
        "cores": os.cpu_count(),
        "memory_gib": round(int(field("/proc/meminfo", "MemTotal", ":").split()[0]) / 2**20),
        "os": field("/etc/os-release", "PRETTY_NAME", "=").strip('"'),
        "architecture": platform.machine(),
        "python": platform.python_version(),
        "load_average_at_start": round(os.getloadavg()[0], 2),
    }


def field(path: str, name: str, separator: str) -> str:
    """The value in the first line of ``path`` that reads ``name separator value``."""
    for line in Path(path).read_text().splitlines():
        key, separated, value = line.partition(separator)
        if separated and key.strip() == name:
            return value.strip()
    return "unknown"


def fingerprint(model: Path) -> str:
    """The SHA-256 of the model's weights, in the order of their file names."""
    digest = hashlib.sha256()
    for path in sorted(model.glob("*.safetensors")):
        with path.open("rb") as weights:
            while block := weights.read(1 << 24):
                digest.update(block)
    return digest.hexdigest()
