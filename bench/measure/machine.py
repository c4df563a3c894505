"""A description of the machine (hardware, system, package versions), on which results depend besides the settings."""

import importlib.metadata
import platform
import sys
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path

import psutil
import torch

from bench.measure.cores import usable_cores
from bench.measure.gpus import Gpu

PACKAGES = ("posebench", "torch", "numpy", "opencv-python-headless", "optuna", "mlflow", "adabound", "pycocotools")
"""Packages whose versions are recorded."""


def fingerprint(modules: Iterable[str] = (), gpus: Sequence[Gpu] = ()) -> dict[str, str]:
    """Return processor, usable cores, the machine's memory, GPU, system and versions, as text.

    Args:
        modules: Top modules whose distributions are named too, besides `PACKAGES`.
        gpus: GPUs that other processes use. With them, CUDA is not touched in this process.
    """
    cuda = bool(gpus) or torch.cuda.is_available()
    models = [*dict.fromkeys(gpu.name for gpu in gpus)] or ([torch.cuda.get_device_name()] if cuda else ["none"])
    return {
        "cpu": _processor(),
        "cores": str(usable_cores()),
        "memory_gib": f"{psutil.virtual_memory().total / 2**30:.1f}",
        "gpu": ", ".join(models),
        "cuda": str(torch.version.cuda) if cuda else "none",
        "convolutions_in_tf32": ("allowed" if torch.backends.cudnn.allow_tf32 else "off") if cuda else "none",
        "torch_threads": str(torch.get_num_threads()),
        "os": f"{platform.system()} {platform.release()}",
        **versions(modules),
    }


def versions(modules: Iterable[str] = ()) -> dict[str, str]:
    """Return the part of a fingerprint that describes no hardware: the versions of Python and of packages."""
    return {
        "python": sys.version.split()[0],
        **{package: _version(package) for package in (*PACKAGES, *distributions_of(modules))},
    }


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def distributions_of(modules: Iterable[str]) -> list[str]:
    """Return the names of the distributions that installed top modules; a module of the working folder has none."""
    wanted = sorted(set(modules))
    if not wanted:
        return []  # the mapping reads the files of every installed package
    installed = _installed(tuple(sys.path))
    names = dict.fromkeys(name for module in wanted for name in installed.get(module, []))
    return [name for name in names if name not in PACKAGES]


@cache
def _installed(_path: tuple[str, ...]) -> Mapping[str, list[str]]:
    """Return the names of the distributions by their top modules; read once for a search path."""
    return importlib.metadata.packages_distributions()


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"
