"""Turn a user's request into a resolved study: merge the settings, find or make the data, choose the device."""

from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from bench.settings.data_files import absolute_paths
from bench.settings.layers import build_model
from bench.settings.weights_files import absolute_weights, weights_digest
from bench.study.machine_settings import cluster_of, gpus_of_workers
from bench.study.prepared import Prepared
from bench.study.settings import StudyRequest, preset_of, resolve
from bench.trials.study_base import StudyBase
from bench.workloads.protocol import AWAITED, MakeData, OnOpen

if TYPE_CHECKING:
    from bench.study.kind import StudyKind

S = TypeVar("S", bound=StudyBase)
UNNAMED = "unnamed"


def prepare(
    kind: "StudyKind[S]", request: StudyRequest, make_data: MakeData | None, on_open: OnOpen | None = None
) -> Prepared[S]:
    """Merge the settings (preset, study file, environment, command line: later ones win), find or make the data, and
    return the study, or the series of studies that differ in one setting.

    Errors that can be found from the settings alone are raised before any data is made.

    Args:
        kind: Kind of the study.
        request: The user's request.
        make_data: Makes the default data set if it is incomplete; None (a dry run) leaves that for later.
        on_open: Called with the opened splits, for instance to log what they hold.

    Raises SettingsError, or DataError if the data is unusable.
    """
    preset = preset_of(kind.spec, request)
    settings = resolve(kind.spec, request, preset)
    settings |= absolute_paths(settings) | absolute_weights(settings)
    kind.refuse(settings, request.command_line)
    settings = kind.resolve_on_machine(settings, preset)
    derived = {"preset": preset, "data": Path(), "data_digest": AWAITED} | kind.implicit_values(settings)
    if "weights_digest" in kind.spec.model_fields:
        derived |= {"weights_digest": weights_digest(settings)}
    name = settings["name"].value
    series = kind.series(settings)

    def build_specs(name: str, **data_fields: Any) -> tuple[S, ...]:
        specs = []
        for suffix, study_settings in series.items():
            values = {field: study_settings[field].value for field in kind.spec.model_fields if field in study_settings}
            specs.append(
                build_model(kind.spec, values | derived | data_fields | {"name": name + suffix}, study_settings)
            )
            kind.check(specs[-1], study_settings)
        return tuple(specs)

    build_specs(UNNAMED if name is None else name)  # raises before minutes are spent on making data
    data = kind.find_data(settings, make_data, on_open)
    data_fields = {"data": data.folder, "data_digest": data.digest}
    if name is None:
        name = kind.default_name(build_specs(UNNAMED, **data_fields)[0], settings, data.folder)
    specs = build_specs(name, **data_fields)
    cluster = cluster_of(settings) if "engine" in settings else None
    here = settings["workers"].value if "workers" in settings else 1
    workers = here if cluster is None else 0
    gpus = gpus_of_workers(settings) if "gpus" in settings else ()
    checkpoints = settings["checkpoints"].value if "checkpoints" in settings else None
    return Prepared(
        name,
        specs,
        workers,
        data.data_s,
        data.awaited_images,
        data.labelled_images,
        gpus=gpus,
        checkpoints=checkpoints,
        cluster=cluster,
    )
