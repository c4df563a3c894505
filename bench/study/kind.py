"""Interface of a kind of study, which `bench.study`, the report and the command line use; `bench.kinds` has the kinds.

`StudyKind` is common to all: settings, preparation, report, command line. `LedgerKind` (`ledger_kind`): workers take
the trials from the ledger. `MeasurementKind` (`measurement_kind`): one process measures, one measurement after the
other.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Generic, TypeVar

from bench.engines.cluster.settings import Cluster
from bench.engines.events import OnEvent, ignore_event
from bench.measure.gpus import Gpu
from bench.optimizers import optimizer_entry
from bench.optimizers.own_schedules import own_schedules
from bench.optimizers.spaces import spaces_of
from bench.records.mlflow_views import SavedView
from bench.records.reader import StudyRuns
from bench.report.command_output import CommandOutput
from bench.report.findings_result import FindingsResult
from bench.report.findings_write import write_findings_report
from bench.settings.layers import Setting, errors_about
from bench.study.machine_settings import default_name, places_here
from bench.study.measurement_state import MeasurementState
from bench.study.prepared import Prepared
from bench.study.probe import Measured
from bench.study.progress import Progress, StudySize
from bench.study.sizing import ChosenSize
from bench.study.store_paths import StorePaths
from bench.trials.study_base import StudyBase
from bench.workloads import POSE, workload
from bench.workloads.of_study import TABLE, name_of, settle_workload
from bench.workloads.protocol import FoundData, MakeData, OnOpen
from posemodel.errors import SettingsError
from posemodel.network import input_geometry

S = TypeVar("S", bound=StudyBase)
Settings = Mapping[str, Setting]


class StudyKind(ABC, Generic[S]):
    """One kind of study.

    Attributes:
        spec: Specification class; its fields are the settings.
        budgeted: Settings that `--budget` may choose; only used if the specification ``estimates``.
        views: Saved views for the study's MLflow page.
    """

    spec: type[S]
    budgeted: ClassVar[Sequence[str]] = ()
    views: ClassVar[Sequence[SavedView]] = ()

    @property
    def name(self) -> str:
        """The kind's name, as in `posebench study KIND`."""
        return self.spec.kind_name()

    # --- from settings to a study

    def resolve_on_machine(self, settings: Settings, preset: str) -> dict[str, Setting]:  # noqa: ARG002 (others need it)
        """Return all settings, after resolving those that depend on the machine, the workload or each other."""
        if TABLE in settings:
            _, _, settings = settle_workload(settings)
        on_machine = dict(settings) | places_here(settings)
        return self.spec.settle_settings(on_machine, on_machine["device"].value)

    def refuse(self, settings: Settings, command_line: Mapping[str, Any]) -> None:  # noqa: ARG002 (others need it)
        """Raise SettingsError (file, line and field) for settings with which nothing can be trained."""
        if TABLE in settings:
            chosen_workload, workload_settings, settled = settle_workload(settings)
            chosen_workload.check(workload_settings, settled)
        elif {"network", "size"} <= {*settings}:
            with errors_about(settings, "network", "size"):
                input_geometry(settings["network"].value, settings["size"].value)

    def implicit_values(self, settings: Settings) -> dict[str, Any]:
        """Return specification fields whose defaults the settings leave implicit: each optimizer's full space, and
        schedules that their methods fix."""
        if "spaces" not in settings:
            return {}
        spaces = spaces_here(settings)
        with errors_about(settings, "optimizers"):
            return {"spaces": spaces, "own_schedules": own_schedules(spaces)}

    def series(self, settings: Settings) -> Mapping[str, Settings]:
        """Return the settings of each requested study, by the suffix of its name; usually one with suffix ''."""
        return {"": settings}

    def check(self, spec: S, settings: Settings) -> None:
        """Raise SettingsError (file, line and field) for errors that the specification's validation cannot detect."""

    def find_data(self, settings: Settings, make_data: MakeData | None, on_open: OnOpen | None) -> FoundData:
        """Find or make the study's data set.

        Args:
            settings: The study's resolved settings.
            make_data: Makes the default data set; None (a dry run) leaves that for later.
            on_open: Called with the opened splits.

        Raises SettingsError or DataError if the data set is unusable.
        """
        chosen_workload = workload(name_of(settings[TABLE].value) if TABLE in settings else POSE)
        return chosen_workload.find_data(settings, make_data, on_open)

    def settings_of(self, spec: S) -> dict[str, Setting]:
        """Return a begun study's settings, with which its data can be found again."""
        return {field: Setting(getattr(spec, field), f"study {spec.name}") for field in type(spec).model_fields}

    def default_name(self, spec: S, settings: Settings, folder: Path) -> str:  # noqa: ARG002 (others need them)
        """Return the name of a study that the user did not name; ``folder``: its data folder."""
        return default_name(self.name, spec.preset, folder)

    def views_of(self, spec: S) -> Sequence[SavedView]:  # noqa: ARG002 (others need it)
        """Return the saved views for a study's MLflow page."""
        return self.views

    # --- before it runs

    def size_text(self, spec: S) -> str:
        """Return a description of the study in one line."""
        return spec.size_text()

    @property
    def estimates(self) -> bool:
        """True if the kind can estimate a study's time before it runs."""
        return self.spec.estimates

    def estimate_text(self, prepared: Prepared[S]) -> str:  # noqa: ARG002 (others need it)
        """Return the estimated time in words, measuring for some seconds; only for kinds that ``estimates``."""
        return ""

    def measure_costs(self, prepared: Prepared[S]) -> Measured:  # noqa: ARG002 (others need it)
        """Measure the trials' costs on this machine for some seconds; only for kinds that ``estimates``."""
        raise TypeError(f"{self.name}: measures nothing beforehand")

    def choose_size(self, prepared: Prepared[S], choosable: Collection[str], seconds: float) -> ChosenSize:  # noqa: ARG002
        """Choose the study's size for a time budget; only for kinds that ``estimates``.

        Args:
            prepared: The study as it would be without a budget, with its measured costs.
            choosable: Settings that may be chosen, among ``budgeted``.
            seconds: Seconds from now to the end of the command.
        """
        raise TypeError(f"{self.name}: cannot be sized for a time")

    def warnings(self, spec: S) -> Sequence[str]:  # noqa: ARG002 (others need it)
        """Return a sentence for each setting that is probably a mistake; the study runs all the same."""
        return ()

    @abstractmethod
    def plan_output(self, prepared: Prepared[S]) -> CommandOutput:
        """Show the trials or measurements that would be run, as far as they are known beforehand."""

    # --- running it

    @abstractmethod
    def run(
        self,
        spec: S,
        paths: StorePaths,
        *,
        workers: int,
        gpus: Sequence[Gpu] = (),
        checkpoints: str | None = None,
        cluster: Cluster | None = None,
        on_event: OnEvent = ignore_event,
        began: float | None = None,
        data_s: float = 0.0,
        until: float | None = None,
    ) -> tuple[FindingsResult, Path]:
        """Run a study, continue it, or (once finished) show it again; return its result and the path of report.md.

        Args:
            spec: The study.
            paths: Its stores and report folder.
            workers: Trials that run at once.
            gpus: The GPU of each worker; empty: the device as it is.
            checkpoints: Shared folder or URL where interrupted trials keep their state; None: nowhere.
            cluster: Cluster on which the trials run, with no workers here; None: they run on this machine, or in other
                commands.
            on_event: Called with each event.
            began: Start of the command, in seconds since the epoch (None: now). Stored with the study, which reports
                how its time was spent.
            data_s: Seconds of the command spent on making the data set; stored too.
            until: Time at which an unfinished study is ended and reported as unfinished, in seconds since the epoch
                (None: never).
        """

    def progress(self, spec: S, workers: int) -> Progress | None:  # noqa: ARG002 (others need them)
        """Return the progress of a study that has not begun; None if its kind has no progress table."""
        return None

    # --- reading it

    @abstractmethod
    def load(self, runs: StudyRuns, folder: Path | None = None) -> FindingsResult:
        """Load a study's result, finished or not, from MLflow alone; ``folder``: the report's, which it names."""

    def write_report(
        self, runs: StudyRuns, folder: Path, update_session: Callable[[], None] = lambda: None
    ) -> tuple[FindingsResult, Path]:
        """Write the report of a study, report.md last; return its result and the path of report.md.

        ``update_session``: updates the session's last-seen time; called when most of the report's time has passed.
        """
        result = self.load(runs, folder)
        return result, write_findings_report(result.findings, result.info, folder, update_session)

    def size(self, document: Mapping[str, Any], planned: Mapping[str, int]) -> StudySize | None:  # noqa: ARG002
        """Return the size of a stored study; None if its trials are in no ledger.

        ``document``: the stored specification. ``planned``: number of trials of each phase in the ledger.
        Raises SettingsError if another version of posebench stored it.
        """
        return None

    def measurement_state(self, document: Mapping[str, Any], runs: StudyRuns) -> MeasurementState:  # noqa: ARG002
        """Return the state of a stored study whose trials are in no ledger."""
        raise TypeError(f"{self.name}: the ledger holds the state of its studies")


