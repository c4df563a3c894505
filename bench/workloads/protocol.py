"""What the suite asks of a workload, that which a trial trains: a small protocol, and the values that cross it.

Comes in: a study's layered settings, an optimizer factory, what the suite decides of a run. Goes out: a run as plain
settings, its metrics while it trains, how it ended. A workload knows nothing of plans, ledgers or reports.
"""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

from bench.settings.layers import Setting
from posemodel.config import Device, LoaderSettings, Precision, Schedule, Settings

if TYPE_CHECKING:
    from torch.optim import Optimizer

Split = Literal["select", "report"]
SELECT: Split = "select"
"""The split by whose score settings are chosen."""
REPORT: Split = "report"
"""The split whose score is reported."""
MakeOptimizer = Callable[..., "Optimizer"]
"""Builds an optimizer from parameters, or from groups of them."""
OnMetrics = Callable[[int, dict[str, float]], None]
MakeData = Callable[[Path, int, int], object]
"""Makes the synthetic data set: folder, number of images, seed."""
OnOpen = Callable[[Any], object]
"""Gets the opened splits of a study: they know what was left out and what was read differently."""
AWAITED = "not generated yet"
"""Data fingerprint of a dry run whose synthetic data set is still to be made."""


@dataclass(frozen=True)
class Score:
    """The number by which trained settings are judged."""

    name: str
    """The metric that holds it."""
    direction: Literal["maximize", "minimize"]
    low: float
    """The lowest that a score can be."""
    high: float
    """The highest that a score can be."""
    chance: float
    """What a run scores that has learned nothing."""
    failure: float
    """What a run counts that did not complete."""


@dataclass(frozen=True)
class Budget:
    """How long a run trains, in steps or in seconds of training, and when it is measured on the way."""

    steps: int | None = None
    seconds: float | None = None
    evaluations: int = 1
    """Scores in the run, at equal shares of the budget; the last one at its end."""
    window: int | None = None
    """Steps between measurements of speed; None: the workload's own."""


@dataclass(frozen=True)
class Assignment:
    """What the suite decides of a run, whatever it trains."""

    data: Path
    split: Split
    """What the run is scored on."""
    budget: Budget
    schedule: Schedule
    precision: Precision
    loader: LoaderSettings
    seed: int
    """Of initial weights and the order of the data: equal for all optimizers that are compared on it."""
    device: Device
    time_limit: float | None
    """Seconds of wall time after which the run is given up as `timed_out`."""


class Run(Protocol):
    """One training run, resolved: what the suite reads of a workload's own settings of it (a pydantic model)."""

    @property
    def data(self) -> Path:
        """Folder of the data set."""

    @property
    def val_split(self) -> str:
        """The split that is scored."""

    @property
    def network(self) -> str:
        """What is trained, in a word for tables."""

    @property
    def size(self) -> int | None:
        """Its size, for tables: of a network its input side in pixels."""

    @property
    def steps(self) -> int | None:
        """Its budget in steps; None where it is in seconds."""

    @property
    def seconds(self) -> float | None:
        """Its budget in seconds of training."""

    @property
    def loader(self) -> LoaderSettings:
        """How batches are loaded."""

    @property
    def seed(self) -> int:
        """Seed of the initial weights and of the data order."""

    @property
    def device(self) -> Device:
        """What it trains on."""


@dataclass(frozen=True)
class FoundData:
    """The data set of a study, on this machine."""

    folder: Path
    digest: str
    """Fingerprint: the same data in another folder are the same study."""
    awaited_images: int | None = None
    """Size of the synthetic data set that is still to be made; None where the data stand."""
    data_s: float = 0.0
    """Seconds that making them has taken."""
    labelled_images: Mapping[str, int] = field(default_factory=dict)
    """Samples with labels in `train`, `select` and `report`: how much the data can tell; empty where unknown."""


@dataclass(frozen=True)
class Samples:
    """What a trained network finds in a few samples, for people to look at."""

    document: dict[str, Any]
    """Plain data, see `posemodel.scoring.samples.predict_samples`."""
    sheet: bytes | None
    """The same drawn on the images, as a JPEG file."""


@dataclass(frozen=True)
class Trained:
    """How a run ended."""

    status: Literal["complete", "diverged", "timed_out", "pruned"]
    step: int
    metrics: dict[str, float]
    """The last value of everything that was measured."""
    score_on: Callable[[Split], float]
    """The score on a split, of what was trained."""
    samples: Callable[[], Samples | None]
    """What it finds in a few samples of the split that it was scored on; None: nothing to be shown."""
    losses_on: Callable[[Split], Mapping[str, float]] | None = None
    """`val_loss` and `reference_loss` on a split; None: of a workload that does not measure these."""


