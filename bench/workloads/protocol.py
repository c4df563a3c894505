"""The interface of workloads (`Workload`): what the suite needs of the thing that trials train, and the data passed.

In: a study's layered settings, an optimizer factory, and the suite's decisions about a run (`Assignment`). Out: a run
as plain settings, its metrics during training, and its end (`Trained`). A workload knows nothing of plans, ledgers and
reports.
"""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

from bench.settings.layers import Setting
from bench.workloads.score import Score
from posemodel.config import Device, LoaderSettings, Precision, Schedule, Settings

if TYPE_CHECKING:
    from torch.optim import Optimizer

Split = Literal["select", "report"]
SELECT: Split = "select"
"""The split whose score selects settings (images held out of `train`)."""
REPORT: Split = "report"
"""The split whose score is reported."""
MakeOptimizer = Callable[..., "Optimizer"]
"""Builds an optimizer from parameters, or from groups of them; of the suite it is an `OptimizerMaker`
(`posemodel.training.driving`), which says how the optimizer is driven and gives it the network if it needs that."""
OnMetrics = Callable[[int, dict[str, float]], None]
"""Receives a step and the metrics measured there."""
MakeData = Callable[[Path, int, int], object]
"""Makes the synthetic data set: folder, number of images, seed."""
OnOpen = Callable[[Any], object]
"""Receives the opened splits of a study, which know what was left out and what was read differently."""
AWAITED = "not generated yet"
"""Data fingerprint of a dry run whose synthetic data set is still to be made."""


@dataclass(frozen=True)
class Budget:
    """The length of a run, in steps or in seconds of training, and how often it is measured.

    A step is one gradient evaluation; some optimizers take several to move the weights once.
    """

    steps: int | None = None
    seconds: float | None = None
    evaluations: int = 1
    """Number of scores, at equal shares of the budget; the last one at its end."""
    window: int | None = None
    """Steps between measurements of speed; None: the workload's own."""


@dataclass(frozen=True)
class Assignment:
    """The suite's decisions about a run, the same for every workload."""

    data: Path
    split: Split
    """Split that the run is scored on."""
    budget: Budget
    schedule: Schedule
    precision: Precision
    loader: LoaderSettings
    seed: int
    """Seed of the initial weights and the order of the data; optimizers are compared on equal seeds."""
    device: Device
    time_limit: float | None
    """Seconds of wall time after which the run ends as `timed_out`; None: no limit."""


class Run(Protocol):
    """The fields that the suite reads of a resolved training run, a pydantic model of the workload."""

    @property
    def data(self) -> Path:
        """Folder of the data set."""

    @property
    def val_split(self) -> str:
        """Split that the run is scored on."""

    @property
    def network(self) -> str:
        """Name of what is trained, for tables."""

    @property
    def size(self) -> int | None:
        """Its size for tables; for a network its input side in pixels."""

    @property
    def steps(self) -> int | None:
        """Budget in steps; None if it is in seconds."""

    @property
    def seconds(self) -> float | None:
        """Budget in seconds of training; None if it is in steps."""

    @property
    def loader(self) -> LoaderSettings:
        """Settings of the data loader."""

    @property
    def seed(self) -> int:
        """Seed of the initial weights and of the data order."""

    @property
    def device(self) -> Device:
        """Device that it trains on."""


@dataclass(frozen=True)
class FoundData:
    """The data set of a study, on this machine."""

    folder: Path
    digest: str
    """Fingerprint of the content: a study may go on with the same data in another folder."""
    awaited_images: int | None = None
    """Number of images of the synthetic data set that is still to be made; None if the data exist."""
    data_s: float = 0.0
    """Seconds that making the data took."""
    labelled_images: Mapping[str, int] = field(default_factory=dict)
    """`train`, `select`, `report` -> number of samples with labels; empty if unknown."""


@dataclass(frozen=True)
class Samples:
    """Results of a trained network on a few samples, for people to look at."""

    document: dict[str, Any]
    """Results as plain data, see `posemodel.scoring.samples.predict_samples`."""
    sheet: bytes | None
    """The results drawn on the images, as the bytes of a JPEG file; None: no image."""


@dataclass(frozen=True)
class Trained:
    """The end of a run: its status and metrics, and functions that score what was trained."""

    status: Literal["complete", "diverged", "timed_out", "pruned"]
    step: int
    """Number of steps trained, in gradient evaluations: an ordinary optimizer takes one a step."""
    metrics: dict[str, float]
    """Metric -> its last value."""
    score_on: Callable[[Split], float]
    """Computes the score of the trained network on a split."""
    samples: Callable[[], Samples | None]
    """Computes results on a few samples of the split that was scored; None: nothing to show."""
    losses_on: Callable[[Split], Mapping[str, float]] | None = None
    """Computes `val_loss` and `reference_loss` on a split; None: the workload does not measure these."""


