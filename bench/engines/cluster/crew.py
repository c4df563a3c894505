"""Run a study's trials on a Ray cluster: the engine, on the study's side.

Ray places the `places` and ships the modules; `trials` claims trials, gives them to free places, and records results.
"""

import pickle
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from bench.engines import checkpoints, interruption
from bench.engines.claimed_trial import heartbeats, send_waiting, sweep
from bench.engines.cluster import messages
from bench.engines.cluster.connection import Connected
from bench.engines.cluster.deaths import Deaths
from bench.engines.cluster.places import POLL_S, Places
from bench.engines.cluster.serving import NodeWork
from bench.engines.cluster.settings import Cluster
from bench.engines.cluster.shipping import pack
from bench.engines.cluster.trials import PlacedTrials
from bench.engines.events import OnEvent, Stopping
from bench.engines.processes import STOP_S
from bench.engines.worker_settings import WorkerSettings
from bench.storage.printing import log

SWEEP_EVERY_S = 5.0
"""Seconds between two looks for trials of other commands' dead workers."""


class ClusterCrew:
    """Runs trials in places of a cluster."""

    def __init__(
        self,
        cluster: Cluster,
        on_event: OnEvent,
        *,
        locate: Callable[[], Path],
        data: Path,
        modules: tuple[str, ...],
        fresh: bool,
    ) -> None:
        """Prepare, without connecting.

        Args:
            cluster: The cluster, and what each trial needs.
            on_event: Called with every event.
            locate: Finds the study's data on a node; picklable.
            data: Its folder here, which is not sent to the nodes.
            modules: Top modules whose distributions describe a node.
            fresh: Start each training process anew instead of forking it, as CUDA wants it.
        """
        self.cluster, self.on_event = cluster, on_event
        self._locate, self._data, self._modules, self._fresh = locate, data, modules, fresh
        self._connected: Connected | None = None
        self._places: Places | None = None
        self._trials: PlacedTrials | None = None
        self._deaths = Deaths()
        self._node_described = False

    def start(self) -> None:
        """Connect, and ask for the first places, which load their libraries in the background."""
        self._started()

    def _started(self) -> Places:
        if self._places is None:
            shipped = pack(Path.cwd(), self._data)
            with interruption.defer_interrupts():
                self._connected = Connected(self.cluster)
            log(f"posebench: trials run on {self.cluster.text}: {self._connected.text()}")
            self._places = Places(self._connected, shipped, self.on_event, fresh=self._fresh)
        return self._places

    def work_off(self, settings: WorkerSettings) -> None:
        """Run all enqueued trials on the cluster; its places then wait for the next call.

        Raises SettingsError if nothing can be placed, WorkerError if the trials' processes keep dying.
        """
        if not settings.ledger().is_unfinished():
            return
        places = self._started()
        if settings.checkpoints is not None:
            checkpoints.mark_place(settings.checkpoints, settings.study_name)
        places.work = pickle.dumps(
            NodeWork(
                settings.study_name,
                settings.trials.run_trial,
                self._locate,
                dict(settings.file_paths),
                self._modules,
                settings.checkpoints,
                None if settings.checkpoints is None else checkpoints.checkpoint_every_s(),
                places.threads,
                self.cluster.cores - 1,
            )
        )
        places.grace_s = _grace_s(settings)
        trials = self._trials = PlacedTrials(places, settings, self.on_event, self._deaths)
        ledger, tracker = trials.ledger, trials.tracker
        swept_at = fitted_at = 0.0
        with heartbeats(ledger, trials.keys), trials.waiting_named():
            send_waiting(settings, ledger, tracker, trials.send_waiting)
            while True:
                interruption.check()
                now = time.monotonic()
                if now - swept_at >= SWEEP_EVERY_S:
                    sweep(settings, ledger, tracker)
                    swept_at = time.monotonic()
                if now - fitted_at >= POLL_S:
                    fitted_at = now
                    places.leave_nodes(saves=settings.checkpoints is not None)
                    places.fit_to(trials.running, ledger.counts()["waiting"])
                trials.assign()
                if not trials.keys() and not ledger.is_unfinished():
                    return
                for place, message in places.receive():
                    if message[0] == messages.READY and not self._node_described:
                        tracker.describe_machine(message[1]["machine"])
                        self._node_described = True
                    trials.hear(place, message)
                trials.record_ended()
                trials.settle_lost()
                places.refuse_unplaceable()

    def dismiss(self) -> None:
        """End all places; the trials that run are given back, with their state if the study has a place for it."""
        # A second Ctrl-C still ends everything immediately.
        with interruption.defer_interrupts(), ExitStack() as ending:  # what has failed keeps the rest from nothing
            trials, places, connected = self._trials, self._places, self._connected
            self._trials = self._places = self._connected = None
            if connected is not None:
                ending.callback(connected.close)
            if places is not None:
                ending.callback(places.close)
            if trials is not None:
                ending.callback(trials.give_back_all)
                trials.stop(_grace_s(trials.settings))


def _grace_s(settings: WorkerSettings) -> float:
    """Return the seconds that an interrupted trial has to be given back."""
    return STOP_S if settings.checkpoints is None else checkpoints.STOP_S


@contextmanager
def cluster_crew(crew: ClusterCrew) -> Iterator[ClusterCrew]:
    """Yield a crew for all phases of a study; its places end with the block, however it ends."""
    try:
        yield crew
    except KeyboardInterrupt:
        crew.on_event(Stopping())
        raise
    finally:
        crew.dismiss()
