"""The `loaders` kind of study: measures each combination of loader settings on this machine, then varies the best."""

import hashlib
import json
import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, ClassVar

from bench.kinds.loaders.data import coco_folder, own_data_set, pinning_possible, with_own_loader
from bench.kinds.loaders.machine import ADVICE_PRESETS, on_this_machine
from bench.kinds.loaders.measuring import LoaderMeasuring
from bench.kinds.loaders.phases import AROUND, GRID, LARGEST
from bench.kinds.loaders.plan import grid
from bench.kinds.loaders.report.page import loader_findings, study_info
from bench.kinds.loaders.results import judged_measurements, load_loader_result
from bench.kinds.loaders.spec import LoaderSpec
from bench.records.measurements import CONFIGURATION_TAG, MeasurementTracker, measurements
from bench.records.mlflow_views import SavedView
from bench.records.reader import StudyRuns
from bench.report.command_output import CommandOutput, OutputTable
from bench.report.findings_result import FindingsResult
from bench.report.wording import counted
from bench.settings.layers import Setting
from bench.study.kind import Settings
from bench.study.machine_settings import default_name
from bench.study.measurement_kind import MeasurementKind
from bench.study.prepared import Prepared
from bench.workloads.protocol import FoundData, MakeData, OnOpen
from posemodel.errors import SettingsError
from posemodel.network import input_geometry

MEASURED = ("images_per_s", "data_wait_share", "cores_used")
"""Metrics with a chart on MLflow's pages."""
SLACK = 3.0
"""Maximum duration of a slice, in multiples of its planned length: it ends with a whole round of the workers."""
START_S = 180.0
"""Maximum seconds to start a process and hash its batches."""


