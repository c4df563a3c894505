"""The command that goes on where one has left, with its place of checkpoints unless that would print a password."""

import shlex
from collections.abc import Sequence
from typing import NamedTuple

from bench.storage.masking import masked

_NOT_SHOWN = " (with --checkpoints as before, whose password is not shown)"


class GoingOn(NamedTuple):
    """A command to copy, and what else to say of it."""

    command: str
    remark: str
    """What the command lacks, to stand before it; empty if it is complete."""


def going_on(words: Sequence[str], checkpoints: str | None) -> GoingOn:
    """Return the command of ``words`` with the place in which interrupted trials have their state; None: in none.

    A place whose URL holds a password is left out: masked, it would be refused, or be taken for another one.
    """
    if checkpoints is None:
        return GoingOn(shlex.join(words), "")
    if masked(checkpoints, checkpoints) != checkpoints:
        return GoingOn(shlex.join(words), _NOT_SHOWN)
    return GoingOn(shlex.join([*words, "--checkpoints", checkpoints]), "")
