"""Base classes of somebody's own workload: `WorkloadBase` with a default for all that most workloads do alike, and
`WorkloadRun` with the fields of a resolved run."""

import hashlib
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import psutil

from bench.settings.layers import Setting
from bench.workloads.protocol import (
    REPORT,
    SELECT,
    Assignment,
    Costs,
    FoundData,
    MakeData,
    MakeOptimizer,
    OnCosts,
    OnMetrics,
    OnOpen,
    ProbeData,
    Split,
    Trained,
)
from bench.workloads.score import Score
from posemodel.config import Device, LoaderSettings, Precision, Schedule, Settings

PROBE_STEPS = 10
"""Training steps of a measurement of costs, after a first run that is not measured."""
DIGEST_LENGTH = 16
"""Characters of the digest of data that need no files; MLflow allows 36."""
LOG_EVERY = 50
"""Steps between measurements of loss and speed where the study does not say."""


class WorkloadRun(Settings):
    """The fields of a resolved run that come from the suite; a workload's run adds those of its own settings.

    Example:
        class DigitsRun(DigitsSettings, WorkloadRun):
            '''One run.'''
    """

    data: Path
    """Folder of the data set; for data that need no files, the working folder of the study."""
    val_split: Split
    """Split that the run is scored on: `select` or `report`."""
    network: str
    """Name of what is trained, for tables."""
    size: int | None = None
    """Its size for tables, e.g. an input side in pixels."""
    steps: int | None
    """Budget in steps, which are gradient evaluations; None if it is in seconds."""
    seconds: float | None
    """Budget in seconds of training; None if it is in steps."""
    evaluations: int
    """Number of scores at equal shares of the budget, the last one at its end."""
    window: int
    """Steps between measurements of loss and speed."""
    schedule: Schedule
    precision: Precision
    loader: LoaderSettings
    """Settings of the data loader, its batch size among them."""
    seed: int
    """Seed of the initial weights and of the order of the data."""
    device: Device
    time_limit: float | None
    """Seconds after which the run ends as `timed_out`; None: no limit."""


