"""From what somebody asks to a resolved study: settings layered, data found or made, device chosen."""

from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from bench.settings.data_files import absolute_paths
from bench.settings.layers import build
from bench.settings.weights_files import absolute_weights, weights_digest
from bench.study.prepared import Prepared
from bench.study.settings import Given, preset_of, resolve
from bench.trials.study_base import StudyBase
from bench.workloads.protocol import AWAITED, MakeData, OnOpen

if TYPE_CHECKING:
    from bench.study.kind import StudyKind

S = TypeVar("S", bound=StudyBase)
UNNAMED = "unnamed"


def prepare(
    kind: "StudyKind[S]", given: Given, make_data: MakeData | None, on_open: OnOpen | None = None
) -> Prepared[S]:
    """Layer the settings, make or find the data, and resolve the study, or the series of studies.

    ``make_data`` makes the default data set where it is not complete; None (a dry run) leaves it to be made later.
    ``on_open`` gets the opened splits. What the settings alone can tell is refused before data is made.

    Raises SettingsError, or DataError where the data cannot serve.
    """
    preset = preset_of(kind.spec, given)
    settings = resolve(kind.spec, given, preset)
    settings |= absolute_paths(settings) | absolute_weights(settings)
    kind.refuse(settings, given.command_line)
    settings = kind.on_this_machine(settings, preset)
    derived = {"preset": preset, "data": Path(), "data_digest": AWAITED} | kind.spelled_out(settings)
    if "weights_digest" in kind.spec.model_fields:
        derived |= {"weights_digest": weights_digest(settings)}
    name = settings["name"].value
    series = kind.series(settings)

    def built(name: str, **found: Any) -> tuple[S, ...]:
        specs = []
        for ending, own in series.items():
            values = {field: own[field].value for field in kind.spec.model_fields if field in own}
            specs.append(build(kind.spec, values | derived | found | {"name": name + ending}, own))
            kind.check(specs[-1], own)
        return tuple(specs)

    built(UNNAMED if name is None else name)  # what is wrong is said before minutes are spent on making data
    found = kind.find_data(settings, make_data, on_open)
    placed = {"data": found.folder, "data_digest": found.digest}
    if name is None:
        name = kind.default_name(built(UNNAMED, **placed)[0], settings, found.folder)
    specs = built(name, **placed)
    workers = settings["workers"].value if "workers" in settings else 1
    return Prepared(name, specs, workers, found.data_s, found.awaited_images, found.labelled_images)
