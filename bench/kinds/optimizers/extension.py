"""An optimizers study made larger: more tunings, or one more optimizer. What it has recorded stays as it is. Pure."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from bench.kinds.optimizers.spec import StudySpec
from bench.optimizers import optimizer_entry
from bench.optimizers.spaces import spaces_of
from bench.settings.layers import COMMAND_LINE, space_key
from bench.trials.study_base import LARGER, SAME_SETTINGS, changed_fields
from posemodel.errors import SettingsError

TUNINGS = "tunings"
GROWS = (TUNINGS, "max_tunings", "looks", "added", "optimizers", "spaces")
"""Settings in which a study differs from what it was before it was extended."""


def more_tunings(spec: StudySpec, tunings: int, *, looked: Collection[int]) -> StudySpec:
    """A study with more tunings of each optimizer; of one that goes on until it is decided, with more at most.

    ``looked``: tunings with which it has ended: its result was a look, which halves the level of later claims.
    SettingsError where it has more already, or can have no more.
    """
    name = "max_tunings" if spec.until_decided else TUNINGS
    have: int = getattr(spec, name)
    if tunings < have:
        raise SettingsError(f"--tunings {tunings}: the study {spec.name!r} has {have} already.")
    if tunings > spec.highest_tunings:
        raise SettingsError(f"--tunings {tunings}: a study like {spec.name!r} has {spec.highest_tunings} at most.")
    if tunings == have:
        return spec
    seen = spec.tunings in looked and not spec.until_decided and spec.tunings >= 2  # before that nothing is claimed
    looks = (*spec.looks, spec.tunings) if seen else spec.looks
    return spec.model_copy(update={name: tunings, "looks": looks})


def more_optimizers(spec: StudySpec, names: Sequence[str], spaces: Mapping[str, Mapping[str, Any]]) -> StudySpec:
    """A study that compares these optimizers too; ``spaces``: those that were typed, by name.

    The study itself where just these were added last. SettingsError where one is compared already, does not exist or
    cannot be searched, and where optimizers may have left by what was compared without it.
    """
    asked = [space_key(name) for name in names]
    for name in spaces:
        if space_key(name) not in asked:
            raise SettingsError(f"--space {name}: is not added to the study: name it in --add as well.")
    last = spec.optimizers[len(spec.optimizers) - spec.added :]
    if not spaces and asked == [space_key(name) for name in last[-len(asked) :]]:
        return spec
    if spec.until_decided:
        raise SettingsError(
            f"--add {names[0]}: optimizers leave the study {spec.name!r} by what was compared until then: begin one of "
            "another --name with all of them."
        )
    there = {space_key(each): each for each in spec.optimizers}
    for name in names:
        optimizer_entry(name)
        if asked.count(space_key(name)) > 1:
            raise SettingsError(f"--add {name}: is named twice.")
        if space_key(name) in there:
            raise SettingsError(f"--add {name}: the study {spec.name!r} compares {there[space_key(name)]} already.")
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
    return spec.model_copy(
        update={"looks": spec.looks or tuple(begun.get("looks", ())), "added": spec.added or begun.get("added", 0)}
    )


def go_on_text(spec: StudySpec, begun: Mapping[str, Any]) -> str:
    """What to do where the settings are those of a smaller or a larger study than the one that was begun."""
    changed = changed_fields(begun, spec.identity())
    size = "max_tunings" if spec.until_decided else TUNINGS
    have, wanted = begun.get(size, getattr(StudySpec.model_fields[size], "default", 0)), getattr(spec, size)
    old, new = list(begun["optimizers"]), list(spec.optimizers)
    alike = new[: len(old)] == old or old[: len(new)] == new
    if not changed or not changed <= {*GROWS} or not alike:
        return SAME_SETTINGS
    if wanted <= have and len(new) <= len(old):
        return LARGER.format(spec.name)
    ways = []
    if wanted > have:
        ways.append(f"`posebench study extend {spec.name} --tunings {wanted}`")
    if len(new) > len(old):
        add = " ".join(f"--add {name}" for name in new[len(old) :])
        ways.append(f"`posebench study {spec.kind} {add} {spec.name}`")
    return f"{', then '.join(ways)} makes it larger. Or give another --name."
