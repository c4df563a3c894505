"""One-line error messages for data sets that fail to make a sample or batch, or cannot be sent to their workers."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import fields, is_dataclass
from typing import Any

import numpy as np
import torch

from bench.measure.loader.outcome import RAISED_IN_WORKER
from posemodel.data.worker_faults import one_line

NAMED = 4
"""Maximum number of samples whose indices a message names."""
MOST_CHARACTERS = 200
"""Maximum number of characters of a quoted error."""
COLLATE = "give --collate MODULE:NAME, a function of a list of samples that returns their batch"
OPEN_IN_WORKERS = (
    "open files, connections and generators in each worker: in __getitem__, or in a worker_init_fn "
    "(--worker-init MODULE:NAME)"
)
OPEN_STREAM_IN_WORKERS = (
    "open files, connections and generators in each worker: in __iter__, or in a worker_init_fn "
    "(--worker-init MODULE:NAME)"
)
_GAVE = {"__getitem__": "returned", "__iter__": "yielded"}
"""Verb for how a data set's method delivers samples."""
_SAMPLE_FOR_EACH = {"__getitem__": "Return a sample for each index", "__iter__": "Yield samples alone"}
"""Advice for a data set that delivered None, by its method."""
_CUDA_IN_FORK = "re-initialize CUDA in forked"
_CPU_TENSORS = "the GPU: let the data set make CPU tensors, and move batches in the step"


def gradients(made_by: str) -> str:
    """Return error and fix for tensors that belong to an autograd graph (requires_grad), made by the method
    ``made_by``."""
    return (
        f"tensors require gradients, and workers cannot hand these over. Return them detached from {made_by} "
        "(tensor.detach()), or make them under torch.no_grad()"
    )


def sample_error_text(
    name: str, positions: Sequence[int], length: int, method: str, error: BaseException, *, in_worker: bool
) -> str:
    """Return the message for an error raised while a sample (or several at once, by ``__getitems__``) was made."""
    where = f"--dataset {name}, {_samples(positions)} of {length}{' (in a worker)' * in_worker}: {method}"
    fault, remedy = _raised(where, error)
    if remedy:
        return f"{fault}. {remedy}"
    if isinstance(error, IndexError):
        return f"{fault}. Its __len__ returns {length}; it must return the number of samples."
    if isinstance(error, NotImplementedError):
        return f"{fault}. Write __getitem__(index), which returns a sample."
    if in_worker:
        return f"{fault}. If it can be made without workers, {OPEN_IN_WORKERS}; otherwise fix what it reads."
    return f"{fault}. Fix what it reads, or leave that sample out of the data set."


def _raised(where: str, error: BaseException) -> tuple[str, str]:
    """Return the exception in words, and the fix, or "" if the exception alone does not determine the fix."""
    if isinstance(error, SystemExit):
        return f"{where} called sys.exit({error.code!r})", "Let it raise an error, or leave that sample out."
    cuda = _CUDA_IN_FORK in str(error)
    return (
        f"{where} raised {quoted(error)}",
        f"A worker cannot use {_CPU_TENSORS} (or start workers by spawn)." if cuda else "",
    )


def stream_error_text(name: str, position: int, method: str, error: BaseException, *, worker: int | None) -> str:
    """Return the message for a stream that raised an error instead of yielding a sample.

    ``position`` counts the samples of this pass in this worker.
    """
    by_worker = "" if worker is None else f" (in worker {worker})"
    where = f"--dataset {name}, sample {position} of the stream{by_worker}: {method}"
    fault, remedy = _raised(where, error)
    if remedy:
        return f"{fault}. {remedy}"
    if isinstance(error, NotImplementedError):
        return f"{fault}. Write __iter__(), which returns an iterator of samples."
    if worker is not None:
        return f"{fault}. If it can be read without workers, {OPEN_STREAM_IN_WORKERS}; otherwise fix what it reads."
    return f"{fault}. Fix what it reads, or leave that sample out of the stream."


def empty_stream_text(name: str) -> str:
    """Return the message for a stream that ends before its first sample."""
    return f"--dataset {name}: the stream has no samples (__iter__ yielded none). Let it read a source that has some."


def batch_error_text(
    name: str,
    positions: Sequence[int],
    samples: Sequence[Any],
    function: Callable[[list[Any]], Any] | None,
    error: BaseException,
    *,
    made_by: str = "__getitem__",
) -> str:
    """Return the message for samples that cannot be collated into a batch: which ones, how they differ, and the fix.

    ``made_by``: the method of the data set that made them.
    """
    whose = f"--dataset {name}"
    indices = list(positions) if len(positions) == len(samples) else list(range(len(samples)))
    if function is not None:
        return (
            f"{whose}, {_samples(indices)}: the collate function {_called(function)} raised {quoted(error)}. It "
            f"gets a list of {len(samples)} samples (the first: {sample_kind(samples[0])}) and must return their batch."
        )
    if any(isinstance(leaf, torch.Tensor) and leaf.requires_grad for each in samples for _, leaf in _paths(each)):
        return f"{whose}, {_samples(indices)}: {gradients(made_by)} ({quoted(error)})."
    none = [index for index, sample in zip(indices, samples, strict=True) if sample is None]
    if none:
        return (
            f"{whose}, {_samples(none)}: {made_by} {_GAVE[made_by]} None, and DataLoader said: {quoted(error)}. "
            f"{_SAMPLE_FOR_EACH[made_by]} (leave out what cannot be read), or {COLLATE} without the Nones."
        )
    cause = f"DataLoader said: {quoted(error)}"
    for index, sample in zip(indices, samples, strict=True):
        for path, leaf in _paths(sample):
            if not _joinable(leaf):
                return (
                    f"{whose}, sample {index}: {path or 'it'} is of class {_type(leaf)}, which cannot be joined into "
                    f"a batch; {cause}. Return tensors, arrays, numbers, texts, and dicts and lists of them"
                    f"{_hint(leaf)}, or {COLLATE}."
                )
    first = dict(_path_kinds(samples[0]))
    for index, sample in zip(indices[1:], samples[1:], strict=True):
        other = dict(_path_kinds(sample))
        for path in [*first, *(each for each in other if each not in first)]:
            one, two = first.get(path, "not there"), other.get(path, "not there")
            if one != two:
                where = f"{path} is" if path else "they are"
                return (
                    f"{whose}, samples {indices[0]} and {index} do not fit together: {where} {one} and {two}; {cause}. "
                    f"Bring them to one shape in {made_by} (resize, crop, pad), or {COLLATE}."
                )
    return f"{whose}, {_samples(indices)} could not be joined into a batch; {cause}. To join them otherwise, {COLLATE}."


