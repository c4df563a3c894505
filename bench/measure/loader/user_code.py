"""Data sets, loaders, steps and functions that a user names by dotted path (`module:name`).

Errors name the command-line option. What user code prints goes to stderr, because stdout is for results.
"""

import contextlib
import importlib
import inspect
import os
import sys
from collections.abc import Callable, Iterator, Sized
from dataclasses import dataclass
from typing import Any

from torch.utils.data import IterableDataset

from bench.measure.loader.loop import Step
from bench.measure.loader.outcome import is_lack_of_memory
from posemodel.dotted_paths import split_dotted_path
from posemodel.errors import SettingsError

STDOUT, STDERR = 1, 2
"""File descriptors of a process."""


@contextlib.contextmanager
def stdout_to_stderr() -> Iterator[None]:
    """Redirect to stderr what Python, C libraries and child processes print on stdout in the block."""
    with contextlib.suppress(AttributeError, OSError, ValueError):  # there is no stdout, or it is closed
        sys.stdout.flush()
    with contextlib.redirect_stdout(sys.stderr), contextlib.ExitStack() as stack:
        with contextlib.suppress(OSError):  # a process without one of the two
            kept = os.dup(STDOUT)
            stack.callback(os.close, kept)
            os.dup2(STDERR, STDOUT)
            stack.callback(os.dup2, kept, STDOUT)
            stack.callback(sys.stderr.flush)
        yield


@dataclass(frozen=True)
class DottedStep:
    """Makes the step that a dotted path names: a function without arguments that returns the step."""

    path: str

    def factory(self) -> Callable[[], Any]:
        """Return the named function without calling it (it may take a GPU). Raises SettingsError if the path leads
        nowhere."""
        return _callable_at(self.path, "--step", "a function without arguments that returns the step")

    def __call__(self) -> Step:
        """Make the step. Raises SettingsError if that fails."""
        try:
            step: object = self.factory()()
        except SettingsError:
            raise
        except (Exception, SystemExit) as error:
            raise SettingsError(
                f"--step {self.path}: making it failed with {type(error).__name__}: {error}. It must need no arguments."
            ) from error
        if not callable(step):
            raise SettingsError(f"--step {self.path}: must return a function of a batch, got {type(step).__name__}.")
        return step


@dataclass(frozen=True)
class DottedCollate:
    """The collate function that a dotted path names."""

    path: str

    def __call__(self, samples: list[Any]) -> Any:
        """Collate samples into a batch."""
        return self.function()(samples)

    def function(self) -> Callable[[list[Any]], Any]:
        """Return the named function. Raises SettingsError if the path leads nowhere."""
        return _callable_at(self.path, "--collate", "a function of a list of samples that returns their batch")


@dataclass(frozen=True)
class DottedWorkerInit:
    """The ``worker_init_fn`` of DataLoader that a dotted path names."""

    path: str

    def __call__(self, worker_id: int) -> None:
        """Prepare the worker in which this is called."""
        self.function()(worker_id)

    def function(self) -> Callable[[int], Any]:
        """Return the named function. Raises SettingsError if the path leads nowhere."""
        return _callable_at(self.path, "--worker-init", "a function of a worker's number, DataLoader's worker_init_fn")


@dataclass(frozen=True)
class DottedLoader:
    """Makes the loader that a dotted path names: a function of settings that returns an iterable of batches."""

    path: str

    def function(self) -> Callable[..., Any]:
        """Return the named function without calling it (it may start processes).

        Raises SettingsError if the path leads nowhere, or the function needs other arguments than LOADER_SETTINGS.
        """
        function = _callable_at(self.path, "--loader", "a function that returns an iterable of batches")
        try:
            inspect.signature(function).bind(**dict.fromkeys(_accepted_settings(function)))
        except ValueError:  # a function that is not Python's has no signature
            pass
        except TypeError as error:
            module, name = split_dotted_path(self.path)
            raise SettingsError(
                f"--loader {self.path}: {error}. It is {name}{inspect.signature(function)}, and is called with "
                f"{', '.join(f'{each}=' for each in LOADER_SETTINGS)} (those that it accepts); name a function "
                f"that needs no other arguments: `def loader(batch_size): return {name}(...)` in {module}."
            ) from error
        return function

    def __call__(self, **settings: Any) -> Any:
        """Make the loader, an iterable of batches, with those of the settings that the function takes.

        Raises SettingsError if that fails or the result is not iterable.
        """
        function = self.function()
        try:
            made: object = function(**{name: settings[name] for name in _accepted_settings(function)})
        except (Exception, SystemExit) as error:
            if is_lack_of_memory(error):
                raise
            raise SettingsError(
                f"--loader {self.path}: making it failed with {type(error).__name__}: {error}. It must return an "
                "iterable of batches."
            ) from error
        if not hasattr(made, "__iter__"):
            raise SettingsError(f"--loader {self.path}: must return an iterable of batches, got {type(made).__name__}.")
        return made


