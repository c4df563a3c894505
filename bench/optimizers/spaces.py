"""The tuning space of each optimizer of a study: its own, or what a study file or `--space` puts in its place."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from bench.optimizers import OPTIMIZERS, OptimizerEntry, optimizer_entry
from bench.optimizers.entry import WEIGHT_DECAY
from bench.space import Categorical, Space, Value, as_document, dimension, from_document, point, searched
from posemodel.errors import SettingsError


def spaces_of(
    names: Sequence[str], changes: Mapping[str, Mapping[str, Any]], origin: str, *, weight_decay: float = 0.0
) -> dict[str, dict[str, Any]]:
    """The tuning space of each optimizer named: its own, or the given one in its place.

    ``changes``: spaces as in a study file, by optimizer; ``origin`` says in errors where they come from.
    ``weight_decay`` is the study's. An optimizer or a space that is not the registry's is tried at the space's corners.
    """
    where = f"{origin}: spaces"
    changed: dict[str, Mapping[str, Any]] = {}
    for name, change in changes.items():
        try:
            optimizer_entry(name)  # a study file may list more optimizers than this study takes, but no unknown one
        except SettingsError as error:
            raise SettingsError(f"{where}.{name}: {error}") from error
        changed[_key(name)] = change
    spaces: dict[str, dict[str, Any]] = {}
    seen: dict[Any, str] = {}
    for name in names:
        entry = optimizer_entry(name)
        own = _key(name) not in changed
        space = entry.space if own else from_document(changed[_key(name)], f"{where}.{name}")
        if not space and own:
            raise SettingsError(f"optimizer {name}: has no learning rate `lr` to search: give it a space.")
        if WEIGHT_DECAY in space:
            raise SettingsError(f"{where}.{name}.weight_decay: is one value for all optimizers: set `weight_decay`.")
        try:
            _try_corners(entry, space, {WEIGHT_DECAY: weight_decay}, build=not own or entry.name not in OPTIMIZERS)
        except SettingsError as error:
            raise SettingsError(str(error) if own else f"{where}.{name}: {error}") from error
        spaces[name] = as_document(space)
        same = seen.setdefault((entry.optimizer_class or entry.name, repr(sorted(spaces[name].items()))), name)
        if same != name:
            raise SettingsError(
                f"optimizers: {same} and {name} are the same class with the same space; name it once, or give one of "
                "them another space."
            )
    return spaces


def _key(name: str) -> str:
    return name if "." in name else name.lower()


def _try_corners(entry: OptimizerEntry, space: Space, fixed: Mapping[str, Any], *, build: bool) -> None:
    """The lowest and the highest point, and each value of a choice: resolved, with ``build`` also built and stepped."""
    lowest, highest = (point(space, [unit] * searched(space)) for unit in (0.0, 1.0))
    choices = [lowest | {name: value} for name, d in space.items() if isinstance(d, Categorical) for value in d.values]
    for corner in (lowest, highest, *choices):
        (entry.check if build else entry.resolve)({**corner, **fixed})


def parse_space(text: str) -> tuple[str, dict[str, Any]]:
    """`--space TEXT` as (optimizer, its space as in a study file).

    TEXT is e.g. `adamw:lr=log(1e-5,1e-2),eps=values(1e-8,1e-4),betas=(0.9,0.99),amsgrad=true`.
    """
    where = f"--space {text!r}"
    name, _, rest = text.partition(":")
    name, parts = name.strip(), _split(rest)
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
        form = re.fullmatch(r"(\w+)\s*\((.*)\)", value)
        if form and form[1] == "value":
            raise SettingsError(f"{where}: {parameter}: one value is written as itself; did you mean values?")
        try:
            given = {form[1]: [parse_value(each) for each in _split(form[2])]} if form else parse_value(value)
        except ValueError as error:
            raise SettingsError(f"{where}: {parameter}: {error}.") from error
        space[parameter] = dimension(given, f"{where}: {parameter}")
    return name, as_document(space)


def parse_value(text: str) -> Value:
    """A hyperparameter's value as text: a number, true or false, a word, or numbers in parentheses; else ValueError."""
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
    """Parts between commas that stand in no parentheses."""
    parts, depth = [""], 0
    for character in text:
        depth += (character in "([") - (character in ")]")
        if character == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += character
    return [part.strip() for part in parts]
