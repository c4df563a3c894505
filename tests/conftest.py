"""Fixtures that several test modules share."""

import gc
import os
import signal
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest
import torch
from filelock import FileLock

REPOSITORY = Path(__file__).resolve().parents[1]
if str(REPOSITORY) not in sys.path:  # `tests.support` is importable whichever way pytest was started
    sys.path.insert(0, str(REPOSITORY))

from tests.support.coco_builder import CocoBuilder  # noqa: E402
from tests.support.commands import COMMANDS  # noqa: E402
from tests.support.examples import FEW, PROFILE, Examples  # noqa: E402
from tests.support.forked_workers import fork_workers  # noqa: E402

# A shared machine misses any deadline now and then. The examples are the same in each run, so that CI passes what
# passed before; `make test ARGS="--hypothesis-profile random"` looks for others. No folder is left behind.
hypothesis.settings.register_profile("here", deadline=None, database=None, derandomize=True, max_examples=FEW)
hypothesis.settings.register_profile("random", deadline=None, database=None)
hypothesis.settings.register_profile(PROFILE, deadline=None, database=None, derandomize=True)
hypothesis.settings.load_profile("here")

_cache = tempfile.TemporaryDirectory(prefix="posebench-tests-")  # removed when the tests end
os.environ["POSEBENCH_CACHE"] = _cache.name  # of processes that tests start, too

LONGEST = {
    name: place
    for place, name in enumerate(
        (
            "test_engines",
            "test_loader_study",
            "test_killed_study",
            "test_interruption",
            "test_joint_study",
            "test_series",
        )
    )
}
_SOON, _LATE = len(LONGEST), len(LONGEST) + 1

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # tests run in a shell's background: commands would be deaf too
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_addoption(pluginmanager: pytest.PytestPluginManager) -> None:
    """Register `--proofs` and `--shard`, and what they collect."""
    pluginmanager.import_plugin("tests.proofs.collection")


def pytest_configure(config: pytest.Config) -> None:
    """Tell how many examples properties are tried on; fork workers; collect tests without collecting garbage."""
    fork_workers(config)
    Examples.whole = config.getoption("--hypothesis-profile") == PROFILE
    gc.disable()


def pytest_collection_finish() -> None:
    """Collect garbage again, but never among the libraries and thousands of tests, which takes half a second a time."""
    gc.freeze()
    gc.enable()


def pytest_sessionfinish() -> None:
    """Collect garbage once more; pytest does so five times, through all that is left, which takes seconds a process."""
    gc.collect()
    gc.freeze()


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """Two more than there are cores: tests on processes and servers wait for these."""
    return len(os.sched_getaffinity(0)) + 2 if hasattr(os, "sched_getaffinity") else (os.cpu_count() or 1) + 2


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files of whole studies first: begun last, one of them would keep one process busy while all others are idle."""
    items.sort(key=lambda item: _LATE if item.path.parent.name != "end_to_end" else LONGEST.get(item.path.stem, _SOON))


@pytest.fixture(autouse=True)
def _nobody_has_stopped_it() -> Iterator[None]:
    """What a test's signals leave in this process, the next test does not find."""
    from bench.engines.interruption import _State  # not while the command line reads this file

    before = signal.getsignal(signal.SIGCHLD) if hasattr(signal, "SIGCHLD") else None
    yield
    _State.stop_requested = _State.interrupt_pending = _State.overdue = False
    _State.deferring = _State.graces = 0
    if before is not None:
        signal.signal(signal.SIGCHLD, before)


def pytest_unconfigure() -> None:
    """End the process that commands are forked from."""
    COMMANDS.close()


@pytest.fixture(scope="session")
def coco_mini() -> Path:
    folder = REPOSITORY.parent / "shared" / "coco-mini"
    if not folder.is_dir():
        pytest.skip(f"{folder} is not there: checks on real COCO images are left out")
    return folder


@pytest.fixture
def shared_memory_alone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """No other test of this run that asks for this fixture is using /dev/shm: what is free there is the machine's."""
    folder = tmp_path_factory.getbasetemp()
    with FileLock((folder.parent if "PYTEST_XDIST_WORKER" in os.environ else folder) / "shared_memory.lock"):
        yield


@pytest.fixture
def coco_builder(tmp_path: Path) -> CocoBuilder:
    """A data set to be filled by the test, in its own folder."""
    return CocoBuilder(tmp_path / "data")


@pytest.fixture(scope="session")
def tiny_set(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """12 train and 3 val images of about 80 pixels with one or two people each: never written to by a test."""
    builder = CocoBuilder(tmp_path_factory.mktemp("tiny") / "data")
    builder.fill("train", images=12, seed=1)
    builder.fill("val", images=3, seed=2, first_id=500)
    return builder.write()


@pytest.fixture
def one_thread() -> Iterator[None]:
    """Sums in one order: for tests that compare weights bit by bit."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
