"""An optimizers study made larger: more tunings, or one more optimizer. What it has recorded stays as it is. Pure."""

from collections.abc import Mapping, Sequence
from typing import Any

from bench.kinds.optimizers.spec import StudySpec
from bench.optimizers import optimizer_entry
from bench.optimizers.spaces import spaces_of
from bench.settings.layers import COMMAND_LINE, space_key
from bench.trials.study_base import SAME_SETTINGS
from posemodel.errors import SettingsError

TUNINGS = "tunings"
GROWS = (TUNINGS, "max_tunings", "looks", "added", "optimizers", "spaces")
"""Settings in which a study differs from what it was before it was extended."""


def more_tunings(spec: StudySpec, tunings: int, *, looked: bool) -> StudySpec:
    """A study with more tunings of each optimizer; of one that goes on until it is decided, with more at most.

    ``looked``: whether it has ended: its result was a look, which halves the level of later claims. SettingsError
    where it has more already, or can have no more.
    """
    name = "max_tunings" if spec.until_decided else TUNINGS
    have: int = getattr(spec, name)
    if tunings < have:
        raise SettingsError(f"--tunings {tunings}: the study {spec.name!r} has {have} already.")
    if tunings > spec.highest_tunings:
        raise SettingsError(f"--tunings {tunings}: a study like {spec.name!r} has {spec.highest_tunings} at most.")
    if tunings == have:
        return spec
    seen = looked and not spec.until_decided and spec.tunings >= 2  # before that nothing is claimed
    looks = (*spec.looks, spec.tunings) if seen else spec.looks
    return spec.model_copy(update={name: tunings, "looks": looks})


def more_optimizers(spec: StudySpec, names: Sequence[str], spaces: Mapping[str, Mapping[str, Any]]) -> StudySpec:
    """A study that compares these optimizers too; ``spaces``: those that were typed, by name.

    SettingsError where one is compared already, does not exist, or cannot be searched.
    """
    there = {space_key(each): each for each in spec.optimizers}
    for name in names:
        optimizer_entry(name)
        if space_key(name) in there:
            raise SettingsError(f"--add {name}: the study {spec.name!r} compares {there[space_key(name)]} already.")
        there[space_key(name)] = name
    for name in spaces:
        if space_key(name) not in map(space_key, names):
            raise SettingsError(f"--space {name}: is not added to the study: name it in --add as well.")
    kept = {name: space for name, space in spec.spaces.items() if name in spec.optimizers}
    origins = dict.fromkeys([*kept, *spaces], COMMAND_LINE)
    found = spaces_of([*spec.optimizers, *names], {**kept, **spaces}, origins, weight_decay=spec.weight_decay)
    return spec.model_copy(
        update={
            "optimizers": (*spec.optimizers, *names),
            "spaces": {**spec.spaces, **{name: found[name] for name in names}},
            "added": spec.added + len(names),
        }
    )


def as_extended(spec: StudySpec, begun: Mapping[str, Any]) -> StudySpec:
    """A study as its settings tell it, with what only its extension can tell; ``begun``: its identity."""
    if spec.looks or spec.added:
        return spec
    return spec.model_copy(update={"looks": tuple(begun.get("looks", ())), "added": begun.get("added", 0)})


def go_on_text(spec: StudySpec, begun: Mapping[str, Any]) -> str:
    """What to do where the settings are those of a smaller or a larger study than the one that was begun."""
    now = spec.identity()
    changed = {name for name in {*now, *begun} if now.get(name) != begun.get(name)}
    if not changed or not changed <= {*GROWS}:
        return SAME_SETTINGS
    old, new = list(begun["optimizers"]), list(spec.optimizers)
    if "looks" in begun or begun.get("added"):
        return f"It was extended: `posebench study resume {spec.name}` goes on with it. Or give another --name."
    more = [name for name in new if name not in old]
    if more and new[: len(old)] == old and changed <= {"optimizers", "spaces"}:
        add = " ".join(f"--add {name}" for name in more)
        return f"`posebench study {spec.kind} {add} {spec.name}` adds to it. Or give another --name."
    wanted = spec.max_tunings if spec.until_decided else spec.tunings
    if changed <= {TUNINGS, "max_tunings"} and wanted > begun.get("max_tunings" if spec.until_decided else TUNINGS, 0):
        return f"`posebench study extend {spec.name} --tunings {wanted}` makes it larger. Or give another --name."
    return SAME_SETTINGS
