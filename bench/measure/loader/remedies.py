"""What to give where a data set cannot make a sample or a batch, or cannot reach its workers: one line each."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import fields, is_dataclass
from typing import Any

import numpy as np
import torch

from bench.measure.loader.outcome import RAISED_IN_WORKER
from posemodel.data.worker_faults import in_a_line

NAMED = 4
"""Samples whose indices a message names."""
MOST_CHARACTERS = 200
"""Of an error that is quoted."""
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
_SAMPLE_FOR_EACH = {"__getitem__": "Return a sample for each index", "__iter__": "Yield samples alone"}
_CUDA_IN_FORK = "re-initialize CUDA in forked"
_CPU_TENSORS = "the GPU: let the data set make CPU tensors, and move batches in the step"


def gradients(made_by: str) -> str:
    """Tensors of an unfinished computation, which the method ``made_by`` has made."""
    return (
        f"tensors require gradients, and workers cannot hand these over. Return them detached from {made_by} "
        "(tensor.detach()), or make them under torch.no_grad()"
    )


def of_sample(
    name: str, asked: Sequence[int], length: int, method: str, error: BaseException, *, in_worker: bool
) -> str:
    """A sample, or several that are made at once, whose making raised an error."""
    where = f"--dataset {name}, {_samples(asked)} of {length}{' (in a worker)' * in_worker}: {method}"
    told, remedy = _raised(where, error)
    if remedy:
        return f"{told}. {remedy}"
    if isinstance(error, IndexError):
        return f"{told}. Its __len__ says {length}: it must return how many samples there are."
    if isinstance(error, NotImplementedError):
        return f"{told}. Write __getitem__(index), which returns a sample."
    if in_worker:
        return f"{told}. Where it can be made without workers, {OPEN_IN_WORKERS}; else mend what it reads."
    return f"{told}. Mend what it reads, or leave that sample out of the data set."


def _raised(where: str, error: BaseException) -> tuple[str, str]:
    """What was raised there, and the remedy where that alone tells it; else ""."""
    if isinstance(error, SystemExit):
        return f"{where} called sys.exit({error.code!r})", "Let it raise an error, or leave that sample out."
    cuda = _CUDA_IN_FORK in str(error)
    return (
        f"{where} raised {quoted(error)}",
        f"A worker cannot use {_CPU_TENSORS} (or start workers by spawn)." if cuda else "",
    )


def of_stream(name: str, position: int, method: str, error: BaseException, *, worker: int | None) -> str:
    """A stream that raised an error in place of a sample; ``position`` is in this pass of this worker's stream."""
    of = "" if worker is None else f" (in worker {worker})"
    where = f"--dataset {name}, sample {position} of the stream{of}: {method}"
    told, remedy = _raised(where, error)
    if remedy:
        return f"{told}. {remedy}"
    if isinstance(error, NotImplementedError):
        return f"{told}. Write __iter__(), which returns an iterator of samples."
    if worker is not None:
        return f"{told}. Where it can be read without workers, {OPEN_STREAM_IN_WORKERS}; else mend what it reads."
    return f"{told}. Mend what it reads, or leave that sample out of the stream."


def of_no_samples(name: str) -> str:
    """A stream that ends before its first sample."""
    return f"--dataset {name}: the stream has no samples (__iter__ yielded none). Point it to where they are."


