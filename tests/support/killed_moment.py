"""Moments at which a process kills itself with SIGKILL, passed to `forking_process.py` as JSON."""

import functools
import importlib
import json
import os
import signal
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

When = Literal["before", "after", "torn"]
OPENED = "file opened"
FLAG = "not killed yet"
"""File in the working directory: who reaches the moment removes it and dies."""
MOMENT_VARIABLE = "KILLED_MOMENT"
"""Tells a command, and the workers that it spawns, what the moment is."""


@dataclass(frozen=True)
class Moment:
    """The ``call``-th call of ``function`` whose arguments hold ``match``, counted inside calls of ``within``.

    ``function`` and ``within`` are named like `bench.ledger.store:Ledger.finish`. In the place of a function,
    `file opened` is any file about to be opened for writing, its path holding ``match``.
    ``when``: `before` the call, `after` it, or `torn`: before it, its first argument being a file that is cut in half
    first (with `os:replace`: the disk holds half of a temporary file).
    """

    function: str
    when: When = "before"
    call: int = 1
    match: str = ""
    within: str = ""
    in_worker: bool = False
    """In a spawned worker, not in the process that the test has started."""

    @classmethod
    def from_json(cls, text: str) -> "Moment":
        """The inverse of ``to_json``."""
        return cls(**json.loads(text))

    def to_json(self) -> str:
        """As one argument of a command line."""
        return json.dumps(asdict(self))

    def arm(self, *, in_worker: bool = False) -> None:
        """From now on this process kills itself when the moment comes."""
        if self.in_worker != in_worker:
            return
        trigger = _Trigger(self)
        if self.function == OPENED:
            sys.addaudithook(trigger.file_opened)
        else:
            _replace(self.function, trigger.around)
        if self.within:
            _replace(self.within, trigger.inside)


class _Trigger:
    """Counts the calls that fit a moment, and kills at the right one."""

    def __init__(self, moment: Moment) -> None:
        self.moment = moment
        self.flag = Path(FLAG).absolute()
        self.calls = 0
        self.depth = 0

    def due(self, *arguments: Any) -> bool:
        """Whether this call is the one."""
        inside = self.depth > 0 or not self.moment.within
        fits = inside and any(self.moment.match in str(a) for a in ("", *arguments) if isinstance(a, (str, Path)))
        self.calls += fits
        return fits and self.calls == self.moment.call

    def kill(self) -> None:
        """End this process as the kernel would, unless another one has met the moment before."""
        try:
            self.flag.unlink()
        except FileNotFoundError:
            return
        os.kill(os.getpid(), signal.SIGKILL)

    def around(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """The function, with a kill before or after the right call."""

        @functools.wraps(function)
        def called(*args: Any, **kwargs: Any) -> Any:
            due = self.due(*args, *kwargs.values())
            if due and self.moment.when == "torn":
                os.truncate(args[0], Path(args[0]).stat().st_size // 2)
            if due and self.moment.when != "after":
                self.kill()
            result = function(*args, **kwargs)
            if due:
                self.kill()
            return result

        return called

    def inside(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """The function, during which calls count."""

        @functools.wraps(function)
        def called(*args: Any, **kwargs: Any) -> Any:
            self.depth += 1
            try:
                return function(*args, **kwargs)
            finally:
                self.depth -= 1

        return called

    def file_opened(self, event: str, arguments: tuple[Any, ...]) -> None:
        """An audit hook: it sees every file that Python code opens, by whatever library."""
        writing = os.O_WRONLY | os.O_RDWR
        if event == "open" and isinstance(arguments[0], str) and arguments[2] & writing and self.due(arguments[0]):
            self.kill()


def _replace(name: str, wrap: Callable[[Callable[..., Any]], Callable[..., Any]]) -> None:
    """Put a wrapped function in the place of the one of that name."""
    module, _, path = name.partition(":")
    owner: Any = importlib.import_module(module)
    *parents, last = path.split(".")
    for parent in parents:
        owner = getattr(owner, parent)
    setattr(owner, last, wrap(getattr(owner, last)))