def require_optimizers(settings: Settings) -> None:
    """Raise SettingsError (file, line, nearest name) for the first optimizer that does not exist."""
    for position, optimizer in enumerate(settings["optimizers"].value):
        with errors_about(settings, ("optimizers", position)):
            optimizer_entry(optimizer)


def spaces_here(settings: Settings) -> dict[str, dict[str, Any]]:
    """Return the full search space of each optimizer in the settings; SettingsError names file, line and field."""
    require_optimizers(settings)
    with errors_about(settings, "optimizers", "weight_decay"):
        spaces = spaces_of(
            settings["optimizers"].value,
            settings["spaces"].value,
            settings["spaces"].origins,
            weight_decay=settings["weight_decay"].value,
        )
        for name, space in spaces.items():
            _require_known_numbers(settings, name, space)
        return spaces


def _require_known_numbers(settings: Settings, optimizer: str, space: Mapping[str, Any]) -> None:
    """Raise SettingsError if an optimizer plans over a number of steps or samples that its trainings do not know."""
    in_seconds = "seconds" in settings and settings["seconds"].value is not None
    own_workload = TABLE in settings and name_of(settings[TABLE].value) != POSE
    unknown = {"steps": in_seconds, "samples": own_workload}
    for name, kind in optimizer_entry(optimizer).fillable.items():
        if unknown[kind] and name not in space:
            number, why = (
                ("steps of the training", "a budget in seconds") if kind == "steps" else ("samples", "this workload")
            )
            raise SettingsError(
                f"optimizer {optimizer}: {name} is the number of {number}, which {why} does not know: give {name} in "
                "the space."
            )
