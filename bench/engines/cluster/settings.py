"""Which cluster a study runs on, and what each of its trials needs there."""

import importlib.util
import os
import socket
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from posemodel.errors import SettingsError

ADDRESS_VARIABLE, USAGE_VARIABLE = "RAY_ADDRESS", "RAY_USAGE_STATS_ENABLED"
MODE_VARIABLE, TOKEN_VARIABLES = "RAY_AUTH_MODE", ("RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH")
TOKEN = Path(".ray", "auth_token")
"""Where Ray keeps a cluster's token, in a home folder."""
FIND_S = 3.0
"""Longest time that the head of a cluster may take to answer, in seconds."""
LOCAL, AUTO = "local", "auto"
"""Ray's names of a cluster that is started here, and of one that runs here."""
EXTRA = 'pip install "posebench[ray]"'


@dataclass(frozen=True)
class Cluster:
    """A Ray cluster as the place of a study's trials."""

    address: str | None = None
    """Address of its head, HOST:PORT; None: the one of RAY_ADDRESS, one that runs here, or one that is started here."""
    most: int | None = None
    """Largest number of trials at once; None: as many as there are places."""
    device: str = "cpu"
    """Device on which the trials train; `cuda`: each gets a GPU, or a share of one."""
    trials_per_gpu: int = 1
    cores: int = 1
    """Processor cores for each trial: its own, and one for each worker of its loader."""

    @property
    def gpu_share(self) -> float:
        """Share of a GPU that a trial needs; 0 if it needs none."""
        return 1 / self.trials_per_gpu if self.device == "cuda" else 0.0

    @property
    def text(self) -> str:
        """The cluster in words."""
        return "the Ray cluster" if self.address in (None, LOCAL, AUTO) else f"the Ray cluster at {self.address}"


def require_ray() -> None:
    """Raise SettingsError if the extra is not installed, or this system cannot fork."""
    if not hasattr(os, "fork"):
        raise SettingsError("engine: studies run on Ray from Linux and macOS alone; here, leave --engine out.")
    if importlib.util.find_spec("ray") is None:
        raise SettingsError(f"engine: Ray is not installed here. Install it with {EXTRA}, on each node too.")


def named_address(address: str | None, environ: Mapping[str, str] = os.environ) -> str | None:
    """Return the address of a cluster that is named, by ``address`` or in the environment, or `LOCAL` or `AUTO`; None:
    none is.

    Raises SettingsError if no cluster can be used there.
    """
    named = address or environ.get(ADDRESS_VARIABLE)
    if not named or named in (LOCAL, AUTO):
        return named or None
    origin = "ray_address" if address else f"environment {ADDRESS_VARIABLE}"
    if "://" in named:
        raise SettingsError(
            f"{origin}: {named} is the address of Ray's client, with which posebench does not work. Give that of the "
            "head, HOST:6379, on a node of the cluster."
        )
    if not answers(named):
        raise SettingsError(f"{origin}: no Ray cluster answers at {named}. Give the address of its head, HOST:6379.")
    return named


def answers(address: str) -> bool:
    """Return whether something listens at HOST:PORT."""
    host, _, port = address.rpartition(":")
    try:
        with socket.create_connection((host.strip("[]"), int(port)), timeout=FIND_S):
            return True
    except (OSError, ValueError):
        return False


def has_token(environ: Mapping[str, str] = os.environ) -> bool:
    """Return whether there is a token to show to a cluster, and the user has not said whether to."""
    if MODE_VARIABLE in environ:
        return False
    with suppress(RuntimeError):  # there is no home folder
        if (Path.home() / TOKEN).is_file():
            return True
    return any(environ.get(name) for name in TOKEN_VARIABLES)
