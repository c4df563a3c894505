"""The tuning space of each optimizer of a study: its own, or what a study file or `--space` puts in its place."""

from collections.abc import Mapping, Sequence
from typing import Any

from bench.optimizers import optimizer_entry
from bench.space import as_document, from_document
from posemodel.errors import SettingsError


def spaces_of(names: Sequence[str], changes: Mapping[str, Mapping[str, Any]], origin: str) -> dict[str, dict[str, Any]]:
    """The tuning space of each optimizer named: the registry's, with the given ranges in their place.

    ``changes``: spaces as in a study file, by optimizer; ``origin`` says in errors where they come from.
    """
    where = f"{origin}: spaces"
    for name in changes:
        try:
            optimizer_entry(name)  # a study file may list more optimizers than this study takes, but no unknown one
        except SettingsError as error:
            raise SettingsError(f"{where}.{name}: {error}") from error
    spaces = {}
    for name in names:
        entry = optimizer_entry(name)
        space = from_document(changes[name], f"{where}.{name}") if name in changes else entry.space
        if "weight_decay" in space:
            raise SettingsError(f"{where}.{name}.weight_decay: is one value for all optimizers: set `weight_decay`.")
        try:
            entry.resolve(dict.fromkeys(space, 0.5) | ({} if "lr" in space else {"lr": 0.1}))
        except SettingsError as error:
            raise SettingsError(f"{where}.{name}: {error}") from error
        spaces[name] = as_document(space)
    return spaces
