"""Connect to a Ray cluster, or start one on this machine; say what it has, and why nothing can be placed in it."""

import logging
import os
import signal
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

import ray
from ray import _raylet
from ray._private import services, state, worker

from bench.engines.cluster.needs import needs_in, resources_text, total, why_unplaceable
from bench.engines.cluster.settings import (
    AUTO,
    LOCAL,
    MODE_VARIABLE,
    USAGE_VARIABLE,
    Cluster,
    answers,
    has_token,
    named_address,
)
from bench.measure.cores import usable_cores
from bench.report.wording import counted
from posemodel.errors import SettingsError

OBJECT_BYTES = 100 * 2**20
"""Memory for Ray's objects in a cluster of this machine: all that is sent is a few MB."""
LOOPBACK = "127.0.0.1"


class Connected:
    """This process's connection to a cluster."""

    def __init__(self, cluster: Cluster) -> None:
        """Connect; SettingsError if no cluster answers."""
        os.environ.setdefault(USAGE_VARIABLE, "0")  # nothing is reported to Ray's makers, unless the user wants it
        self.cluster = cluster
        address = _address(cluster)
        self.started_here = address is None
        """Whether the cluster was started by this process, and ends with it."""
        quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR, "include_dashboard": False}
        if address is None:
            gpus = {} if cluster.device == "cuda" else {"num_gpus": 0}
            own: dict[str, Any] = {
                "address": "local",
                "num_cpus": usable_cores(),
                "object_store_memory": OBJECT_BYTES,
                "_node_ip_address": LOOPBACK,
                **gpus,
            }
        else:
            del quiet["include_dashboard"]
            own = {"address": address}
        with _signals_kept():
            try:
                _connect(**own, **quiet)
            except (ConnectionError, RuntimeError, ValueError, AssertionError) as error:
                raise SettingsError(
                    f"ray_address: {cluster.text} cannot be used from here ({_first_line(error)}). posebench has to "
                    "run on a node of the cluster, with its token in ~/.ray/auth_token if it asks for one; "
                    "`ray start --address=HOST:PORT --num-cpus=0` makes this machine a node."
                ) from error
        _print_no_raylet_lines()

    def close(self) -> None:
        """Disconnect, which ends all that this process has placed; a cluster that was started here ends too."""
        with suppress(Exception):  # what has been recorded does not depend on it
            ray.shutdown()

    def nodes(self) -> list[dict[str, Any]]:
        """Return the living nodes, as Ray describes them."""
        return [node for node in _all_nodes() if node["Alive"]]

    def living(self) -> set[str]:
        """Return the ids of the living nodes."""
        return {node["NodeID"] for node in self.nodes()}

    def text(self) -> str:
        """Return what the cluster has, in words."""
        nodes = self._resources()
        return f"{counted(len(nodes), 'node')} with {resources_text(total(nodes))}"

    def needs(self) -> dict[str, float]:
        """Return what a place needs in this cluster."""
        return needs_in(self._resources(), self.cluster)

    def why_unplaceable(self, needs: Mapping[str, float]) -> str | None:
        """Return why no node, even an idle one, has room for a trial; None if one has."""
        why = why_unplaceable(self._resources(), needs, self.cluster)
        text = self.cluster.text
        return None if why is None else f"{why} {text[0].upper()}{text[1:]} has {self.text()}."

    def _resources(self) -> list[dict[str, float]]:
        return [node["Resources"] for node in self.nodes()]

    def scales(self) -> bool:
        """Return whether an autoscaler may add nodes: the launcher of a cloud or of Kubernetes has started the head."""
        with suppress(Exception):
            config = state.state.get_cluster_config()
            if config is not None:
                ours = {node["NodeID"] for node in _all_nodes()}
                # Without a launcher each node is a type of its own, which is named after it.
                return any(
                    group.max_count > 0 and not any(each in group.name for each in ours)
                    for group in config.node_group_configs
                )
        return False


def _connect(**how: Any) -> None:
    """Connect; a cluster that refuses this process may ask for a token, if there is one."""
    try:
        ray.init(**how)
    except ConnectionError:
        if not has_token():
            raise
        os.environ[MODE_VARIABLE] = "token"
        _raylet.Config.initialize("")  # type: ignore[attr-defined] # it has read the variable before
        ray.init(**how)


def _address(cluster: Cluster) -> str | None:
    """Return the address of the cluster; None: one is to be started.

    Raises SettingsError if the one that is named does not answer.
    """
    named = named_address(cluster.address)
    if named == LOCAL:
        return None
    if named is not None and named != AUTO:
        return named
    found = None
    with suppress(Exception):  # Ray looks for traces of one in its folders
        found = services.get_ray_address_from_environment(AUTO, None)
    if found and answers(found):
        return str(found)
    if named == AUTO:
        raise SettingsError(
            "ray_address: no Ray cluster runs on this machine. Start one with `ray start --head`, or leave "
            "--ray-address out."
        )
    return None


@contextmanager
def _signals_kept() -> Iterator[None]:
    """Keep this process's own handlers, in place of those that Ray installs."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            if signal.getsignal(number) is not handler:
                signal.signal(number, handler)


def _print_no_raylet_lines() -> None:
    """Have Ray keep its nodes' messages in its log files: it prints them on stdout, where a document belongs."""
    if hasattr(worker, "print_to_stdstream"):
        worker.print_to_stdstream = lambda *_lines, **_how: None


def _all_nodes() -> list[dict[str, Any]]:
    """Return the nodes of the cluster, those that have left too, as Ray describes them."""
    return list(ray.nodes())  # type: ignore[no-untyped-call]


def _first_line(error: BaseException) -> str:
    return str(error).strip().partition("\n")[0][:300] or type(error).__name__
