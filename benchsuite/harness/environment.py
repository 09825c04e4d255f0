"""What machine this is, which versions run on it, and which commit they come from."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from pathlib import Path
from typing import Any

import platformdirs

import benchsuite
from benchsuite.kit.files import digest

_PACKAGES = (
    "torch",
    "torchvision",
    "numpy",
    "scipy",
    "pandas",
    "scikit-learn",
    "torchmetrics",
    "pytorch-fid",
)


def cache_folder() -> Path:
    """Where prepared data and weights live: ``BENCHSUITE_CACHE``, else the user's cache folder."""
    named = os.environ.get("BENCHSUITE_CACHE")
    return Path(named).expanduser() if named else Path(platformdirs.user_cache_dir("benchsuite"))


def describe() -> dict[str, Any]:
    """Python, packages, processor, devices and commits of this machine, without initialising a device.

    ``commit`` is that of benchsuite's checkout, ``project`` that of the current folder.
    """
    return {
        "benchsuite": benchsuite.__version__,
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.release()}",
        "processor": _processor(),
        "cores": usable_cores(),
        "packages": {name: _version(name) for name in _PACKAGES},
        "commit": _commit(),
        "project": _commit_of(Path.cwd()),
        "cache": str(cache_folder()),
        "devices": _devices(),
    }


def environment_key(device: Any) -> str:
    """A short name for what timings depend on: processor, device, torch and Python. Times compare only within one."""
    import torch

    name = torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
    return digest([_processor(), usable_cores(), name, torch.__version__, sys.version_info[:2]], 8)


def usable_cores() -> int:
    """The cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _version(package: str) -> str | None:
    from importlib.metadata import PackageNotFoundError, version  # a fifth of what it takes to list plugins

    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _processor() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def _devices() -> list[str]:
    import torch

    devices = ["cpu"]
    devices += [f"cuda:{i}" for i in range(torch.cuda.device_count())]
    return devices + (["mps"] if torch.backends.mps.is_available() else [])


def _commit() -> str | None:
    """The commit of the checkout that benchsuite runs from; None for an installed copy."""
    folder = Path(__file__).resolve().parents[2]
    return _commit_of(folder) if (folder / ".git").exists() else None


def _commit_of(folder: Path) -> str | None:
    """The commit that ``folder`` is at, with a word on changes; None outside of git."""
    try:
        commit = _git(folder, "rev-parse", "HEAD")
        return commit + ("+changes" if _git(folder, "status", "--porcelain", "--untracked-files=no") else "")
    except (OSError, subprocess.SubprocessError):
        return None


def _git(folder: Path, *arguments: str) -> str:
    run = subprocess.run(["git", *arguments], cwd=folder, capture_output=True, text=True, timeout=5, check=True)
    return run.stdout.strip()