LOADER_SETTINGS = ("batch_size", "num_workers", "pin_memory")
"""Settings that a user's loader is given."""


def _accepted_settings(function: Callable[..., Any]) -> tuple[str, ...]:
    """Return those of LOADER_SETTINGS that a function accepts by name."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):  # a function that is not Python's
        return LOADER_SETTINGS
    if any(each.kind is inspect.Parameter.VAR_KEYWORD for each in parameters):
        return LOADER_SETTINGS
    by_name = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    named = {each.name for each in parameters if each.kind in by_name}
    return tuple(name for name in LOADER_SETTINGS if name in named)


@dataclass(frozen=True)
class DottedDataset:
    """Makes the data set that `--dataset` names by dotted path: a class, a function or an object."""

    path: str

    def __call__(self) -> Any:
        """Make the data set. Raises SettingsError if the path leads nowhere or making it fails."""
        target = _at(self.path, "--dataset", "the data set, or a class or function that makes it")
        if not callable(target) or (hasattr(target, "__getitem__") and not isinstance(target, type)):
            return target
        self._require_no_arguments(target)
        try:
            with stdout_to_stderr():  # pycocotools prints what it loads
                return target()
        except (Exception, SystemExit) as error:
            raise SettingsError(
                f"--dataset {self.path}: making it failed with {type(error).__name__}: {error}. Name an object, or a "
                "class or function that needs no arguments."
            ) from error

    def _require_no_arguments(self, factory: Callable[..., Any]) -> None:
        """Refuse a function that needs arguments before calling it: the error of a failing call would not name them."""
        try:
            signature = inspect.signature(factory)
        except (TypeError, ValueError):  # a class that is not Python's
            return
        try:
            signature.bind()
        except TypeError as error:
            module, name = split_dotted_path(self.path)
            raise SettingsError(
                f"--dataset {self.path}: {error}. It is {name}{signature}; name a class or function that needs no "
                f"arguments: `def data(): return {name}(...)` in {module}, named as --dataset {module}:data."
            ) from error


def require_loadable(dataset: Any, name: str = "") -> Any:
    """Return the data set, or raise SettingsError if DataLoader cannot load it or it has no samples.

    Args:
        dataset: Map-style (``__len__`` and ``__getitem__``), or an IterableDataset, whose length need not be known.
        name: Its dotted path.
    """
    if isinstance(dataset, IterableDataset):
        return dataset
    kind = type(dataset).__name__
    who = f"--dataset{f' {name}' * bool(name)}: {kind}"
    wanted = "It needs __len__ and __getitem__(index)."
    if hasattr(dataset, "__iter__") and not hasattr(dataset, "__getitem__"):
        wanted = f"{wanted[:-1]}, or, where it has an order only, the base class torch.utils.data.IterableDataset."
    missing = [
        each
        for each, present in (("__len__", isinstance(dataset, Sized)), ("__getitem__", hasattr(dataset, "__getitem__")))
        if not present
    ]
    if missing:
        raise SettingsError(f"{who} is no map-style data set: it has no {' and no '.join(missing)}. {wanted}")
    try:
        with stdout_to_stderr():
            length = len(dataset)
    except (Exception, SystemExit) as error:
        raise SettingsError(
            f"{who}: its __len__ failed with {type(error).__name__}: {error}. It must return the number of samples."
        ) from error
    if length == 0:
        raise SettingsError(f"{who} has no samples (its __len__ is 0). Let it read a folder that has some.")
    return dataset


def _callable_at(path: str, option: str, wanted: str) -> Callable[..., Any]:
    target: object = _at(path, option, wanted)
    if not callable(target):
        raise SettingsError(f"{option} {path}: is a {type(target).__name__}; it must name {wanted}.")
    return target


def module_of(path: str) -> str:
    """Return the module part of a dotted path."""
    return split_dotted_path(path)[0]


def _at(path: str, option: str, wanted: str) -> Any:
    """Return the object at a dotted path. Raises SettingsError if there is none."""
    try:
        with stdout_to_stderr():
            module_name, name = split_dotted_path(path)
            target: Any = importlib.import_module(module_name)
        for part in name.split("."):
            target = getattr(target, part)
    except (Exception, SystemExit) as error:  # a user's module may raise anything, or be a program
        reason = (
            error
            if isinstance(error, (ImportError, AttributeError, ValueError))
            else f"{type(error).__name__}: {error}"
        )
        raise SettingsError(
            f"{option} {path}: {reason}. It must name {wanted}, as module:name, importable from the working directory."
        ) from error
    return target
