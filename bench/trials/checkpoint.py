"""Train a trial that goes on from where it was interrupted, and save its state when it is interrupted itself.

A workload keeps its own state in a folder (`Workload.train`). Beside it lies what the suite knows of the trial so far:
its curve and its time. Where both are kept is not known here (`bench.engines.checkpoints`).
"""

import inspect
import json
import shutil
import time
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, Protocol

from bench.storage.masking import masked
from bench.storage.printing import log
from bench.trials.record import CurvePoint
from bench.workloads.protocol import MakeOptimizer, OnMetrics, Trained, Workload

CHECKPOINT_EVERY_S = 300.0
"""Seconds between two checkpoints of a trial that is not interrupted: what a kill costs at most."""
SHARE_OF_TIME = 0.05
"""Largest share of a trial's time that goes into such checkpoints; slow ones are made less often."""
STATE, PROGRESS = "state", "progress.json"
"""Names in a checkpoint: the workload's folder, and the file with the trial's curve and time."""
SHORTEST_LIMIT_S = 1e-3
"""Time limit of a trial that had used up its own before it was interrupted, in seconds."""


class Hold(Protocol):
    """A block that postpones interruptions, for some time."""

    overdue: bool
    """True if the block was left because that time was over."""

    def __enter__(self) -> object: ...

    def __exit__(self, *_error: object) -> None: ...


