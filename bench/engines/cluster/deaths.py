"""Deaths of training processes on a cluster: whether a trial, a node or everything is to blame.

A trial whose process has died runs next on another node, where there is one. If it ends there, the death was the
node's; a node that has shown this with several trials is left out. So a node with a broken GPU fails no trial.
"""

from collections import defaultdict
from collections.abc import Set
from dataclasses import dataclass, field

from bench.engines.processes import MAX_DEATHS, WorkerError

BAD_AFTER = 2
"""Number of trials that died on a node and ended on another one, after which the node is left out."""
TRUSTED = 2
"""Number of deaths in a row on a node that has run trials to their end, from which on it is trusted no more."""
DEATHS_OF_A_PLACE = 2
"""Number of deaths in a row for each place after which the study ends: a moment's trouble may end all processes."""


@dataclass
class Deaths:
    """What is known of the deaths of one command."""

    number: int = 0
    """Deaths in a row without a new record."""
    _nodes_of: dict[int, set[str]] = field(default_factory=lambda: defaultdict(set))
    """Ids of the nodes on which a trial's process died, by the trial's key."""
    _in_a_row: dict[str, int] = field(default_factory=dict)
    """Deaths on a node since a trial has ended there, if one ever has; by the node's id."""
    _disproved: dict[str, set[int]] = field(default_factory=lambda: defaultdict(set))
    """Keys of the trials that died on a node and ended elsewhere, since one has ended on it; by the node's id."""

    _places: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    """Places that have died on a node before they ran a trial, by the node's id."""

    def count(self, text: str, *, places: int) -> None:
        """Count one more in a row; one too many for so many places raises WorkerError with their number and
        ``text``."""
        self.number += 1
        if self.number > max(MAX_DEATHS, DEATHS_OF_A_PLACE * places):
            raise WorkerError(f"{self.number} {text}")

    def note(self, key: int, node: str) -> None:
        """Take note that the process of a trial has died on a node."""
        self._nodes_of[key].add(node)
        if node in self._in_a_row:
            self._in_a_row[node] += 1

    def is_bad_for_places(self, node: str) -> bool:
        """Take note that a place has died on a node before it ran a trial; True if it is to be left out by now."""
        self._places[node] += 1
        return self._places[node] > BAD_AFTER

    def is_for_others(self, key: int, node: str, nodes: Set[str]) -> bool:
        """Return whether a trial has died on a node, and there is one among ``nodes`` on which it has not.

        A node that has run trials to their end is forgiven one death: waiting for another node may take hours.
        """
        died = node in self._nodes_of.get(key, ()) and self._in_a_row.get(node, TRUSTED) >= TRUSTED
        return died and bool(nodes - self._nodes_of[key])

    def bad_nodes(self, key: int, node: str) -> list[str]:
        """Take note that a trial has ended on a node; return those that are to be left out by now."""
        self._disproved.pop(node, None)
        self._in_a_row[node] = 0
        for other in self._nodes_of.pop(key, set()) - {node}:
            self._disproved[other].add(key)
        return [each for each, trials in self._disproved.items() if len(trials) >= BAD_AFTER]
