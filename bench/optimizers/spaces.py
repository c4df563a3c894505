"""Determine the tuning space of each optimizer of a study: its default, or that of a study file or `--space`."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from bench.optimizers import OPTIMIZERS, OptimizerEntry, optimizer_entry
from bench.optimizers.entry import WEIGHT_DECAY
from bench.optimizers.space import (
    FORMS,
    Categorical,
    Fixed,
    Space,
    Value,
    as_document,
    dimension,
    from_document,
    point,
    rate_of,
    searched,
)
from bench.optimizers.unfit import check_trains
from bench.optimizers.weight_decay import DecayRange, decay_dimension, with_decay
from bench.settings.layers import COMMAND_LINE, FileOrigin, LocatedError, space_key
from bench.settings.value_errors import key_path_text, names_in_message
from posemodel.dotted_paths import with_dots
from posemodel.errors import SettingsError

INSIDE = 0.37
"""Coordinate (0..1) of a point inside each range, which is tried to notice hyperparameters that must be whole
numbers."""
TEXT_FORMS = {
    "log": "log(LOW,HIGH) with 0 < LOW < HIGH",
    "values": "values(A,B,...) of numbers, words, true, false or numbers in parentheses",
    "value": "one number, word, true, false or numbers in parentheses",
}
"""Form of a dimension -> how `--space` writes it, for error messages."""


def spaces_of(
    names: Sequence[str],
    changes: Mapping[str, Mapping[str, Any]],
    origins: Mapping[str, str],
    *,
    weight_decay: float | DecayRange = 0.0,
) -> dict[str, dict[str, Any]]:
    """Return the tuning space of each optimizer as plain data: its default, or one of ``changes``.

    Args:
        names: the study's optimizers.
        changes: optimizer -> space as in a study file. If it has no learning rate, that of the default space is added.
        origins: optimizer -> where its changed space comes from, for error messages.
        weight_decay: the study's; a range becomes a dimension of each space.

    Optimizers and spaces that are not the registry's are tried out at the corners of the space. Raises SettingsError
    for an unknown optimizer, an impossible space, or two optimizers that are the same class with the same space.
    """
    changed_names: dict[str, str] = {}
    for name, change in changes.items():
        where = _where(name, origins[name])
        try:
            optimizer_entry(name)  # a study file may have spaces of optimizers that are left out, not of unknown ones
        except SettingsError as error:
            path = _unquoted_path(name, change)
            hint = f' A dotted path must be quoted in TOML: [spaces."{path}"].' if path else ""
            raise LocatedError(f"{where}: {error}{hint}") from error
        if space_key(name) in changed_names:
            raise LocatedError(f"{where}: the optimizer has a space already, as {changed_names[space_key(name)]}.")
        changed_names[space_key(name)] = name
    spaces: dict[str, dict[str, Any]] = {}
    for name in names:
        entry = optimizer_entry(name)
        changed_name = changed_names.get(space_key(name))
        if changed_name is None:
            if not entry.space:
                raise SettingsError(f"optimizers: {name} has no learning rate `lr` to search: give it a space.")
            space = with_decay(entry, entry.space, weight_decay)
            _try_corners(entry, space, weight_decay, build=entry.name not in OPTIMIZERS)
        else:
            try:
                space = _changed_space(entry, changes[changed_name], changed_name, origins[changed_name], weight_decay)
            except SettingsError as error:
                raise LocatedError(str(error)) from error
        spaces[name] = as_document(space)
        same = next((other for other in spaces if other != name and _are_same((other, name), spaces)), None)
        if same is not None:
            raise SettingsError(
                f"optimizers: {same} and {name} are the same class with the same space; name it once, or give one of "
                "them another space."
            )
    return spaces


def _changed_space(
    entry: OptimizerEntry, change: Mapping[str, Any], name: str, origin: str, weight_decay: float | DecayRange
) -> Space:
    """Return a changed space, checked; SettingsError names the place in the study file or flag."""
    space: Space = {parameter: dimension(each, _where(name, origin, parameter)) for parameter, each in change.items()}
    if isinstance(weight_decay, Mapping) and space.get(WEIGHT_DECAY) == decay_dimension(weight_decay):
        # The study file written beside a report has the range in both places.
        space = {parameter: each for parameter, each in space.items() if parameter != WEIGHT_DECAY}
    if WEIGHT_DECAY in space:
        place = _where(name, origin, WEIGHT_DECAY)
        raise SettingsError(f"{place}: is one value for all optimizers: set `weight_decay` (--wd).")
    own = entry.at({each: d.value for each, d in space.items() if isinstance(d, Fixed)}).space
    own_rate = rate_of(own)
    if own_rate is not None and rate_of(space) is None:
        space = {own_rate: own[own_rate], **space}
    for parameter, each in space.items():
        if isinstance(each, Fixed) and isinstance(each.value, tuple) and entry.takes_number(parameter):
            forms = TEXT_FORMS if origin == COMMAND_LINE else FORMS
            raise SettingsError(
                f"{_where(name, origin, parameter)}: must be a number, got {each.value}: a range is {forms['log']}, "
                f"a choice {forms['values']}."
            )
    try:
        space = with_decay(entry, space, weight_decay)
        _try_corners(entry, space, weight_decay, build=True)
    except SettingsError as error:
        named = names_in_message(str(error), change) if isinstance(origin, FileOrigin) else []
        raise SettingsError(f"{_where(name, origin, *named[:1])}: {error}") from error
    return space


def _where(name: str, origin: str, *parameter: str) -> str:
    if origin == COMMAND_LINE:
        return f"--space {name}" + "".join(f": {each}" for each in parameter)
    field = key_path_text(("spaces", name, *parameter))
    return f"{origin.location('spaces', name, *parameter) if isinstance(origin, FileOrigin) else origin}: {field}"


def _unquoted_path(name: str, change: Mapping[str, Any]) -> str:
    """Return the dotted path that TOML read as nested tables, since it was not quoted; empty if there is none."""
    path = name
    while change:
        part, content = next(iter(change.items()))
        if not isinstance(content, Mapping) or {*content} & {*FORMS}:
            break
        path, change = f"{path}.{part}", content
    return "" if path == name else path


def _are_same(names: tuple[str, str], spaces: Mapping[str, Mapping[str, Any]]) -> bool:
    """Return whether two optimizers have the same class, space, and defaults of the arguments that both take."""
    first, second = map(optimizer_entry, names)
    if first.kind != second.kind or repr(sorted(spaces[names[0]].items())) != repr(sorted(spaces[names[1]].items())):
        return False
    space = from_document(spaces[names[0]], "spaces")
    lowest = point(space, [0.0] * searched(space))
    one, other = ({**entry.hyperparameters, **entry.resolve(lowest)} for entry in (first, second))
    return all(one[name] == other[name] for name in {*one} & {*other} - {WEIGHT_DECAY})


def _try_corners(entry: OptimizerEntry, space: Space, weight_decay: float | DecayRange, *, build: bool) -> None:
    """Resolve the lowest and highest point and each value of a choice; with ``build`` also take a step at each.

    A point inside is resolved too, since a hyperparameter that must be whole cannot be searched over a range.
    """
    fixed = {} if isinstance(weight_decay, Mapping) else {WEIGHT_DECAY: weight_decay}
    lowest, highest, inside = (point(space, [unit] * searched(space)) for unit in (0.0, 1.0, INSIDE))
    choices = [lowest | {name: value} for name, d in space.items() if isinstance(d, Categorical) for value in d.values]
    for corner in (lowest, highest, *choices):
        hyperparameters = {**corner, **fixed}
        if build:
            check_trains(entry, hyperparameters)
        else:
            entry.resolve(hyperparameters)
    entry.resolve({**inside, **fixed})


def parse_space(text: str) -> tuple[str, dict[str, Any]]:
    """Read the text of `--space`; return the optimizer and its space as in a study file.

    Example:
        parse_space("adamw:lr=log(1e-5,1e-2),eps=values(1e-8,1e-4),betas=(0.9,0.99),amsgrad=true")
    """
    where = f"--space {text!r}"
    before, equals, value = text.partition("=")
    name, _, parameter = before.rpartition(":") if equals else text.partition(":")  # a class path may have a colon, too
    name, parts = with_dots(name.strip()), _split(parameter + equals + value)
    if not name or not all(parts):
        raise SettingsError(
            f"{where}: must be NAME:PARAMETER=RANGE[,...], e.g. adam:lr=log(1e-5,1e-2),betas=(0.9,0.99)."
        )
    space: dict[str, Any] = {}
    for part in parts:
        parameter, equals, value = (piece.strip() for piece in part.partition("="))
        if not equals or not parameter.isidentifier():
            raise SettingsError(f"{where}: {part!r} must be PARAMETER=log(LOW,HIGH), values(A,B,...) or one value.")
        if parameter in space:
            raise SettingsError(f"{where}: {parameter} is given twice.")
        if bracketed := re.fullmatch(r"(\w+)\s*\[(.*)\]", value):
            raise SettingsError(f"{where}: {parameter}: write {bracketed[1]}({bracketed[2]}), with parentheses.")
        form = re.fullmatch(r"(\w+)\s*\((.*)\)", value)
        if form and form[1] == "value":
            raise SettingsError(f"{where}: {parameter}: one value is written as itself; did you mean values?")
        try:
            content = {form[1]: [parse_value(each) for each in _split(form[2])]} if form else parse_value(value)
        except ValueError as error:
            raise SettingsError(f"{where}: {parameter}: {error}.") from error
        space[parameter] = dimension(content, f"{where}: {parameter}", forms=TEXT_FORMS, shown=value)
    return name, as_document(space)


def parse_value(text: str) -> Value:
    """Read a hyperparameter's value: a number, true or false, a word, or numbers in parentheses; else ValueError."""
    text = text.strip()
    if text.lower() in ("true", "false"):
        return text.lower() == "true"
    if tuple_text := re.fullmatch(r"\((.*)\)|\[(.*)\]", text):
        try:
            return tuple(float(each) for each in _split(tuple_text[1] or tuple_text[2] or ""))
        except ValueError as error:
            raise ValueError(f"{text!r} must be numbers, e.g. (0.9,0.99)") from error
    try:
        return float(text)
    except ValueError:
        if re.fullmatch(r"[A-Za-z_][\w.-]*", text):
            return text
        raise ValueError(f"{text!r} must be a number, true, false, a word, or numbers in parentheses") from None


def _split(text: str) -> list[str]:
    """Split at commas outside parentheses and brackets."""
    parts, depth = [""], 0
    for character in text:
        depth += (character in "([") - (character in ")]")
        if character == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += character
    return [part.strip() for part in parts]
