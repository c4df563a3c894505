"""Connect to a Ray cluster, or start one on this machine; say what it has, and why nothing can be placed in it."""

import logging
import os
import signal
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

import ray
from ray._private import services, state, worker

from bench.engines.cluster.settings import AUTO, LOCAL, Cluster, answers, named_address
from bench.measure.cores import usable_cores
from bench.report.wording import counted
from posemodel.errors import SettingsError

USAGE_VARIABLE = "RAY_USAGE_STATS_ENABLED"
OBJECT_BYTES = 100 * 2**20
"""Memory for Ray's objects in a cluster of this machine: all that is sent is a few MB."""
LOOPBACK = "127.0.0.1"


class Connected:
    """This process's connection to a cluster."""

    def __init__(self, cluster: Cluster) -> None:
        """Connect; SettingsError if no cluster answers."""
        os.environ.setdefault(USAGE_VARIABLE, "0")
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
                ray.init(**own, **quiet)
            except (ConnectionError, RuntimeError, ValueError, AssertionError) as error:
                raise SettingsError(
                    f"ray_address: {cluster.text} cannot be used from here ({_first_line(error)}). posebench has to "
                    "run on a node of the cluster; `ray start --address=HOST:PORT --num-cpus=0` makes this machine one."
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
        nodes = self.nodes()
        return f"{counted(len(nodes), 'node')} with {_resources_text(_sum(nodes))}"

    def needs(self) -> dict[str, float]:
        """Return what a place needs: Ray's `num_cpus` and `num_gpus`.

        Cores are no more than a node has for each trial that its GPUs take, or than the largest node has.
        """
        nodes = [node["Resources"] for node in self.nodes()]
        share = self.cluster.gpu_share
        if share:
            fits = [int(each.get("CPU", 0) // (each["GPU"] / share)) for each in nodes if each.get("GPU")]
            least = 0 if fits else 1
        else:
            fits, least = [int(each.get("CPU", 0)) for each in nodes], 1
        cores = min(self.cluster.cores, max(fits)) if fits and max(fits) >= 1 else self.cluster.cores
        if fits and max(fits) < 1:
            cores = least
        return {"num_cpus": cores, "num_gpus": share}

    def why_unplaceable(self, needs: Mapping[str, float]) -> str | None:
        """Return why no node, even an idle one, has room for a trial; None if one has, or more nodes may come."""
        wanted = {"CPU": needs["num_cpus"], "GPU": needs["num_gpus"]}
        nodes = self.nodes()
        if any(all(node["Resources"].get(name, 0) >= least for name, least in wanted.items()) for node in nodes):
            return None
        total = _sum(nodes)
        device = f"The study trains on {self.cluster.device}; a trial needs {_resources_text(wanted)}"
        if wanted["GPU"] and not total.get("GPU"):
            missing = "no node of the cluster has a GPU"
        else:
            missing = "no node has that much"
        return f"{device}, but {missing}. {self.cluster.text[0].upper()}{self.cluster.text[1:]} has {self.text()}."

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


def _sum(nodes: list[dict[str, Any]]) -> dict[str, float]:
    return {name: sum(node["Resources"].get(name, 0.0) for node in nodes) for name in ("CPU", "GPU")}


def _resources_text(resources: Mapping[str, float]) -> str:
    cores, gpus = resources.get("CPU", 0), resources.get("GPU", 0)
    text = counted(int(cores), "core")
    if not gpus:
        return text
    return f"{text} and {counted(int(gpus), 'GPU') if gpus == int(gpus) else f'{gpus:.2g} of a GPU'}"


def _first_line(error: BaseException) -> str:
    return str(error).strip().partition("\n")[0][:300] or type(error).__name__
