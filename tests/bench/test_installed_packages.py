"""The optimizers of packages pass the check, or have their reason; packages that are not installed are skipped.

The extra `optimizers` installs them: pip install -e ".[optimizers]".
"""

import io
import re
import warnings
from contextlib import redirect_stdout

import pytest
import torch

from bench.optimizers.check import Check
from bench.optimizers.description import check_safely
from bench.optimizers.installed import _is_installed, optimizers_in
from bench.optimizers.listing import EXTRA_PACKAGES

LARGE = "pytorch_optimizer"
AT_LEAST = 120
"""Number of the classes of `pytorch_optimizer` that pass at least, of 134 in version 4.1."""
BACKWARD = "it computes the backward pass itself, by a method"
REASONS = {
    "AdaLOMO": f"{BACKWARD} fused_backward",
    "CPUOffloadOptimizer": "CUDA",
    "DeMo": "einops",
    "DistributedMuon": "process group has not been initialized",
    "GSAM": f"{BACKWARD} set_closure",
    "LOMO": f"{BACKWARD} fused_backward",
    "PCGrad": f"{BACKWARD} pc_backward",
    "SafeFP16Optimizer": f"{BACKWARD} backward",
    "SpectralSphere": f"it trains only matrices; .* {LARGE}.SpectralSphere\\+adamw",
}
"""Classes of `pytorch_optimizer` that need not pass -> words of the reason, should they not."""


def checks_of(module: str) -> list[Check]:
    pytest.importorskip(module, reason="the extra optimizers is not installed")
    with redirect_stdout(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return [check_safely(name) for name in optimizers_in(module)]


FEW = ("SAM", "AdaHessian", "ScheduleFreeAdamW", "DAdaptAdam", "Lion", "AdaLOMO")
"""Of the largest package: its conventions, and a class that cannot pass."""


def checked(names: list[str]) -> dict[str, Check]:
    """The check of each of these classes, by its name in its package."""
    pytest.importorskip(LARGE, reason="the extra optimizers is not installed")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with redirect_stdout(io.StringIO()), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return {name.rpartition(".")[2]: check_safely(name) for name in names}
    finally:
        torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def few() -> dict[str, Check]:
    return checked([f"{LARGE}.{name}" for name in FEW])


@pytest.fixture(scope="module")
def large() -> dict[str, Check]:
    """The check of each class of the largest package."""
    pytest.importorskip(LARGE, reason="the extra optimizers is not installed")
    return checked(optimizers_in(LARGE))


@pytest.mark.long
def test_most_of_a_large_package_pass(large):
    assert sum(check.passes for check in large.values()) >= AT_LEAST


@pytest.mark.long
def test_each_other_one_has_its_reason(large):
    failed = {name: check.reason for name, check in large.items() if not check.passes}
    assert failed.keys() <= REASONS.keys(), failed
    assert {name: reason for name, reason in failed.items() if not re.search(REASONS[name], reason)} == {}


@pytest.mark.long
def test_all_that_pass_resume_to_the_bit(large):
    assert [name for name, check in large.items() if check.passes and not check.resumes] == []


def test_conventions_of_a_large_package(few):
    assert (few["SAM"].driving, few["SAM"].gradients_per_step) == ("gradients, then step(closure)", 2)
    assert (few["AdaHessian"].driving, few["AdaHessian"].gradients_per_step) == ("step(), create_graph", 2)
    assert few["ScheduleFreeAdamW"].driving == "step(), train() and eval()"
    assert few["ScheduleFreeAdamW"].schedule == "constant"
    assert few["DAdaptAdam"].schedule == "fixed"
    assert few["Lion"].state_bytes_per_weight == 4


def test_of_a_large_package_some_pass_and_resume_and_one_has_its_reason(few):
    assert [name for name, check in few.items() if not (check.passes and check.resumes)] == ["AdaLOMO"]
    assert re.search(REASONS["AdaLOMO"], few["AdaLOMO"].reason)


@pytest.mark.parametrize("module", [each for each in EXTRA_PACKAGES if each != LARGE])
def test_every_class_of_a_small_package_passes_and_resumes(module):
    checks = checks_of(module)
    assert checks
    assert [(check.name, check.reason) for check in checks if not (check.passes and check.resumes)] == []


def test_a_package_that_cannot_be_imported_has_no_modules(tmp_path, monkeypatch):
    (tmp_path / "falling_apart").mkdir()
    (tmp_path / "falling_apart" / "__init__.py").write_text("raise OSError('no such device')")
    monkeypatch.syspath_prepend(tmp_path)
    names = ("json", "json.decoder", "no_such_package", "falling_apart", "falling_apart.part")
    assert [_is_installed(name) for name in names] == [True, True, False, True, False]
