"""From what somebody asks to a resolved study: settings layered, data found or made, device chosen."""

from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from bench.settings.data_files import absolute_paths
from bench.settings.layers import build
from bench.study.prepared import Prepared
from bench.study.settings import Given, preset_of, resolve
from bench.trials.study_base import StudyBase
from bench.workloads.protocol import AWAITED, MakeData, OnOpen

if TYPE_CHECKING:
    from bench.study.kind import StudyKind

S = TypeVar("S", bound=StudyBase)
UNNAMED = "unnamed"


def prepare(
    kind: "StudyKind[S, Any]", given: Given, make_data: MakeData | None, on_open: OnOpen | None = None
) -> Prepared[S]:
    """Layer the settings, make or find the data, and resolve the study, or the series of studies.

    ``make_data`` makes the default data set where it is not complete; None (a dry run) leaves it to be made later.
    ``on_open`` gets the opened splits. What the settings alone can tell is refused before data is made.

    Raises SettingsError, or DataError where the data cannot serve.
    """
    preset = preset_of(kind.spec, given)
    settings = resolve(kind.spec, given, preset)
    settings |= absolute_paths(settings)
    kind.refuse(settings, given.command_line)
    settings = kind.on_this_machine(settings, preset)
    derived: dict[str, Any] = {"preset": preset, "data": Path(), "data_digest": AWAITED} | kind.spelled_out(settings)
    name = settings["name"].value
    specs = {}
    for ending, own in kind.series(settings).items():
        values = {field: own[field].value for field in kind.spec.model_fields if field in own}
        specs[ending] = build(kind.spec, values | derived | {"name": (name or UNNAMED) + ending}, own)
        kind.check(specs[ending], own)
    found = kind.find_data(settings, make_data, on_open)
    placed = {"data": found.folder, "data_digest": found.digest}
    specs = {ending: spec.model_copy(update=placed) for ending, spec in specs.items()}
    if name is None:
        first = next(iter(specs.values()))
        name = kind.default_name(first, settings, found.folder)
        specs = {ending: spec.model_copy(update={"name": name + ending}) for ending, spec in specs.items()}
    workers = settings["workers"].value if "workers" in settings else 1
    return Prepared(name, tuple(specs.values()), workers, found.data_s, found.awaited_images, found.labelled_images)
