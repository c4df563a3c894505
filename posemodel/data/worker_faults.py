"""Explain errors of a data loader's workers that come from the machine's limits: shared memory, open files, memory.

PyTorch reports these as RuntimeErrors, some with the worker's traceback, some as the signal that ended a worker.
"""

import errno
import re
import shutil
from pathlib import Path

try:  # imported early: with too many open files no import succeeds
    import resource
except ImportError:  # Windows
    resource = None  # type: ignore[assignment]  # the module does not exist there

SHARED_MEMORY = Path("/dev/shm")
"""Folder that workers put batches into."""
_FULL = re.compile(
    r"unable to (allocate|open|resize|mmap).*(shared memory|file </torch_).*(no space|cannot allocate)"
    r"|out of shared memory|insufficient shared memory|killed by signal: bus error",
    re.DOTALL,
)
_FILES = ("too many open files", "received 0 items of ancdata", "[errno 24]")
_KILLED = "killed by signal: killed"
_WORKER = "in DataLoader worker process"
NO_WORKERS = "take fewer workers, or num_workers 0"


FILES_OF_WORKER, FILES_OF_BATCH, FILES_LEFT = 8, 7, 16
"""Numbers of open files: for a worker's pipes and queues, for a batch's tensors, and a reserve for other files."""
PREFETCHED = 2
"""Batches that a worker loads ahead by PyTorch's default."""
FILES_WANTED = 65536
"""Number of open files to which a lower soft limit is raised (at most to the hard limit): a batch may have many
tensors."""


def require_open_files(num_workers: int, prefetch_factor: int | None = None) -> None:
    """Raise the soft limit of open files as far as workers need: each tensor of each batch in transfer is one file.

    Raises OSError (EMFILE) if the hard limit is too low: a worker that meets the limit drops its batch, and the process
    that waits for it would wait for ever.
    """
    if resource is None or not num_workers:
        return
    descriptors = Path("/proc/self/fd" if Path("/proc/self/fd").is_dir() else "/dev/fd")
    batches = num_workers * (prefetch_factor or PREFETCHED) + 1
    open_now = sum(1 for _ in descriptors.iterdir())
    needed = open_now + FILES_LEFT + num_workers * FILES_OF_WORKER + batches * FILES_OF_BATCH
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    unlimited = resource.RLIM_INFINITY
    if hard != unlimited and hard < needed:
        raise OSError(errno.EMFILE, f"too many open files: {needed} are needed, {hard} allowed")
    if soft != unlimited and soft < FILES_WANTED:
        allowed = FILES_WANTED if hard == unlimited else min(hard, FILES_WANTED)
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, allowed), hard))


def explain_loader_error(error: BaseException) -> str | None:
    """Return in one line which resource was too scarce for a data loader and what to do; None for any other error."""
    text = str(error).lower()
    if isinstance(error, OSError) and error.errno in (errno.EMFILE, errno.ENFILE):
        return _too_many_files()
    if not isinstance(error, (RuntimeError, OSError)):
        return None
    if any(each in text for each in _FILES):
        return _too_many_files()
    if _FULL.search(text):
        return (
            f"{SHARED_MEMORY} is too small{_shm_size()}: the data loader's workers hand their batches over through it. "
            f"Give it more (docker run --shm-size=1g; in Kubernetes an emptyDir with medium: Memory), or {NO_WORKERS}."
        )
    if _KILLED in text:
        return f"the system has killed a worker of the data loader, most likely for lack of memory: {NO_WORKERS}."
    return None


def one_line(error: BaseException) -> str:
    """Return class and message of an error in one line; a worker's error without its traceback."""
    text = str(error)
    if _WORKER in text:
        return next((line.strip() for line in reversed(text.splitlines()) if line.strip()), text)
    return f"{type(error).__name__}: {text}"


def _too_many_files() -> str:
    limit = "" if resource is None else f" ({resource.getrlimit(resource.RLIMIT_NOFILE)[0]} here)"
    return (
        f"the limit of open files{limit} is too low for the batches that the data loader's workers hand over, and for "
        f"the databases. Raise it in the shell (ulimit -n 4096), or {NO_WORKERS}."
    )


def _shm_size() -> str:
    try:
        return f" ({shutil.disk_usage(SHARED_MEMORY).total / 2**20:.0f} MiB)"
    except OSError:
        return ""
