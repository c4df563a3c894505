"""The loaders kind: each combination of loader settings measured on this machine, the best of them varied."""

import hashlib
import json
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import pandas as pd

from bench.kinds.loaders.analysis.configurations import END_TO_END
from bench.kinds.loaders.data import coco_folder, own_data_set, pinning_possible
from bench.kinds.loaders.machine import ADVICE_PRESETS, on_this_machine
from bench.kinds.loaders.measuring import SLACK, LoaderMeasuring
from bench.kinds.loaders.phases import GRID, LARGEST
from bench.kinds.loaders.plan import grid, pending
from bench.kinds.loaders.report.page import loader_findings, study_info
from bench.kinds.loaders.results import judged_measurements, load_loader_result
from bench.kinds.loaders.spec import LoaderSpec
from bench.records.measurements import CONFIGURATION_TAG, MeasurementTracker, measurements
from bench.records.mlflow_views import SavedView
from bench.records.reader import StudyRuns
from bench.report.findings_result import FindingsResult
from bench.report.shown import Shown, ShownTable
from bench.settings.layers import Setting
from bench.study.kind import Settings
from bench.study.machine_settings import default_name
from bench.study.measurement_kind import MeasurementKind
from bench.study.prepared import Prepared
from bench.workloads.protocol import FoundData, MakeData, OnOpen
from posemodel.errors import SettingsError
from posemodel.network import input_geometry

MEASURED = ("images_per_s", "data_wait_share", "cores_used", "wait_p95_ms")
"""What has a chart on MLflow's pages."""
START_S = 180.0
"""What starting a measurement and hashing its batches may take on top of its loop."""