def handover_error_text(
    name: str,
    positions: Sequence[int],
    batch: Any,
    function: Callable[[list[Any]], Any] | None,
    error: BaseException,
) -> str:
    """Return the message for a batch that a worker has made and cannot send to the training process."""
    made = f", made by the collate function {_called(function)}" if function is not None else ""
    whose = f"--dataset {name}, {_samples(positions)}" if positions else f"--dataset {name}"
    return (
        f"{whose}: a worker cannot hand over their batch ({sample_kind(batch)}{made}), since it cannot be pickled: "
        f"{quoted(error)}. Let batches be tensors, arrays, numbers, texts, and dicts and lists of them, or of a class "
        "without open files, locks, lambdas and generators; or load without workers (num_workers 0)."
    )


def _called(function: Callable[..., Any]) -> str:
    return str(getattr(function, "path", "") or getattr(function, "__qualname__", type(function).__name__))


def pickling_error_text(name: str, method: str, error: BaseException, *, made_by: str = "__getitem__") -> str:
    """Return the message for a data set that cannot be sent to a worker started without fork.

    ``made_by``: its method that makes samples.
    """
    reason = str(error)
    if "lambda" in reason:
        remedy = "Put a named function of a module, or functools.partial of one, in the lambda's place"
    elif "local" in reason.lower() and "." in reason:
        remedy = "Define that class or function at the top of a module, from which workers can import it"
    elif "_io." in reason or "connection" in reason.lower():
        remedy = f"Open files and connections in {made_by}, not in __init__"
    else:
        remedy = f"Open files and connections in {made_by}, and keep what cannot be pickled out of the data set"
    return (
        f"--dataset {name} cannot be sent to a worker started by {method}: {quoted(error)}. {remedy}; or leave this "
        "start method out."
    )


def quoted(error: BaseException) -> str:
    """Return type and first line of an error; for an error passed on from a DataLoader worker, those of the worker's
    error."""
    lines = str(error).strip().splitlines()
    text = f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__
    if RAISED_IN_WORKER in str(error):
        text = one_line(error)
    return text.rstrip(".") if len(text) <= MOST_CHARACTERS else f"{text[: MOST_CHARACTERS - 3]}..."


def sample_kind(sample: Any) -> str:
    """Describe a sample in a few words: its type, with its shape or keys if it has any."""
    if isinstance(sample, (torch.Tensor, np.ndarray)):
        return f"{'tensor' if isinstance(sample, torch.Tensor) else 'array'} {tuple(sample.shape)}"
    if isinstance(sample, Mapping):
        return f"dict of {', '.join(map(str, list(sample)[:NAMED]))}" + ", ..." * (len(sample) > NAMED)
    if isinstance(sample, (tuple, list)):
        return f"{type(sample).__name__} of {len(sample)}"
    return _type(sample)


def _samples(indices: Sequence[int]) -> str:
    if len(indices) == 1:
        return f"sample {indices[0]}"
    return f"samples {', '.join(map(str, indices[:NAMED]))}" + ", ..." * (len(indices) > NAMED)


def _paths(sample: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the leaves of a sample (tensors, arrays, numbers, texts), each with its path, such as `["boxes"][0]`."""
    if isinstance(sample, Mapping):
        for key, value in sample.items():
            yield from _paths(value, f"{path}[{key!r}]")
    elif isinstance(sample, (tuple, list)):
        for number, value in enumerate(sample):
            yield from _paths(value, f"{path}[{number}]")
    else:
        yield path, sample


def _path_kinds(sample: Any) -> Iterator[tuple[str, str]]:
    """Yield each leaf's path (see `_paths`) and its shape or type, in which all samples of a batch must agree."""
    for path, leaf in _paths(sample):
        array = isinstance(leaf, (torch.Tensor, np.ndarray))
        yield path, f"of shape {tuple(leaf.shape)}" if array else f"a {_type(leaf)}"


def _joinable(leaf: Any) -> bool:
    """Return whether PyTorch's default collate accepts the leaf."""
    if isinstance(leaf, np.ndarray):
        return leaf.dtype.kind not in "OUSV"
    return isinstance(leaf, (torch.Tensor, np.bool_, np.number, int, float, str, bytes))


def _hint(leaf: Any) -> str:
    if type(leaf).__module__.startswith("PIL."):
        return " (of a picture: torch.from_numpy(numpy.array(picture)))"
    if is_dataclass(leaf) and not isinstance(leaf, type):
        return f" (here: a dict of {', '.join(each.name for each in fields(leaf))})"
    if isinstance(leaf, np.ndarray):
        return f" (arrays of numbers, not of {leaf.dtype})"
    return ""


def _type(value: Any) -> str:
    own = type(value)
    return own.__qualname__ if own.__module__ == "builtins" else f"{own.__module__}.{own.__qualname__}"
