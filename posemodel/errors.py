"""Errors that a user can cause and correct; each message names the file or field and says how to fix it."""

import difflib
from collections.abc import Iterable


class PosemodelError(Exception):
    """Base of all errors of this package; the command line shows them without a traceback.

    Example:
        try:
            people = predict("small.safetensors", ["holiday.jpg"])
        except PosemodelError as error:
            print(error)
    """


class DataError(PosemodelError):
    """A data set cannot be used as it is.

    Example:
        open_split("nowhere", "train")  # DataError: no such folder
    """


class SettingsError(PosemodelError):
    """A setting is unknown, out of range or contradicts another.

    Example:
        build_network("smal")  # SettingsError: Did you mean small?
    """


class CheckpointError(PosemodelError):
    """A checkpoint or weight file cannot be read, or does not fit the network.

    Example:
        load_network("holiday.jpg", torch.device("cpu"))  # CheckpointError
    """


class ProcessError(PosemodelError):
    """Another process of a distributed training has ended or no longer answers.

    Example:
        try:
            result = train(settings, make_optimizer)  # in each process that torchrun starts
        except ProcessError as error:
            sys.exit(str(error))
    """


def did_you_mean(name: str, names: Iterable[str], *, limit: int = 1) -> str:
    """Return ` Did you mean A or B?` with the names most like ``name``, at most ``limit``; empty if none is similar.

    Example:
        did_you_mean("smal", ["small", "rtpose_vgg"])  # " Did you mean small?"
    """
    matches = difflib.get_close_matches(name, list(names), n=limit)
    return f" Did you mean {' or '.join(matches)}?" if matches else ""
