"""The errors that a user can cause and mend; each message names the file, the field and the remedy."""

import difflib
from collections.abc import Iterable


class PosemodelError(Exception):
    """Base of the errors below: shown without a traceback by the command line."""


class DataError(PosemodelError):
    """A data set cannot be used as it is."""


class SettingsError(PosemodelError):
    """A setting is unknown, out of range or contradicts another."""


class CheckpointError(PosemodelError):
    """A checkpoint or weight file does not fit."""


class ProcessError(PosemodelError):
    """Another process of those that train together has gone."""


def nearest(name: str, names: Iterable[str], *, most: int = 1) -> str:
    """` Did you mean A or B?` with the nearest of some names, ``most`` of them at most; empty where none is near."""
    near = difflib.get_close_matches(name, list(names), n=most)
    return f" Did you mean {' or '.join(near)}?" if near else ""