class LoadersKind(MeasurementKind[LoaderSpec]):
    """See `bench.study.kind`."""

    spec = LoaderSpec
    views: ClassVar[Sequence[SavedView]] = (
        SavedView(
            "Speed by configuration",
            END_TO_END,
            MEASURED,
            ("phase", "block"),
            tag="arm",
            group=CONFIGURATION_TAG,
            charts=MEASURED,
        ),
        SavedView(
            "Grid by arm",
            GRID,
            ("images_per_s",),
            ("num_workers", "batch_size", "pin_memory", "block"),
            group="arm",
            charts=MEASURED,
        ),
    )

    def on_this_machine(self, settings: Settings, preset: str) -> dict[str, Setting]:
        """`device`, and `num_workers` and `batch_size` where they are left to the machine."""
        found = dict(settings) | on_this_machine(settings, preset)
        if found["largest_batch"].origin == f"preset {preset}" and not _takes_memory(found):
            why = f"{found['largest_batch'].origin} (there is no step that takes memory)"
            found["largest_batch"] = Setting(False, why)
        return found

    def refuse(self, settings: Settings, command_line: Mapping[str, Any]) -> None:
        """A network and an input size that do not fit, where the COCO folder is measured."""
        if not settings["dataset"].value:
            super().refuse(settings, command_line)

    def spelled_out(self, settings: Settings) -> dict[str, Any]:
        """The size of the network's input, where it is the network's own."""
        if settings["dataset"].value:
            return {}
        return {"size": input_geometry(settings["network"].value, settings["size"].value).size}

    def settings_of(self, spec: LoaderSpec) -> dict[str, Setting]:
        """Without a folder of data where a data set is named by its dotted path."""
        found = super().settings_of(spec)
        return found if not spec.dataset else found | {"data": Setting(None, f"study {spec.name}")}

    def find_data(self, settings: Settings, make_data: MakeData | None, on_open: OnOpen | None) -> FoundData:
        """A data set by dotted path, or the COCO folder."""
        if settings["dataset"].value:
            return own_data_set(settings)
        return coco_folder(settings, make_data, on_open)

    def default_name(self, spec: LoaderSpec, settings: Settings, folder: Path) -> str:
        """kind-preset-data; of advice, where every question is another study, with a digest of all that is asked."""
        dataset = settings["dataset"].value
        stem = dataset.replace(":", ".").rpartition(".")[2] if dataset else ""
        if spec.preset not in ADVICE_PRESETS:
            return default_name(self.name, spec.preset, Path(stem) if stem else folder)
        stem = re.sub(r"[^A-Za-z0-9._-]+", "-", stem or (folder.stem if folder.is_file() else folder.name))
        asked = json.dumps(spec.identity() | {"name": ""}, sort_keys=True)
        return f"loader-advice-{stem}-{hashlib.sha256(asked.encode()).hexdigest()[:8]}"

    def size_text(self, spec: LoaderSpec) -> str:
        """Combinations, repeats, network, device."""
        combinations = len(grid(spec, pinning=pinning_possible(spec)))
        what = spec.dataset or f"{spec.network} at {spec.size} px"
        return (
            f"{combinations} combinations of num_workers {_values(spec.num_workers)}, batch_size "
            f"{_values(spec.batch_size)} and pin_memory, {spec.min_repeats} to {spec.repeats} repeats of about "
            f"{spec.seconds:g} s an arm, {what}, on {spec.device}"
        )

    def plan_shown(self, prepared: Prepared[LoaderSpec]) -> Shown:
        """The first block of measurements."""
        spec = prepared.spec
        first = pending(spec, pd.DataFrame(), pinning=pinning_possible(spec))
        document = {
            "study": spec.name,
            "kind": spec.kind,
            "preset": spec.preset,
            "status": "planned",
            "spec": spec.model_dump(mode="json"),
            "measurements_a_block": len(first),
            "blocks": [spec.min_repeats, spec.repeats],
            "plan": [{"id": p.id, "arm": p.arm, **p.configuration.model_dump(mode="json")} for p in first],
        }
        rows = [
            [p.arm, str(p.configuration.num_workers), str(p.configuration.batch_size), str(p.configuration.pin_memory)]
            for p in first
        ]
        minutes = len(first) * spec.min_repeats * spec.seconds / 60
        return Shown(
            document,
            [
                ShownTable(f"{spec.name}: the first block", ("arm", "num_workers", "batch_size", "pin_memory"), rows),
                f"{self.size_text(spec)}: at least {minutes:.0f} minutes of loops, and as long again for starting. "
                "Nothing was run.",
            ],
        )

    def measuring(
        self, spec: LoaderSpec, tracker: MeasurementTracker, say: Callable[[int, str], None]
    ) -> LoaderMeasuring:
        """The work on a study."""
        return LoaderMeasuring(spec, tracker, say)

    def counts(self, document: Mapping[str, Any], runs: StudyRuns) -> Mapping[str, int]:
        """Measurements by status, without the tries of the search for the largest batch."""
        try:
            rows = judged_measurements(runs, LoaderSpec.stored(document))
        except SettingsError:  # of another version: its statuses are as they were recorded
            rows = measurements(runs)
        if not len(rows):
            return {}
        statuses = rows.loc[rows["phase"] != LARGEST, "status"].map(str)
        return {str(status): int((statuses == status).sum()) for status in dict.fromkeys(statuses)}

    def longest_s(self, document: Mapping[str, Any]) -> float:
        """A loop, a stall and a start."""
        return SLACK * float(document["seconds"]) + float(document["stall_s"]) + START_S

    def load(self, runs: StudyRuns, folder: Path | None = None) -> FindingsResult:
        """The result of a study, finished or not, from MLflow alone; ``folder``: of its report, which names it."""
        result = load_loader_result(runs, folder)
        return FindingsResult(loader_findings(result), study_info(result))


def _takes_memory(settings: Settings) -> bool:
    return settings["step_ms"].value is None and (not settings["dataset"].value or bool(settings["step"].value))


def _values(values: tuple[int, ...]) -> str:
    return ", ".join(map(str, values))


KIND = LoadersKind()
