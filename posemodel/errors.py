"""The errors that a user can cause and mend; each message names the file, the field and the remedy."""


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
