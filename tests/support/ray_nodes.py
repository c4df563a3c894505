"""A Ray cluster of several nodes, all of them on this machine and at its loopback address."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from tests.support.commands import ROOT

LOOPBACK = "127.0.0.2"
"""Not 127.0.0.1, in whose place Ray puts the address of a network card."""
OBJECT_BYTES = 80 * 2**20
"""About the least that Ray takes."""
MISSING = "Ray (the extra `ray`) is not installed"


def require_ray():
    """Skip the module that calls this where the extra is not installed."""
    pytest.importorskip("ray", reason=MISSING)


class Nodes:
    """A cluster; its head runs nothing."""

    def __init__(self, folder: Path) -> None:
        """``folder``: of Ray's files, with a short path, as sockets are in it."""
        from ray.cluster_utils import Cluster

        self._folder = folder
        (folder / "ray").mkdir()  # Ray keeps the latest cluster's address here, for all programs
        how = {"num_cpus": 0, "include_dashboard": False, "temp_dir": str(folder)}
        with _environment(RAY_TMPDIR=str(folder)):
            self._cluster = Cluster(initialize_head=True, head_node_args=how | _where())

    @property
    def address(self) -> str:
        """The head's."""
        return self._cluster.address

    @property
    def options(self) -> tuple[str, ...]:
        """What a command needs to run its trials here."""
        return ("--engine", "ray", "--ray-address", self.address)

    def add(self, *, cores: int, gpus: int = 0, path: Path | None = None, **environment: str):
        """A new node, which has GPUs that are only counted; ``path``: a folder from which it imports first."""
        with _environment(path, **environment):
            return self._cluster.add_node(num_cpus=cores, num_gpus=gpus, **_where())

    def drain(self, node) -> None:
        """Give notice that a node is about to leave, as the launcher of a cloud does."""
        from ray._raylet import GcsClient
        from ray.core.generated import autoscaler_pb2

        reason = autoscaler_pb2.DrainNodeReason.Value("DRAIN_NODE_REASON_PREEMPTION")
        accepted, why = GcsClient(address=self.address).drain_node(node.node_id, reason, "taken away", 0)
        assert accepted, why

    def kill_head(self) -> None:
        """End the process that the cluster's address is that of; the nodes live on."""
        self._cluster.head_node.kill_gcs_server()

    def kill(self, node) -> None:
        """End a node at once, with all that runs on it, as a machine that loses its power."""
        self._cluster.remove_node(node, allow_graceful=False)

    def close(self) -> None:
        """End all nodes."""
        with suppress(Exception), _environment(RAY_TMPDIR=str(self._folder)):
            self._cluster.shutdown()


@contextmanager
def nodes(*cores: int) -> Iterator[Nodes]:
    """A cluster with nodes of so many cores; it ends with the block."""
    folder = Path(tempfile.mkdtemp(prefix="ray-"))
    cluster = None
    try:
        cluster = Nodes(folder)
        for each in cores:
            cluster.add(cores=each)
        yield cluster
    finally:
        if cluster is not None:
            cluster.close()
        shutil.rmtree(folder, ignore_errors=True)


def _where():
    return {"node_ip_address": LOOPBACK, "object_store_memory": OBJECT_BYTES}


@contextmanager
def _environment(path: Path | None = None, **more: str):
    """What the nodes' processes inherit: this copy of posebench, one thread, nothing that goes to the network."""
    path_text = os.pathsep.join(map(str, [ROOT] if path is None else [path, ROOT]))
    ours = {"PYTHONPATH": path_text, "OMP_NUM_THREADS": "1", "RAY_USAGE_STATS_ENABLED": "0", **more}
    before = {name: os.environ.get(name) for name in ours}
    os.environ.update(ours)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
