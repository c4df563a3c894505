"""What is too small of a machine for a data loader's workers is told with its number and a remedy."""

import errno
import multiprocessing
import re
import resource
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import pytest

from posemodel.data.worker_faults import SHARED_MEMORY, explain_loader_error, one_line, require_open_files

SHARED = (
    "unable to allocate shared memory(shm) for file </torch_12457_3128703604_0>: No space left on device (28)",
    "unable to mmap 4096 bytes from file </torch_1_2_0>: Cannot allocate memory (12)",
    "DataLoader worker (pid 7) is killed by signal: Bus error. It is possible that dataloader's workers are out of "
    "shared memory. Please try to raise your shared memory limit.",
    "Caught RuntimeError in DataLoader worker process 0.\nOriginal Traceback (most recent call last):\n  File x\n"
    "RuntimeError: unable to allocate shared memory(shm) for file </torch_1_2_3>: No space left on device (28)\n",
)
FILES = (
    RuntimeError("Too many open files. Communication with the workers is no longer possible. Please increase the lim"),
    RuntimeError("received 0 items of ancdata"),
    OSError(errno.EMFILE, "Too many open files"),
)


@pytest.mark.parametrize("text", SHARED)
def test_shared_memory(text):
    told = explain_loader_error(RuntimeError(text))
    assert told is not None
    assert told.startswith(f"{SHARED_MEMORY} is too small (")
    assert "--shm-size" in told
    assert "num_workers 0" in told
    assert "\n" not in told


@pytest.mark.parametrize("error", FILES, ids=str)
def test_open_files(error):
    told = explain_loader_error(error)
    assert told is not None
    assert f"the limit of open files ({resource.getrlimit(resource.RLIMIT_NOFILE)[0]} here) is too low" in told
    assert "ulimit -n 4096" in told


def test_a_worker_that_the_system_has_killed():
    assert "has killed a worker" in (
        explain_loader_error(RuntimeError("DataLoader worker (pid 7) is killed by signal: Killed. ")) or ""
    )


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("mat1 and mat2 shapes cannot be multiplied"),
        RuntimeError("CUDA out of memory. Tried to allocate 2 GiB"),
        OSError(errno.ENOSPC, "No space left on device"),
        ValueError("too many open files"),
        RuntimeError("Caught KeyError in DataLoader worker process 0.\nOriginal Traceback\nKeyError: 'x'"),
    ],
    ids=str,
)
def test_other_errors_are_not_explained_away(error):
    assert explain_loader_error(error) is None


def test_the_worker_s_own_error_in_a_line():
    error = KeyError(
        "Caught KeyError in DataLoader worker process 1.\nOriginal Traceback (most recent call last):\n  File 'a'\n"
        "KeyError: 'hand'\n"
    )
    assert one_line(RuntimeError(error.args[0])) == "KeyError: 'hand'"
    assert one_line(RuntimeError("so")) == "RuntimeError: so"


def limits_after(workers, prefetch, hard):
    """The limits after asking, in a process of its own; ``hard``: files that may be opened there in all."""
    if hard is not None:
        hard += sum(1 for _ in Path("/proc/self/fd").iterdir())
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    else:
        resource.setrlimit(resource.RLIMIT_NOFILE, (256, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
    require_open_files(workers, prefetch)
    return resource.getrlimit(resource.RLIMIT_NOFILE)


def ask(*needs):
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("fork")) as pool:
        return pool.submit(limits_after, *needs).result()


@pytest.mark.parametrize(("workers", "prefetch", "needed"), [(2, None, 67), (2, 2, 67), (1, 3, 52), (1, 1, 38)])
def test_files_of_workers_are_counted_before_they_start(workers, prefetch, needed):
    """16 in reserve, 8 a worker, and 7 for each batch: those loaded ahead, and the one in use."""
    assert ask(workers, prefetch, needed)
    with pytest.raises(OSError, match=r"too many open files: \d+ are needed, \d+ allowed") as refused:
        ask(workers, prefetch, needed - 1)
    assert refused.value.errno == errno.EMFILE
    needs, allowed = map(int, re.findall(r"\d+", refused.value.strerror))
    assert needs == allowed + 1


def test_without_workers_no_file_is_needed():
    assert ask(0, None, 0)


def test_a_low_soft_limit_is_raised():
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    assert ask(1, None, None) == (65536 if hard == resource.RLIM_INFINITY else min(hard, 65536), hard)


def test_a_hard_limit_bounds_what_the_soft_one_is_raised_to():
    soft, hard = ask(1, None, 200)
    assert soft == hard