def of_batch(
    name: str,
    asked: Sequence[int],
    samples: Sequence[Any],
    function: Callable[[list[Any]], Any] | None,
    error: BaseException,
    *,
    made_by: str = "__getitem__",
) -> str:
    """Samples that could not be joined into a batch: which of them, in what they differ, and what to give.

    ``made_by``: the method of the data set that made them.
    """
    whose = f"--dataset {name}"
    indices = list(asked) if len(asked) == len(samples) else list(range(len(samples)))
    if function is not None:
        return (
            f"{whose}, {_samples(indices)}: the collate function {_called(function)} raised {quoted(error)}. It "
            f"gets a list of {len(samples)} samples (the first: {kind_of(samples[0])}) and must return their batch."
        )
    if any(isinstance(leaf, torch.Tensor) and leaf.requires_grad for each in samples for _, leaf in _places(each)):
        return f"{whose}, {_samples(indices)}: {gradients(made_by)} ({quoted(error)})."
    none = [index for index, sample in zip(indices, samples, strict=True) if sample is None]
    if none:
        return (
            f"{whose}, {_samples(none)}: {made_by} {_GAVE[made_by]} None, and DataLoader said: {quoted(error)}. "
            f"{_SAMPLE_FOR_EACH[made_by]} (leave out what cannot be read), or {COLLATE} without the Nones."
        )
    said = f"DataLoader said: {quoted(error)}"
    for index, sample in zip(indices, samples, strict=True):
        for place, leaf in _places(sample):
            if not _joinable(leaf):
                return (
                    f"{whose}, sample {index}: {place or 'it'} is of class {_type(leaf)}, which cannot be joined into "
                    f"a batch; {said}. Return tensors, arrays, numbers, texts, and dicts and lists of them"
                    f"{_hint(leaf)}, or {COLLATE}."
                )
    first = dict(_kinds(samples[0]))
    for index, sample in zip(indices[1:], samples[1:], strict=True):
        other = dict(_kinds(sample))
        for place in [*first, *(each for each in other if each not in first)]:
            one, two = first.get(place, "not there"), other.get(place, "not there")
            if one != two:
                of = f"{place} is" if place else "they are"
                return (
                    f"{whose}, samples {indices[0]} and {index} do not fit together: {of} {one} and {two}; {said}. "
                    f"Bring them to one shape in {made_by} (resize, crop, pad), or {COLLATE}."
                )
    return f"{whose}, {_samples(indices)} could not be joined into a batch; {said}. To join them otherwise, {COLLATE}."


def of_handing_over(
    name: str,
    asked: Sequence[int],
    batch: Any,
    function: Callable[[list[Any]], Any] | None,
    error: BaseException,
) -> str:
    """A batch that a worker has made and cannot send to the process that trains."""
    made = f", made by the collate function {_called(function)}" if function is not None else ""
    whose = f"--dataset {name}, {_samples(asked)}" if asked else f"--dataset {name}"
    return (
        f"{whose}: a worker cannot hand over their batch ({kind_of(batch)}{made}), since it cannot be pickled: "
        f"{quoted(error)}. Let batches be tensors, arrays, numbers, texts, and dicts and lists of them, or of a class "
        "without open files, locks, lambdas and generators; or load without workers (num_workers 0)."
    )


def _called(function: Callable[..., Any]) -> str:
    return str(getattr(function, "path", "") or getattr(function, "__qualname__", type(function).__name__))


def of_pickling(name: str, method: str, error: BaseException, *, made_by: str = "__getitem__") -> str:
    """A data set that cannot be sent to a worker that is not forked; ``made_by``: its method that makes samples."""
    told = str(error)
    if "lambda" in told:
        remedy = "Put a named function of a module, or functools.partial of one, in the lambda's place"
    elif "local" in told.lower() and "." in told:
        remedy = "Define that class or function at the top of a module, from which workers can import it"
    elif "_io." in told or "connection" in told.lower():
        remedy = f"Open files and connections in {made_by}, not in __init__"
    else:
        remedy = f"Open files and connections in {made_by}, and keep what cannot be pickled out of the data set"
    return (
        f"--dataset {name} cannot be sent to a worker started by {method}: {quoted(error)}. {remedy}; or leave this "
        "start method out."
    )


def quoted(error: BaseException) -> str:
    """Type and first line of an error; of one that a DataLoader's worker raised, the worker's own."""
    lines = str(error).strip().splitlines()
    text = f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__
    if RAISED_IN_WORKER in str(error):
        text = in_a_line(error)
    return text.rstrip(".") if len(text) <= MOST_CHARACTERS else f"{text[: MOST_CHARACTERS - 3]}..."


def kind_of(sample: Any) -> str:
    """A sample in a few words: its type, and its shape where it has one."""
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


def _places(sample: Any, place: str = "") -> Iterator[tuple[str, Any]]:
    """What a sample consists of, each with where it stands: `["boxes"][0]`."""
    if isinstance(sample, Mapping):
        for key, value in sample.items():
            yield from _places(value, f"{place}[{key!r}]")
    elif isinstance(sample, (tuple, list)):
        for number, value in enumerate(sample):
            yield from _places(value, f"{place}[{number}]")
    else:
        yield place, sample


def _kinds(sample: Any) -> Iterator[tuple[str, str]]:
    """As `_places`, each in the words in which samples of a batch must agree."""
    for place, leaf in _places(sample):
        array = isinstance(leaf, (torch.Tensor, np.ndarray))
        yield place, f"of shape {tuple(leaf.shape)}" if array else f"a {_type(leaf)}"


def _joinable(leaf: Any) -> bool:
    """Whether PyTorch's default collate takes it."""
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