class TrialCheckpoint:
    """The state of one trial in a local folder, from which it goes on, and which is saved from time to time."""

    def __init__(
        self,
        name: str,
        folder: Path,
        *,
        fetch: Callable[[Path], bool],
        save: Callable[[Path], None],
        stop_requested: Callable[[], bool],
        hold: Callable[[], Hold],
        every_s: float = CHECKPOINT_EVERY_S,
    ) -> None:
        """Prepare a trial.

        Args:
            name: The trial in messages.
            folder: Local folder of this trial alone, which does not exist yet.
            fetch: Copies the trial's checkpoint into a folder and returns True, or False if there is none.
            save: Replaces the trial's checkpoint by the files of a folder.
            stop_requested: Returns True once this process is interrupted.
            hold: Makes a block in which an interruption raises nothing, until it lasts too long.
            every_s: Seconds between two checkpoints of a trial that is not interrupted.
        """
        self.name, self.folder = name, folder
        self._fetch, self._save = fetch, save
        self._stop_requested, self._hold = stop_requested, hold
        self._every_s = every_s
        self._began = self._saved_at = time.monotonic()
        self.gpus: list[str] = []
        """GPUs on which the trial has trained so far, in that order, each once."""
        self._earlier_s = 0.0
        """Seconds that the trial has taken in earlier processes."""
        self._earlier_scores: list[float] = []
        """Scores of earlier processes, which the pruner of this one has not heard of yet."""
        self._save_s = 0.0
        """Seconds that the last checkpoint took."""
        self._has_begun = self._looks = self._told = False
        """Whether the training has taken a step here, asks whether to stop, and was told to."""
        self._unheard_at: int | None = None
        """The step at which an interruption was seen that the training has not asked for."""

    def train(
        self,
        task: Workload,
        run: Any,
        make_optimizer: MakeOptimizer,
        *,
        curve: list[CurvePoint],
        gpu: str | None,
        on_metrics: OnMetrics,
        should_prune: Callable[[float], bool] | None,
    ) -> Trained:
        """Train as `Workload.train` does, from the trial's checkpoint if there is one.

        Raises KeyboardInterrupt if this process is interrupted, once the state is saved.

        Args:
            task: The trial's workload.
            run: Its run.
            make_optimizer: Builds its optimizer.
            curve: Filled with the points of earlier processes; ``on_metrics`` appends to it.
            gpu: The GPU here; None without CUDA.
            on_metrics: See `Workload.train`.
            should_prune: See `Workload.train`.
        """
        goes_on = self._restore(task, curve)
        here = [] if gpu is None else [gpu]
        self.gpus = list(dict.fromkeys([*self.gpus, *here]))
        if goes_on:
            try:
                return self._train(task, run, make_optimizer, curve, on_metrics, should_prune)
            except Exception as error:
                if self._has_begun or self._stop_requested():
                    raise  # the checkpoint is not the cause
                self._begin_anew(curve, error)
                self.gpus = here
        return self._train(task, run, make_optimizer, curve, on_metrics, should_prune)

    def _train(
        self,
        task: Workload,
        run: Any,
        make_optimizer: MakeOptimizer,
        curve: list[CurvePoint],
        on_metrics: OnMetrics,
        should_prune: Callable[[float], bool] | None,
    ) -> Trained:
        def begin() -> None:
            """Tell the pruner, as the training goes on, of the scores of earlier processes; none of them pruned it."""
            self._has_begun = True
            earlier, self._earlier_scores = self._earlier_scores, []
            for score in earlier:
                if should_prune is not None:
                    should_prune(score)

        def measured(step: int, metrics: dict[str, float]) -> None:
            begin()
            on_metrics(step, metrics)
            if not self._looks and self._stop_requested():
                if self._unheard_at is not None and step > self._unheard_at:
                    raise KeyboardInterrupt  # this workload does not ask: it would not end before its budget
                self._unheard_at = step

        def prune(score: float) -> bool:
            begin()
            return should_prune is not None and should_prune(score)

        def stop() -> bool:
            begin()
            self._looks = True
            self._told = self._stop_requested()
            return self._told

        def save_due() -> bool:
            begin()
            pause = max(self._every_s, self._save_s / SHARE_OF_TIME)
            return time.monotonic() - self._saved_at >= pause

        calls: dict[str, Any] = {"should_save": save_due, "on_saved": lambda: self._keep(curve)}
        if not _takes(task, calls):
            calls = {}
        hold = self._hold()
        try:
            with hold:
                trained = task.train(
                    self._within_limit(run),
                    make_optimizer,
                    on_metrics=measured,
                    should_prune=None if should_prune is None else prune,
                    should_stop=stop,
                    folder=self.folder / STATE,
                    **calls,
                )
        except KeyboardInterrupt:
            if not any((self.folder / STATE).glob("*")):
                if self._told or self._unheard_at is not None:
                    _say_once(f"workload {task.name}: keeps no state in `folder`; an interrupted trial begins anew")
            elif self._told and not hold.overdue:
                self._keep(curve)
            raise
        begin()
        return trained

    def _restore(self, task: Workload, curve: list[CurvePoint]) -> bool:
        """Fetch the trial's checkpoint and return True; False if there is none that can be used."""
        try:
            if not self._fetch(self.folder):
                return False
            progress = json.loads((self.folder / PROGRESS).read_text())
            curve[:] = [CurvePoint(step, metrics, time_ms) for step, time_ms, metrics in progress["curve"]]
            self._earlier_s = float(progress["seconds"])
            self.gpus = list(map(str, progress["gpus"]))
        except Exception as error:  # whatever is wrong with the file or the place, the trial can be trained
            self._begin_anew(curve, error)
            return False
        score = task.score.name
        self._earlier_scores = [point.metrics[score] for point in curve if score in point.metrics]
        step = f"step {curve[-1].step}" if curve else "its beginning"
        log(f"posebench: trial {self.name} goes on from its checkpoint after {step}")
        return True

    def _begin_anew(self, curve: list[CurvePoint], error: Exception) -> None:
        reason = masked(" ".join(str(error).split()) or type(error).__name__)
        log(f"posebench: the checkpoint of trial {self.name} cannot be used; the trial begins anew ({reason})")
        curve.clear()
        self._earlier_s, self._earlier_scores, self.gpus = 0.0, [], []
        shutil.rmtree(self.folder, ignore_errors=True)

    def _keep(self, curve: list[CurvePoint]) -> None:
        """Save the workload's state, the curve and the time; what cannot be saved is only reported."""
        began = time.monotonic()
        progress = {
            "seconds": self._earlier_s + began - self._began,
            "gpus": self.gpus,
            "curve": [(point.step, point.time_ms, point.metrics) for point in curve],
        }
        try:
            (self.folder / PROGRESS).write_text(json.dumps(progress))
            self._save(self.folder)
        except Exception as error:  # a trial is worth more than its checkpoint
            log(f"posebench: the checkpoint of trial {self.name} could not be saved ({masked(error)})")
        self._saved_at = time.monotonic()
        self._save_s = self._saved_at - began

    def _within_limit(self, run: Any) -> Any:
        """Return the run with what earlier processes have left of its time limit."""
        limit = getattr(run, "time_limit", None)
        if limit is None or not self._earlier_s:
            return run
        return run.model_copy(update={"time_limit": max(limit - self._earlier_s, SHORTEST_LIMIT_S)})


def _takes(task: Workload, names: Any) -> bool:
    """Return whether a workload's `train` has such arguments; those of earlier versions lack some."""
    parameters = inspect.signature(task.train).parameters
    return all(name in parameters for name in names) or any(
        each.kind is inspect.Parameter.VAR_KEYWORD for each in parameters.values()
    )


@cache
def _say_once(text: str) -> None:
    """Print a progress line, unless this process has printed it before."""
    log(f"posebench: {text}")
