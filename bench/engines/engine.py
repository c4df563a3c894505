"""Interface of what runs a study's trials: this process, local processes, the workers of other commands, a cluster."""

from typing import Protocol

from bench.engines.events import OnEvent
from bench.engines.worker_settings import WorkerSettings


class Engine(Protocol):
    """Runs the trials that are enqueued in a study's ledger, phase after phase."""

    on_event: OnEvent
    """Called with every event of the trials."""

    def start(self) -> None:
        """Begin to start processes, which load their libraries while the study is opened."""

    def work_off(self, settings: WorkerSettings) -> None:
        """Run all enqueued trials until they have ended, or the settings' stint has."""
