"""Which nodes of a cluster a study uses, and how much of one: none with other versions, none that is about to leave."""

import time
from collections.abc import Collection, Mapping

from bench.engines.cluster.connection import Connected
from bench.engines.cluster.needs import needs_in, why_unplaceable, with_memory
from bench.engines.cluster.place import versions
from bench.engines.cluster.settings import EXTRA, Cluster
from bench.storage.printing import log
from posemodel.errors import SettingsError

LOOK_EVERY_S = 2.0
"""Seconds between two looks for nodes that are about to leave."""
REFUSE_AFTER_S = 12.0
"""Seconds in which nothing can be placed until the study ends, if no more nodes can come."""
NODE_ID_LABEL = "ray.io/node-id"
"""Label that Ray gives each node."""


class StudyNodes:
    """The nodes of a cluster, as one study uses them."""

    def __init__(self, connected: Connected, cluster: Cluster) -> None:
        """``cluster``: what each trial needs."""
        self.connected, self.cluster = connected, cluster
        self.needs = self._without_memory = needs_in([*connected.resources(), *connected.addable()], cluster)
        """What a place needs, in Ray's words."""
        self._memory = 0
        self._unfit: set[str] = set()
        """Ids of nodes that cannot be used."""
        self.leaving: frozenset[str] = frozenset()
        """Ids of the nodes that are about to leave: somebody drains them, or their machine is taken away."""
        self._looked_at = 0.0
        self._unplaced_since: float | None = None
        self._was_placed = self._waits_told = False

    @property
    def selector(self) -> dict[str, str]:
        """Ray's label selector of the nodes that may be used; empty: of all."""
        return {NODE_ID_LABEL: f"!in({','.join(sorted(self._unfit))})"} if self._unfit else {}

    def is_usable(self, node: str) -> bool:
        """Return whether a trial may be begun on a node, by what is known of it."""
        return node not in self._unfit and node not in self.leaving

    def look(self) -> None:
        """See which nodes are about to leave, and how much memory may be asked for; now and then.

        Raises WorkerError if the cluster's head has died.
        """
        if time.monotonic() - self._looked_at < LOOK_EVERY_S:
            return
        self._looked_at = time.monotonic()
        self.connected.check_head()
        self.leaving = self.connected.draining()
        if self._memory:
            self.needs = with_memory(self.connected.resources(self._unfit), self._without_memory, self._memory)

    def note_memory(self, peak: int) -> None:
        """Take note of the memory that a trial has taken, in bytes; from the next look on, places ask for the most."""
        self._memory = max(self._memory, peak)

    def has_my_versions(self, node: str, there: Mapping[str, str]) -> bool:
        """Return whether a node has this process's versions; one that has not is left out from now on.

        Raises SettingsError if no other node has room for a trial, and none will come.
        """
        here = versions()
        other = [f"{name} {there[name]}, here {here[name]}" for name in here if there[name] != here[name]]
        if not other:
            return True
        why = f"it has other versions ({'; '.join(other)}). Install the same on each node: {EXTRA}"
        if not self.leave_out(node, why):
            raise SettingsError(f"engine: node {self.connected.host(node)}: {why}.")
        return False

    def leave_out(self, node: str, why: str) -> bool:
        """Use a node no more, and say so once; False if no other one has room for a trial, and none will come.

        ``why``: the reason, without a full stop.
        """
        if node in self._unfit:
            return True
        if self._why_unplaceable({*self._unfit, node}) is not None and not self.connected.scales():
            return False
        self._unfit.add(node)
        log(f"posebench: node {self.connected.host(node)} is left out: {why}.")
        return True

    def refuse_unplaceable(self, *, placed: bool, wanted: bool) -> None:
        """Raise SettingsError if no trial has had a place yet, and none will get one; say that one is waited for.

        Nodes that were there may come back, however long it takes.

        Args:
            placed: Whether there is a place now.
            wanted: Whether there are trials that need one.
        """
        self._was_placed |= placed
        if placed or not wanted:
            self._unplaced_since, self._waits_told = None, False
            return
        self._unplaced_since = self._unplaced_since or time.monotonic()
        if time.monotonic() - self._unplaced_since < REFUSE_AFTER_S:
            return
        why = self._why_unplaceable(self._unfit)
        scales = self.connected.scales()
        if why is not None and not scales and not self._was_placed:
            raise SettingsError(f"engine: nothing can be placed. {why}")
        if not self._waits_told:
            self._waits_told = True
            more = "Its autoscaler may add nodes" if scales else "Nodes that join are used"
            reason = "its nodes are busy" if why is None else f"{why} {more}"
            log(f"posebench: waiting for a place in {self.cluster.text}: {reason}")

    def _why_unplaceable(self, without: Collection[str]) -> str | None:
        nodes = [*self.connected.resources(without), *self.connected.addable()]
        why = why_unplaceable(nodes, self._without_memory, self.cluster)
        text = self.cluster.text
        return None if why is None else f"{why} {text[0].upper()}{text[1:]} has {self.connected.text()}."
