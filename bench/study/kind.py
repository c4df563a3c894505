"""A kind of study: what `bench.study`, the report and the command line need to know of it. `bench.kinds` has them.

What all share is `StudyKind`: settings, preparation, report, command line. `LedgerKind` (`ledger_kind`): its trials
stand in the ledger, and workers take them. `MeasurementKind` (`measurement_kind`): one process measures, one after the
other.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Generic, TypeVar

from bench.engines.events import OnEvent, ignore_event
from bench.optimizers import optimizer_entry
from bench.optimizers.spaces import spaces_of
from bench.records.mlflow_views import SavedView
from bench.records.reader import StudyRuns
from bench.report.findings_result import FindingsResult
from bench.report.findings_write import write_findings_report
from bench.report.shown import Shown
from bench.settings.layers import Setting, about
from bench.study.machine_settings import default_name, device_and_workers
from bench.study.prepared import Prepared
from bench.study.probe import Measured
from bench.study.progress import Progress, StudySize
from bench.study.sizing import Sized
from bench.study.standing import Standing
from bench.study.store_paths import StorePaths
from bench.trials.study_base import StudyBase
from bench.workloads import POSE, workload
from bench.workloads.of_study import TABLE, name_of, settle_workload
from bench.workloads.protocol import FoundData, MakeData, OnOpen
from posemodel.network import input_geometry

S = TypeVar("S", bound=StudyBase)
Settings = Mapping[str, Setting]


class StudyKind(ABC, Generic[S]):
    """One kind of study.

    Attributes:
        spec: The specification of such a study: its fields are the settings.
        budgeted: The settings that `--budget` chooses, of a kind whose specification ``estimates``.
        views: Saved views of MLflow's page of such a study.
    """

    spec: type[S]
    budgeted: ClassVar[Sequence[str]] = ()
    views: ClassVar[Sequence[SavedView]] = ()

    @property
    def name(self) -> str:
        """As in `posebench study KIND`."""
        return self.spec.kind_name()

    # --- from settings to a study

    def on_this_machine(self, settings: Settings, preset: str) -> dict[str, Setting]:  # noqa: ARG002 (others need it)
        """All settings, with those resolved that depend on the machine, on the workload or on each other."""
        if TABLE in settings:
            _, _, settings = settle_workload(settings)
        here = dict(settings) | device_and_workers(settings)
        return self.spec.settled(here, here["device"].value)

    def refuse(self, settings: Settings, command_line: Mapping[str, Any]) -> None:  # noqa: ARG002 (others need it)
        """Refuse settings with which nothing can be trained; SettingsError names file, line and field."""
        if TABLE in settings:
            its, own, settled = settle_workload(settings)
            its.check(own, settled)
        elif {"network", "size"} <= {*settings}:
            with about(settings, "network", "size"):
                input_geometry(settings["network"].value, settings["size"].value)

    def spelled_out(self, settings: Settings) -> dict[str, Any]:
        """Values of a built study that its settings leave to defaults: the full space of each optimizer."""
        return {"spaces": spaces_here(settings)} if "spaces" in settings else {}

    def series(self, settings: Settings) -> Mapping[str, Settings]:
        """The settings of each study that is asked for, by what its name ends with; nearly always one."""
        return {"": settings}

    def check(self, spec: S, settings: Settings) -> None:
        """Refuse what the specification's own validation cannot see; SettingsError names file, line and field."""

    def find_data(self, settings: Settings, make_data: MakeData | None, on_open: OnOpen | None) -> FoundData:
        """The data set of a study, found or made; ``make_data`` None (a dry run): left to be made later.

        SettingsError or DataError where it cannot serve. ``on_open`` gets the opened splits.
        """
        its = workload(name_of(settings[TABLE].value) if TABLE in settings else POSE)
        return its.find_data(settings, make_data, on_open)

    def settings_of(self, spec: S) -> dict[str, Setting]:
        """The settings of a study that has been begun, by which its data are found again."""
        return {field: Setting(getattr(spec, field), f"study {spec.name}") for field in type(spec).model_fields}

    def default_name(self, spec: S, settings: Settings, folder: Path) -> str:  # noqa: ARG002 (others need them)
        """The name of a study that nobody has named; ``folder``: of its data."""
        return default_name(self.name, spec.preset, folder)

    # --- what is said before it runs

    def size_text(self, spec: S) -> str:
        """The study in one line."""
        return spec.size_text()

    @property
    def estimates(self) -> bool:
        """Whether it can tell beforehand how long a study will take."""
        return self.spec.estimates

    def estimate_text(self, prepared: Prepared[S]) -> str:  # noqa: ARG002 (others need it)
        """How long it will take, measured in some seconds; of a kind that ``estimates``."""
        return ""

    def measured(self, prepared: Prepared[S]) -> Measured:  # noqa: ARG002 (others need it)
        """What its trials cost on this machine, measured in some seconds; of a kind that ``estimates``."""
        raise TypeError(f"{self.name}: measures nothing beforehand")

    def sized(self, prepared: Prepared[S], free: Collection[str], seconds: float) -> Sized:  # noqa: ARG002
        """The study for so many seconds; of a kind that ``estimates``.

        Args:
            prepared: The study as it is without a budget, and what was measured of it.
            free: The settings that may be chosen, among ``budgeted``.
            seconds: From now to the end of the command.
        """
        raise TypeError(f"{self.name}: cannot be sized for a time")

    def warnings(self, spec: S) -> Sequence[str]:  # noqa: ARG002 (others need it)
        """What of a study is probably not meant so, in sentences; it hinders nothing."""
        return ()

    @abstractmethod
    def plan_shown(self, prepared: Prepared[S]) -> Shown:
        """What would be run, as far as it is decided before it runs."""

    # --- running it

    @abstractmethod
    def run(
        self,
        spec: S,
        paths: StorePaths,
        *,
        workers: int,
        on_event: OnEvent = ignore_event,
        began: float | None = None,
        data_s: float = 0.0,
        until: float | None = None,
    ) -> tuple[FindingsResult, Path]:
        """Run a study, go on with it, or (once finished) show it again; its result and the path of report.md.

        ``began``: when the command that works on it began (seconds since the epoch; None: now), ``data_s``: the seconds
        of it that made the data set. Both are kept with the study, which says where its time went. ``until``: when a
        study that is not done is ended with what it has (seconds since the epoch; None: never): it is then unfinished.
        """

    def progress(self, spec: S, workers: int) -> Progress | None:  # noqa: ARG002 (others need them)
        """Where a study stands before it begins; None: of its kind no table can be drawn."""
        return None

    # --- reading it

    @abstractmethod
    def load(self, runs: StudyRuns, folder: Path | None = None) -> FindingsResult:
        """The result of a study, finished or not, from MLflow alone; ``folder``: of its report, which names it."""

    def write_report(
        self, runs: StudyRuns, folder: Path, note_session: Callable[[], None] = lambda: None
    ) -> tuple[FindingsResult, Path]:
        """Write the report of a study, report.md last; its result and the path of report.md.

        ``note_session``: updates the session's last-seen time; called when most of the report's time has passed.
        """
        result = self.load(runs, folder)
        return result, write_findings_report(result.findings, result.info, folder, note_session)

    def size(self, document: Mapping[str, Any], planned: Mapping[str, int]) -> StudySize | None:  # noqa: ARG002
        """The size of a study by its stored document; ``planned``: trials of each phase in the ledger.

        None: its trials stand in no ledger. SettingsError where it is of another version.
        """
        return None

    def standing(self, document: Mapping[str, Any], runs: StudyRuns) -> Standing:  # noqa: ARG002
        """Where a stored study stands whose trials are in no ledger."""
        raise TypeError(f"{self.name}: the ledger knows where its studies stand")


def require_optimizers(settings: Settings) -> None:
    """SettingsError for the first optimizer that does not exist, with file, line and the nearest name."""
    for place, optimizer in enumerate(settings["optimizers"].value):
        with about(settings, ("optimizers", place)):
            optimizer_entry(optimizer)


def spaces_here(settings: Settings) -> dict[str, dict[str, Any]]:
    """The full space of each optimizer of the settings; SettingsError names file, line and field."""
    require_optimizers(settings)
    with about(settings, "optimizers", "weight_decay"):
        return spaces_of(
            settings["optimizers"].value,
            settings["spaces"].value,
            settings["spaces"].origins,
            weight_decay=settings["weight_decay"].value,
        )