class LoadersKind(MeasurementKind[LoaderSpec]):
    """The loaders kind, see `bench.study.kind`."""

    spec = LoaderSpec
    views: ClassVar[Sequence[SavedView]] = (
        SavedView(
            "Speed by configuration",
            GRID,
            MEASURED,
            ("panel", "block"),
            group=CONFIGURATION_TAG,
            charts=MEASURED,
        ),
        SavedView(
            "Around the best one",
            AROUND,
            ("images_per_s",),
            ("prefetch_factor", "persistent_workers", "start_method", "cv2_threads", "block"),
            group=CONFIGURATION_TAG,
            charts=MEASURED,
        ),
    )

    def resolve_on_machine(self, settings: Settings, preset: str) -> dict[str, Setting]:
        """Choose `device`, and `num_workers` and `batch_size` if they are `auto`, for this machine."""
        resolved = dict(settings) | on_this_machine(settings, preset)
        if resolved["largest_batch"].origin == f"preset {preset}" and not _takes_memory(resolved):
            why = f"{resolved['largest_batch'].origin} (there is no step that takes memory)"
            resolved["largest_batch"] = Setting(False, why)
        return resolved

    def refuse(self, settings: Settings, command_line: Mapping[str, Any]) -> None:
        """Refuse a network and an input size that do not fit, if the COCO folder is measured."""
        if not settings["dataset"].value:
            super().refuse(settings, command_line)

    def implicit_values(self, settings: Settings) -> dict[str, Any]:
        """Return the size of the network's input if the settings leave it to the network."""
        if settings["dataset"].value:
            return {}
        return {"size": input_geometry(settings["network"].value, settings["size"].value).size}

    def settings_of(self, spec: LoaderSpec) -> dict[str, Setting]:
        """Return the study's settings, without the data folder if a data set is named by its dotted path."""
        stored = super().settings_of(spec)
        return stored if not spec.dataset else stored | {"data": Setting(None, f"study {spec.name}")}

    def find_data(self, settings: Settings, make_data: MakeData | None, on_open: OnOpen | None) -> FoundData:
        """Find the user's data set or the COCO folder, and the user's own loader if there is one."""
        own = settings["dataset"].value
        data = own_data_set(settings) if own else coco_folder(settings, make_data, on_open)
        return with_own_loader(data, settings)

    def default_name(self, spec: LoaderSpec, settings: Settings, folder: Path) -> str:
        """Return kind-preset-data; advice gets a digest of all settings, because each question is a study of its
        own."""
        dataset = settings["dataset"].value
        stem = dataset.replace(":", ".").rpartition(".")[2] if dataset else ""
        if spec.preset not in ADVICE_PRESETS:
            return default_name(self.name, spec.preset, Path(stem) if stem else folder)
        stem = re.sub(r"[^A-Za-z0-9._-]+", "-", stem or (folder.stem if folder.is_file() else folder.name))
        asked = json.dumps(spec.identity() | {"name": ""}, sort_keys=True)
        return f"loader-advice-{stem}-{hashlib.sha256(asked.encode()).hexdigest()[:8]}"

    def size_text(self, spec: LoaderSpec) -> str:
        """Return configurations, blocks, time, network and device in one sentence."""
        number = sum(len(panel.contestants) for panel in grid(spec, pinning=pinning_possible(spec)))
        what = spec.dataset or f"{spec.network} at {spec.size} px"
        own = f" and {spec.loader}" if spec.loader else ""
        return (
            f"{counted(number, 'configuration')} of num_workers {_values(spec.num_workers)}, batch_size "
            f"{_values(spec.batch_size)} and pin_memory{own}, side by side in {spec.min_blocks} to "
            f"{counted(spec.blocks, 'block')}, {spec.minutes:g} minutes at most, {what}, on {spec.device}"
        )

    def plan_output(self, prepared: Prepared[LoaderSpec]) -> CommandOutput:
        """Return the plan of a dry run: what is measured side by side."""
        spec = prepared.spec
        panels = grid(spec, pinning=pinning_possible(spec))
        document = {
            "study": spec.name,
            "kind": spec.kind,
            "preset": spec.preset,
            "status": "planned",
            "spec": spec.model_dump(mode="json"),
            "minutes": spec.minutes,
            "blocks": [spec.min_blocks, spec.blocks],
            "plan": [
                {"panel": panel.number, **each.configuration.model_dump(mode="json"), "own_loader": each.own_loader}
                for panel in panels
                for each in panel.contestants
            ],
        }
        rows = [
            [
                str(each.configuration.batch_size),
                str(each.configuration.num_workers),
                str(each.configuration.pin_memory),
                *([each.own_loader or "-"] if spec.loader else []),
            ]
            for panel in panels
            for each in panel.contestants
        ]
        columns = ("batch_size", "num_workers", "pin_memory", *(["loader"] if spec.loader else []))
        return CommandOutput(
            document,
            [
                OutputTable(f"{spec.name}: side by side, batch size by batch size", columns, rows),
                f"{self.size_text(spec)}. Nothing was run.",
            ],
        )

    def measurements_of(
        self, spec: LoaderSpec, tracker: MeasurementTracker, say: Callable[[int, str], None]
    ) -> LoaderMeasuring:
        """Return the object that measures a study."""
        return LoaderMeasuring(spec, tracker, say)

    def counts(self, document: Mapping[str, Any], runs: StudyRuns) -> Mapping[str, int]:
        """Return the number of measured processes by status, without the attempts of the largest-batch search."""
        rows = measurements(runs)
        with suppress(SettingsError):  # another version's study: its statuses are counted as recorded
            rows = judged_measurements(rows, runs, LoaderSpec.from_stored(document))
        if not len(rows):
            return {}
        statuses = rows.loc[rows["phase"] != LARGEST, "status"].map(str)
        return {str(status): int((statuses == status).sum()) for status in dict.fromkeys(statuses)}

    def longest_gap_s(self, document: Mapping[str, Any]) -> float:
        """Return the longest time in seconds between two records: a slice of every process of the block, a stall and a
        start."""
        try:
            spec = LoaderSpec.from_stored(document)
        except SettingsError:  # another version's study: this version does not measure it
            return 0.0
        most = max(len(panel.contestants) for panel in grid(spec, pinning=True))
        return 2 * SLACK * spec.turns * most * spec.slice_s + spec.stall_s + START_S

    def load(self, runs: StudyRuns, folder: Path | None = None) -> FindingsResult:
        """Load the result of a study, finished or not, from MLflow alone; ``folder``: the report's, which names it."""
        result = load_loader_result(runs, folder)
        return FindingsResult(loader_findings(result), study_info(result))


def _takes_memory(settings: Settings) -> bool:
    return settings["step_ms"].value is None and (not settings["dataset"].value or bool(settings["step"].value))


def _values(values: tuple[int, ...]) -> str:
    return ", ".join(map(str, values))


KIND = LoadersKind()