StepBy = Literal["one image", "first step", "steps"]
"""Basis of a measured step time, from roughest to best; with slow steps the time may end before the next."""


@dataclass(frozen=True)
class Costs:
    """Costs of a study's trials as measured by one process: seconds of each part, and memory in bytes.

    Some parts are missing if the time for measuring ended early.
    """

    setup_s: float
    """Seconds from a trial's start to the end of its first step."""
    step_s: dict[str, float]
    """Optimizer -> seconds of a training step, including loading."""
    score_s: dict[Split, float]
    """Split -> seconds of an evaluation apart from its samples; empty: no evaluation was measured."""
    image_s: float
    """Seconds that each sample adds to an evaluation; 0 if none was measured."""
    memory_bytes: int
    """Peak memory of the process and its loader workers."""
    gpu_memory_bytes: int
    """Peak memory allocated on the GPU; 0 without one."""
    start_s: float = 0.0
    """Seconds from the process's start to its first trial, for the interpreter and libraries."""
    step_by: StepBy = "steps"
    """Basis of ``step_s``; the first step of a trial takes longer than later ones."""

    @property
    def evaluated(self) -> bool:
        """Whether an evaluation was measured."""
        return bool(self.score_s)


OnCosts = Callable[[Costs], object]
"""Receives the costs measured so far."""


@dataclass(frozen=True)
class ProbeData:
    """Data for measuring a study's costs, and the numbers of samples of the study's own data."""

    folder: Path
    scored: Mapping[Split, int]
    """Split -> number of the study's samples that an evaluation scores."""
    data_s: float = 0.0
    """Seconds that making the study's own data will take."""
    trained: int | None = None
    """Samples of an epoch, if the data are still to be made; None: not known here."""


class Workload(Protocol):
    """The interface of a workload, which is what a trial trains.

    A process uses one object, found by its name. `tests/support/valley.py` is a small example.
    """

    name: str
    """The name in study files: `pose`, or a dotted path `package.module:NAME`."""
    settings: type[Settings]
    """Type of its own settings, which a study file has in the table `[workload]`."""
    run: type[Settings]
    """Type of a resolved run (`Run`), from which a trial's id is computed."""
    score: Score
    final_metrics: frozenset[str]
    """Metrics that only a run with its full budget has, the score among them.

    With `reference_loss`, the validation loss of a run that has learned nothing, studies can compare `val_loss`.
    """
    budget_unit: str
    """Name of the unit of a budget's `steps`, for texts."""
    sample_name: str
    """Name of what is trained on, plural, for texts such as `images/s`."""

    def check(self, own: Settings, settings: Mapping[str, Setting]) -> None:
        """Raise SettingsError, which names the setting, for settings that cannot be trained."""

    def find_data(
        self, settings: Mapping[str, Setting], make_data: MakeData | None, on_open: OnOpen | None
    ) -> FoundData:
        """Find or make the data set of a study; ``make_data`` None (a dry run): it is made later.

        Raises SettingsError or DataError if the data cannot be used.
        """

    def plan(self, own: Settings, assignment: Assignment) -> Settings:
        """Make the resolved settings of one run (`Run`): a pure function with the same result on every machine."""

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
        """Train once; a loss that is not finite ends the run as `diverged`.

        Args:
            run: settings from `plan`.
            make_optimizer: builds the optimizer from the parameters.
            on_metrics: gets the step and its metrics: `loss`, `lr`, `images_per_s` at every window, the score when it
                is due, `train_seconds` with each.
            should_prune: called with each score but the last; True ends the run as `pruned`.
            should_stop: called after each step; True saves the state, if there is a ``folder``, and raises
                KeyboardInterrupt.
            should_save: called after each step if there is a ``folder``; True saves the state. A workload may lack this
                argument and the next; its interrupted runs are then kept, but not those that are killed.
            on_saved: called when the state that ``should_save`` has asked for is saved; its time is not training's.
            folder: keeps the run's state: a stopped run continues from there, with the same final weights and score.
        """

    def loading(self, run: Any) -> Any:
        """Return what loader measurements load and step (`bench.measure.loader.workload`); None: not supported.

        It is hashable, and equal for runs that load and compute the same, so that they are measured once.
        """

    def probe_data(
        self, own: Settings, data: Path, awaited_images: int | None, batch_size: int
    ) -> AbstractContextManager[ProbeData]:
        """Provide data for measuring costs within the context: the study's own, or a few made ones if these do not
        exist."""

    def costs(
        self, runs: Mapping[str, Any], factories: Mapping[str, MakeOptimizer], *, seconds: float, on_costs: OnCosts
    ) -> Costs:
        """Measure the costs of runs in this process; ``runs`` and ``factories`` have one entry for each optimizer.

        ``seconds`` is the time available: then the process is killed and the last result given to ``on_costs`` counts.
        So ``on_costs`` must be called after each part with the costs known so far.
        """
