"""Connect to a Ray cluster, or start one on this machine; say what it has, and why nothing can be placed in it."""

import atexit
import logging
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import ray
from ray import _raylet
from ray._private import services, state, worker

from bench.engines import interruption
from bench.engines.cluster.needs import resources_text, total
from bench.engines.cluster.settings import (
    AUTO,
    LOCAL,
    MODE_VARIABLE,
    TOKEN,
    USAGE_VARIABLE,
    Cluster,
    answers,
    has_token,
    named_address,
)
from bench.engines.processes import WorkerError
from bench.measure.cores import usable_cores
from bench.report.wording import counted
from bench.storage.database_check import call_within
from bench.storage.printing import log
from posemodel.errors import SettingsError

OBJECT_BYTES = 100 * 2**20
"""Memory for Ray's objects in a cluster of this machine: all that is sent is a few MB."""
LOOPBACK = "127.0.0.1"
ANSWER_S = 15.0
"""Longest time that a cluster's head may take to say which nodes it has, in seconds."""
LOST_S = 30.0
"""Seconds after which a head that does not answer is given up; after 60 Ray itself ends this process."""
ALIVE = 0
"""State of a living node, as Ray's head says it."""


class Connected:
    """This process's connection to a cluster."""

    def __init__(self, cluster: Cluster) -> None:
        """Connect; SettingsError if no cluster answers."""
        os.environ.setdefault(USAGE_VARIABLE, "0")  # nothing is reported to Ray's makers, unless the user wants it
        address = _address(cluster)
        self.cluster = cluster = cluster if address is None else replace(cluster, address=address)
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
            _reach(address)
        with _signals_kept(), _token_private():
            try:
                ray.init(**own, **quiet)
            except (ConnectionError, RuntimeError, ValueError, AssertionError) as error:
                raise SettingsError(
                    f"ray_address: {cluster.text} cannot be used from here ({_first_line(error)})."
                ) from error
        _print_no_raylet_lines()
        self._head: str = ray.get_runtime_context().gcs_address
        self.is_lost = False
        """Whether the cluster's head has died."""

    def check_head(self) -> None:
        """Raise WorkerError if the cluster's head has died; wait for it if it does not answer for a while.

        Ray itself would end this process after a minute, without a word of what to do.
        """
        heard = time.monotonic()
        while not answers(self._head):
            interruption.check()
            if time.monotonic() - heard > LOST_S:
                self.is_lost = True
                raise WorkerError(
                    f"the head of the Ray cluster at {self._head} has not answered for {LOST_S:g} s. Start a cluster "
                    "again, then go on with the study."
                )
            time.sleep(1)

    def close(self) -> None:
        """Disconnect, which ends all that this process has placed; a cluster that was started here ends too."""
        if self.is_lost:
            atexit.register(_leave)  # before Ray's own end, which waits for the head
            return
        with suppress(Exception):  # what has been recorded does not depend on it
            ray.shutdown()

    def nodes(self) -> list[dict[str, Any]]:
        """Return the living nodes, as Ray describes them."""
        return [node for node in _all_nodes() if node["Alive"]]

    def living(self) -> set[str]:
        """Return the ids of the living nodes."""
        return {node["NodeID"] for node in self.nodes()}

    def host(self, node: str) -> str:
        """Return the name of a living node, by its id."""
        names = {each["NodeID"]: str(each["NodeManagerHostname"]) for each in self.nodes()}
        return names.get(node, "?")

    def text(self) -> str:
        """Return what the cluster has, in words."""
        nodes = self.resources()
        return f"{counted(len(nodes), 'node')} with {resources_text(total(nodes))}"

    def draining(self) -> frozenset[str]:
        """Return the ids of the nodes that are about to leave, by Ray's notice."""
        return frozenset(state.state.get_draining_nodes())

    def resources(self, without: Collection[str] = ()) -> list[dict[str, float]]:
        """Return what each living node has, as Ray counts it; ``without``: ids of nodes that are left out."""
        return [node["Resources"] for node in self.nodes() if node["NodeID"] not in without]

    def scales(self) -> bool:
        """Return whether an autoscaler may add nodes: the launcher of a cloud or of Kubernetes has started the head."""
        return bool(self.addable())

    def addable(self) -> list[dict[str, float]]:
        """Return the resources of each kind of node that an autoscaler may add."""
        with suppress(Exception):
            config = state.state.get_cluster_config()
            if config is not None:
                ours = {node["NodeID"] for node in _all_nodes()}
                # Without a launcher each node is a type of its own, which is named after it.
                return [
                    dict(group.resources)
                    for group in config.node_group_configs
                    if group.max_count > 0 and not any(each in group.name for each in ours)
                ]
        return []


def _reach(address: str) -> None:
    """Raise SettingsError if this process cannot use the cluster at HOST:PORT: Ray itself would try for minutes, and
    then end the process.

    A cluster that refuses this process may ask for a token, which it then gets if there is one.
    """
    try:
        nodes = _nodes_at(address)
    except ray.exceptions.AuthenticationError as error:
        if not has_token():
            raise SettingsError(
                f"ray_address: the Ray cluster at {address} asks for a token. Copy ~/.ray/auth_token of its head to "
                "the same place on this machine."
            ) from error
        os.environ[MODE_VARIABLE] = "token"
        _raylet.Config.initialize("")  # type: ignore[attr-defined] # it has read the variable before
        try:
            nodes = _nodes_at(address)
        except ray.exceptions.AuthenticationError as again:
            raise SettingsError(
                f"ray_address: the Ray cluster at {address} does not take the token of this machine. Copy "
                "~/.ray/auth_token of its head to the same place on this machine."
            ) from again
    if not any(_listens(node.raylet_socket_name) for node in nodes.values() if node.state == ALIVE):
        raise SettingsError(
            f"ray_address: this machine is no node of the Ray cluster at {address}. Make it one that runs no trials "
            f"with `ray start --address={address} --num-cpus=0`, or start the study on one of its nodes."
        )


def _nodes_at(address: str) -> dict[Any, Any]:
    """Return what the head of a cluster says of its nodes; AuthenticationError if it wants a token, SettingsError if it
    does not answer as one."""

    def ask() -> dict[Any, Any]:
        client = _raylet.GcsClient(address=address)  # type: ignore[attr-defined]
        nodes: dict[Any, Any] = client.get_all_node_info(timeout=ANSWER_S)
        return nodes

    try:
        return call_within(ANSWER_S, ask)
    except ray.exceptions.AuthenticationError:
        raise
    except Exception as error:  # no answer in time, or none that Ray understands
        raise SettingsError(
            f"ray_address: what listens at {address} does not answer as the head of a Ray cluster. Give the address of "
            "its head, HOST:6379."
        ) from error


def _listens(path: str) -> bool:
    """Return whether a process of this machine listens on a socket file."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
        try:
            client.connect(path)
        except OSError:
            return False
    return True


def _leave() -> None:
    """End this process, whose command has failed, without its other clean-up."""
    with suppress(OSError):
        sys.stdout.flush()
        sys.stderr.flush()
    os._exit(1)


@contextmanager
def _token_private() -> Iterator[None]:
    """Let nobody else read a token that Ray makes in the block: whoever has it can run programs in this user's
    clusters."""
    try:
        file = Path.home() / TOKEN
    except RuntimeError:  # there is no home folder
        yield
        return
    there = file.is_file()
    yield
    if not there:
        with suppress(OSError):
            file.chmod(0o600)


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
        if named is None:
            log(
                f"posebench: the Ray cluster at {found} runs on this machine, so the study uses it; --ray-address "
                f"{LOCAL} starts one for this study alone"
            )
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