StepBy = Literal["one image", "first step", "steps"]
"""What a step was measured on, the best last: of a slow one the time may be over before the next."""


@dataclass(frozen=True)
class Costs:
    """What one process measured of a study's trials: seconds of each piece, and memory in bytes.

    Where the time for measuring was over before the end, some pieces are missing.
    """

    setup_s: float
    """From a trial's start to its first step's end."""
    step_s: dict[str, float]
    """One training step with each optimizer, loading included."""
    score_s: dict[Split, float]
    """An evaluation of no samples on each split; empty: no evaluation was measured."""
    image_s: float
    """What each sample adds to an evaluation; 0 where none was measured."""
    memory_bytes: int
    gpu_memory_bytes: int
    start_s: float = 0.0
    """From the process's start to its first trial: interpreter and libraries."""
    step_by: StepBy = "steps"
    """What ``step_s`` was measured on; a trial's first step takes longer than later ones."""

    @property
    def evaluated(self) -> bool:
        """Whether an evaluation was measured."""
        return bool(self.score_s)


OnCosts = Callable[[Costs], object]
"""Gets what has been measured so far."""


@dataclass(frozen=True)
class ProbeData:
    """Data to measure a study's costs on, and how many samples of the study's own are scored."""

    folder: Path
    scored: Mapping[Split, int]
    data_s: float = 0.0
    """Seconds that making the study's own will take."""
    trained: int | None = None
    """Samples that a trial trains on in an epoch, where they are still to be made; None: unknown here."""


class Workload(Protocol):
    """What a trial trains. One object serves a whole process; it is found by its name in each."""

    name: str
    """As study files name it: `pose`, or a dotted path `package.module:NAME`."""
    settings: type[Settings]
    """Its own settings, those of a study file's table `[workload]`."""
    run: type[Settings]
    """One run, fully resolved (`Run`): a trial's id is made of it."""
    score: Score
    final_metrics: frozenset[str]
    """Metrics that only a run of its whole budget may have: the score among them.

    With `reference_loss`, the validation loss of having learned nothing, studies can be judged by `val_loss`."""
    budget_unit: str
    """What one of a budget's `steps` is called."""

    def check(self, own: Settings, settings: Mapping[str, Setting]) -> None:
        """Refuse what cannot be trained before minutes are spent on it; SettingsError names the setting."""

    def find_data(
        self, settings: Mapping[str, Setting], make_data: MakeData | None, on_open: OnOpen | None
    ) -> FoundData:
        """The data set of a study, found or made; ``make_data`` None (a dry run): left to be made later.

        SettingsError or DataError where it cannot serve.
        """

    def plan(self, own: Settings, assignment: Assignment) -> Settings:
        """One run (`Run`), resolved: pure, and the same on every machine."""

    def train(
        self,
        run: Any,
        make_optimizer: MakeOptimizer,
        *,
        on_metrics: OnMetrics | None = None,
        should_prune: Callable[[float], bool] | None = None,
        should_stop: Callable[[], bool] | None = None,
        folder: Path | None = None,
    ) -> Trained:
        """Train once.

        ``on_metrics`` gets the step and what was measured there: `loss`, `lr`, `images_per_s` at every window, the
        score when it is due, `train_seconds` with each. ``should_prune`` is asked with each score but the last; True
        ends the run as `pruned`. ``should_stop`` is asked after each step; True raises KeyboardInterrupt. ``folder``
        keeps the run's state: a stopped run goes on from there, and ends with the same weights and score. A loss that
        is not finite ends the run as `diverged`.
        """

    def loading(self, run: Any) -> Any:
        """What of a run the loader measurements can load and step (`bench.measure.loader.workload`); None: nothing.

        Hashable: equal for runs that load and compute the same, so that one look serves all of them.
        """

    def probe_data(
        self, own: Settings, data: Path, awaited_images: int | None, batch_size: int
    ) -> AbstractContextManager[ProbeData]:
        """Data to measure costs on, for the block: the study's own, or a few made meanwhile where they are awaited."""

    def costs(
        self, runs: Mapping[str, Any], factories: Mapping[str, MakeOptimizer], *, seconds: float, on_costs: OnCosts
    ) -> Costs:
        """What runs are made of, measured in some seconds in this process; one run and factory an optimizer.

        ``seconds``: what there is for it. ``on_costs`` gets what is known so far after each piece: the process is ended
        when the seconds are over, and what it has said by then is used.
        """
