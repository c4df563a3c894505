"""A description of the machine (hardware, system, package versions), on which results depend besides the settings."""

import importlib.metadata
import platform
import sys
from pathlib import Path

import psutil
import torch

from bench.measure.cores import usable_cores

PACKAGES = ("posebench", "torch", "numpy", "opencv-python-headless", "optuna", "mlflow", "adabound", "pycocotools")
"""Packages whose versions are recorded."""


def fingerprint() -> dict[str, str]:
    """Return processor, usable cores, the machine's memory, GPU, system and versions, as text."""
    cuda = torch.cuda.is_available()
    return {
        "cpu": _processor(),
        "cores": str(usable_cores()),
        "memory_gib": f"{psutil.virtual_memory().total / 2**30:.1f}",
        "gpu": torch.cuda.get_device_name() if cuda else "none",
        "cuda": str(torch.version.cuda) if cuda else "none",
        "convolutions_in_tf32": ("allowed" if torch.backends.cudnn.allow_tf32 else "off") if cuda else "none",
        "torch_threads": str(torch.get_num_threads()),
        "os": f"{platform.system()} {platform.release()}",
        "python": sys.version.split()[0],
        **{package: _version(package) for package in PACKAGES},
    }


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"