class WorkloadBase(ABC):
    """Base class of a workload: write `settings`, `run`, `score` and `train`; the rest has defaults.

    Example (in full: `examples/own_workload.py`):
        class Digits(WorkloadBase):
            settings = DigitsSettings
            run = DigitsRun
            score = Score("accuracy", "maximize", low=0, high=100, chance=10)

            def train(self, run, make_optimizer, **calls):
                network = ...
                return train_steps(run, network, make_optimizer, self.score, loss=..., score_on=..., **calls)

    The class is named in a study by its path, `--workload my_package.module:Digits`; the process that trains imports
    that module, so importing it must have no side effects.
    """

    name: ClassVar[str]
    """Its path `package.module:Class`; set for every subclass."""
    settings: type[Settings] = Settings
    """Type of its own settings, which a study file has in the table `[workload]`; each field needs a default."""
    run: type[Settings]
    """Type of a resolved run: a class of ``settings`` and `WorkloadRun`."""
    score: Score
    """Score by which its runs are judged."""
    final_metrics: frozenset[str]
    """Metrics that only a run with its full budget has; by default the score and its best value during the run."""
    budget_unit: str = "step"
    sample_name: str = "samples"

    def __init_subclass__(cls, **keywords: Any) -> None:
        super().__init_subclass__(**keywords)
        cls.name = f"{cls.__module__}:{cls.__qualname__}"
        if "final_metrics" not in vars(cls) and "score" in vars(cls):
            score = cls.score.name
            cls.final_metrics = frozenset({score, f"{score}_best", f"{score}_best_step"})

    def check(self, own: Any, settings: Mapping[str, Setting]) -> None:  # noqa: B027 (nothing to check is usual)
        """Raise SettingsError for settings that cannot be trained; by default all can."""

    def find_data(
        self,
        settings: Mapping[str, Setting],
        make_data: MakeData | None,  # noqa: ARG002
        on_open: OnOpen | None,  # noqa: ARG002
    ) -> FoundData:
        """Find the data set; by default the data need no files and are the same wherever the workload is.

        Override it for data in files: return their folder, and a digest (at most 36 characters) that
        changes with their content.
        """
        digest = hashlib.sha256(self.name.encode()).hexdigest()[:DIGEST_LENGTH]
        return FoundData(Path(settings["data"].value or ".").resolve(), digest)

    def plan(self, own: Any, assignment: Assignment) -> Any:
        """Make the resolved settings of one run from the workload's own settings and the suite's decisions."""
        budget = assignment.budget
        make_run: Any = self.run  # a class of `WorkloadRun`
        return make_run(
            **own.model_dump(),
            data=assignment.data,
            val_split=assignment.split,
            network=type(self).__name__.lower(),
            steps=budget.steps,
            seconds=budget.seconds,
            evaluations=budget.evaluations,
            window=budget.window or LOG_EVERY,
            schedule=assignment.schedule,
            precision=assignment.precision,
            loader=assignment.loader,
            seed=assignment.seed,
            device=assignment.device,
            time_limit=assignment.time_limit,
        )

    @abstractmethod
    def train(
        self,
        run: Any,
        make_optimizer: MakeOptimizer,
        *,
        on_metrics: OnMetrics | None = None,
        should_prune: Callable[[float], bool] | None = None,
        should_stop: Callable[[], bool] | None = None,
        should_save: Callable[[], bool] | None = None,
        on_saved: Callable[[], object] | None = None,
        folder: Path | None = None,
    ) -> Trained:
        """Train once: `Workload.train`. `bench.workloads.train_steps` is a loop that does what it asks."""

    def loading(self, run: Any) -> Any:  # noqa: ARG002
        """Return None: the study does not measure its data loader apart."""
        return None

    def probe_data(
        self,
        own: Any,  # noqa: ARG002
        data: Path,
        awaited_images: int | None,  # noqa: ARG002
        batch_size: int,  # noqa: ARG002
    ) -> AbstractContextManager[ProbeData]:
        """Measure costs on the study's own data."""
        return nullcontext(ProbeData(data, {SELECT: 1, REPORT: 1}))

    def costs(
        self, runs: Mapping[str, Any], factories: Mapping[str, MakeOptimizer], *, seconds: float, on_costs: OnCosts
    ) -> Costs:
        """Measure a few steps of each optimizer, and one evaluation, by training; those that the time does not reach
        count as the others."""
        until = time.perf_counter() + seconds
        first = next(iter(runs))
        setup_s = self._seconds_of(runs[first], factories[first], steps=1)[0]
        costs = Costs(setup_s, {}, {}, 0.0, psutil.Process().memory_info().rss, 0)
        for name, run in runs.items():
            if costs.step_s and time.perf_counter() > until:
                break
            _, step_s, trained = self._seconds_of(run, factories[name], steps=PROBE_STEPS)
            costs = replace(
                costs,
                step_s=costs.step_s | {name: step_s},
                score_s=costs.score_s or _evaluation_s(trained),
                memory_bytes=max(costs.memory_bytes, psutil.Process().memory_info().rss),
                gpu_memory_bytes=_gpu_memory(),
            )
            on_costs(costs)
        return costs

    def _seconds_of(self, run: Any, make_optimizer: MakeOptimizer, *, steps: int) -> tuple[float, float, Trained]:
        """Return the seconds of a short run in all, those of one of its steps, and the run."""
        length = {"steps": steps, "seconds": None, "evaluations": 1, "window": steps, "time_limit": None}
        began = time.perf_counter()
        trained = self.train(run.model_copy(update=length), make_optimizer)
        return time.perf_counter() - began, trained.metrics["train_seconds"] / max(trained.step, 1), trained


def _evaluation_s(trained: Trained) -> dict[Split, float]:
    """Return the seconds of scoring each split."""
    seconds: dict[Split, float] = {}
    splits: tuple[Split, ...] = (SELECT, REPORT)
    for split in splits:
        began = time.perf_counter()
        trained.score_on(split)
        seconds[split] = time.perf_counter() - began
    return seconds


def _gpu_memory() -> int:
    """Return the peak bytes allocated on the GPU; 0 without one."""
    torch = sys.modules.get("torch")  # imported by what trained; settings and plans do not need it
    return torch.cuda.max_memory_allocated() if torch is not None and torch.cuda.is_available() else 0
