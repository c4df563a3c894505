"""Extend an optimizers study with more tunings or more optimizers; its recorded trials stay valid. Pure."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from bench.kinds.optimizers.spec import StudySpec
from bench.optimizers import optimizer_entry
from bench.optimizers.own_schedules import own_schedules
from bench.optimizers.spaces import spaces_of
from bench.settings.layers import COMMAND_LINE, space_key
from bench.trials.study_base import LARGER_EXISTS_REMEDY, SAME_SETTINGS_REMEDY, changed_fields
from posemodel.errors import SettingsError

TUNINGS = "tunings"
EXTENDABLE = (TUNINGS, "max_tunings", "looks", "added", "optimizers", "spaces", "own_schedules")
"""Settings that an extension may change."""


def more_tunings(spec: StudySpec, tunings: int, *, finished_amounts: Collection[int]) -> StudySpec:
    """Return the study with more tunings of each optimizer (if ``until_decided``, with a higher maximum).

    Args:
        spec: The study.
        tunings: Tunings of each optimizer after the extension.
        finished_amounts: Numbers of tunings at which the study has finished: each such result was a look at the data,
            which halves the level of later claims.

    Raises:
        SettingsError: The study already has more tunings, or cannot have so many.
    """
    name = "max_tunings" if spec.until_decided else TUNINGS
    current: int = getattr(spec, name)
    if tunings < current:
        raise SettingsError(f"--tunings {tunings}: the study {spec.name!r} has {current} already.")
    if tunings > spec.highest_tunings:
        raise SettingsError(f"--tunings {tunings}: the study {spec.name!r} can have at most {spec.highest_tunings}.")
    if tunings == current:
        return spec
    is_look = (
        spec.tunings in finished_amounts and not spec.until_decided and spec.tunings >= 2
    )  # one tuning makes no claim
    looks = (*spec.looks, spec.tunings) if is_look else spec.looks
    return spec.model_copy(update={name: tunings, "looks": looks})


def more_optimizers(spec: StudySpec, names: Sequence[str], spaces: Mapping[str, Mapping[str, Any]]) -> StudySpec:
    """Return the study with further optimizers; unchanged if exactly these were the last ones added.

    Args:
        spec: The study.
        names: Optimizers to add.
        spaces: Tuning spaces from the command line, by optimizer.

    Raises:
        SettingsError: An optimizer is already compared, does not exist or has no usable space; or the study runs until
            it is decided, so that optimizers may have been dropped in comparisons without the new one.
    """
    keys = [space_key(name) for name in names]
    for name in spaces:
        if space_key(name) not in keys:
            raise SettingsError(f"--space {name}: this optimizer is not being added; name it in --add as well.")
    last_added = spec.optimizers[len(spec.optimizers) - spec.added :]
    if not spaces and keys == [space_key(name) for name in last_added[-len(keys) :]]:
        return spec
    if spec.until_decided:
        raise SettingsError(
            f"--add {names[0]}: the study {spec.name!r} runs until it is decided and may have dropped optimizers "
            "already: begin a study with all of them under another --name."
        )
    compared = {space_key(each): each for each in spec.optimizers}
    for name in names:
        optimizer_entry(name)
        if keys.count(space_key(name)) > 1:
            raise SettingsError(f"--add {name}: is named twice.")
        if space_key(name) in compared:
            raise SettingsError(f"--add {name}: the study {spec.name!r} compares {compared[space_key(name)]} already.")
    used_spaces = {name: space for name, space in spec.spaces.items() if name in spec.optimizers}
    origins = dict.fromkeys([*used_spaces, *spaces], COMMAND_LINE)
    all_spaces = spaces_of(
        [*spec.optimizers, *names], {**used_spaces, **spaces}, origins, weight_decay=spec.weight_decay
    )
    return spec.model_copy(
        update={
            "optimizers": (*spec.optimizers, *names),
            "spaces": {**spec.spaces, **{name: all_spaces[name] for name in names}},
            "own_schedules": {**spec.own_schedules, **own_schedules({name: all_spaces[name] for name in names})},
            "added": spec.added + len(names),
        }
    )


def as_extended(spec: StudySpec, begun: Mapping[str, Any]) -> StudySpec:
    """Return the study with ``looks`` and ``added`` from its stored identity ``begun``, since only extensions set these
    fields."""
    return spec.model_copy(
        update={"looks": spec.looks or tuple(begun.get("looks", ())), "added": spec.added or begun.get("added", 0)}
    )


def difference_remedy(spec: StudySpec, begun: Mapping[str, Any]) -> str:
    """Say how to continue where the settings differ from those of the study that was begun (identity ``begun``)."""
    changed = changed_fields(begun, spec.identity())
    setting = "max_tunings" if spec.until_decided else TUNINGS
    current, wanted = begun.get(setting, getattr(StudySpec.model_fields[setting], "default", 0)), getattr(spec, setting)
    old_optimizers, new_optimizers = list(begun["optimizers"]), list(spec.optimizers)
    is_prefix = (
        new_optimizers[: len(old_optimizers)] == old_optimizers
        or old_optimizers[: len(new_optimizers)] == new_optimizers
    )
    if not changed or not changed <= {*EXTENDABLE} or not is_prefix:
        return SAME_SETTINGS_REMEDY
    if wanted <= current and len(new_optimizers) <= len(old_optimizers):
        return LARGER_EXISTS_REMEDY.format(spec.name)
    commands = []
    if wanted > current:
        commands.append(f"`posebench study extend {spec.name} --tunings {wanted}`")
    if len(new_optimizers) > len(old_optimizers):
        add_flags = " ".join(f"--add {name}" for name in new_optimizers[len(old_optimizers) :])
        commands.append(f"`posebench study {spec.kind} {add_flags} {spec.name}`")
    return f"{', then '.join(commands)} makes it larger. Or give another --name."
