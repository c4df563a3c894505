"""Which GPUs are visible, by CUDA's rules, and what a process that is started on one of them sees."""

import os
import subprocess
import sys

import pytest
import torch

from bench.measure import gpus
from bench.measure.gpus import (
    ORDER_VARIABLE,
    VISIBLE_VARIABLE,
    Card,
    Gpu,
    gpu_of,
    starting_on,
    visible_gpus,
    visible_of,
)
from tests.support.long_tests import long

GB = 10**9
FIRST, SECOND, THIRD = (Gpu(f"GPU-{name}-1", "NVIDIA H200", 150 * GB) for name in ("aa01", "aa02", "cc03"))
SMALL = Gpu("GPU-dddd-1", "NVIDIA A2", 15 * GB)
HALVES = tuple(Gpu(f"MIG-{letter * 4}-1", "NVIDIA H200 MIG 3g.71gb", 71 * GB) for letter in "ef")
MACHINE = [Card(FIRST), Card(SECOND), Card(THIRD)]
MIXED = [Card(FIRST), Card(SECOND, instances=HALVES), Card(SMALL)]


@pytest.mark.parametrize(
    ("setting", "visible"),
    [
        (None, [FIRST, SECOND, THIRD]),
        ("", []),
        ("0", [FIRST]),
        ("2,0", [THIRD, FIRST]),
        (" 1 , 2", [SECOND, THIRD]),
        ("0,7,1", [FIRST]),
        ("-1", []),
        ("0,-1,1", [FIRST]),
        ("NoDevFiles", []),
        ("1,all", [SECOND]),
        ("0,0", []),
        ("2,1,2", []),
        (FIRST.uuid, [FIRST]),
        (f"{THIRD.uuid},{FIRST.uuid}", [THIRD, FIRST]),
        ("GPU-aa01", [FIRST]),
        ("GPU-aa", []),
        ("GPU-cc,GPU-ffff,GPU-aa02", [THIRD]),
        ("GPU-cc,0", [THIRD]),
        ("GPU-cc,GPU-cc03", []),
        ("MIG-eeee-1", []),
    ],
)
def test_the_variable_leaves_what_cuda_leaves(setting, visible):
    assert visible_of(MACHINE, setting) == tuple(visible)


@pytest.mark.parametrize(
    ("setting", "visible"),
    [
        (None, [FIRST, *HALVES, SMALL]),
        ("1", HALVES),
        ("2,1", [SMALL, *HALVES]),
        (f"{HALVES[1].uuid}", [HALVES[1]]),
        (f"{HALVES[1].uuid},{HALVES[0].uuid}", [HALVES[1], HALVES[0]]),
        ("MIG-eeee", []),
        (f"{HALVES[0].uuid},{FIRST.uuid}", [HALVES[0]]),
        (SECOND.uuid, HALVES),
    ],
)
def test_instances_are_gpus_of_their_own(setting, visible):
    assert visible_of(MIXED, setting) == tuple(visible)


def test_a_gpu_in_mig_mode_without_instances_is_of_no_use():
    assert visible_of([Card(FIRST, instances=()), Card(SMALL)], None) == (SMALL,)


@pytest.mark.parametrize(
    ("cards", "setting", "order", "known"),
    [
        (MACHINE, None, None, True),
        (MIXED, None, None, False),
        (MIXED, "0,2", None, False),
        (MIXED, "0,2", "FASTEST_FIRST", False),
        (MIXED, "0,2", "PCI_BUS_ID", True),
        (MIXED, f"{SMALL.uuid},{FIRST.uuid}", None, True),
    ],
)
def test_nvml_numbers_gpus_of_several_models_as_cuda_does_only_by_their_bus(cards, setting, order, known):
    """CUDA's default puts the fastest first, which NVML does not say."""
    assert gpus._order_known(cards, setting, order) == known


@pytest.mark.parametrize(
    ("uuid", "name", "whole"),
    [
        ("aaaa-1", "NVIDIA H200", "GPU-aaaa-1"),
        ("eeee-1", "NVIDIA H200 MIG 3g.71gb", "MIG-eeee-1"),
        ("GPU-aaaa-1", "NVIDIA H200", "GPU-aaaa-1"),
    ],
)
def test_pytorchs_uuids_get_their_beginning(uuid, name, whole):
    assert gpu_of(uuid, name, GB) == Gpu(whole, name, GB)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
@pytest.mark.parametrize(
    "environ",
    [{}, long({VISIBLE_VARIABLE: "0", ORDER_VARIABLE: "PCI_BUS_ID"})],
    ids=["plain", "chosen"],
)
def test_without_a_gpu_none_is_visible(environ):
    assert visible_gpus(environ) == ()


def test_nvml_lists_gpus_and_their_instances(monkeypatch):
    """Where indices mean what they mean for CUDA."""
    pytest.importorskip("pynvml", reason="the extra gpu is not installed")
    from tests.support.simulated_nvml import SimulatedNvml

    nvml = SimulatedNvml(MIXED)
    monkeypatch.setattr(gpus, "pynvml", nvml)
    by_bus = {ORDER_VARIABLE: "PCI_BUS_ID"}
    assert visible_gpus(by_bus) == (FIRST, *HALVES, SMALL)
    assert visible_gpus({**by_bus, VISIBLE_VARIABLE: "2,1"}) == (SMALL, *HALVES)
    assert visible_gpus({VISIBLE_VARIABLE: HALVES[1].uuid}) == (HALVES[1],)
    assert visible_gpus({**by_bus, VISIBLE_VARIABLE: ""}) == ()
    assert nvml.opened == 0
    monkeypatch.setattr(gpus, "pynvml", SimulatedNvml(MACHINE, driver=False))
    assert gpus._cards() == ()


def test_a_process_sees_its_gpu_from_its_start_and_this_process_sees_what_it_did(monkeypatch):
    monkeypatch.setenv(VISIBLE_VARIABLE, "0,1")
    said = []
    for gpu in (FIRST, HALVES[0], None):
        with starting_on(gpu):
            said.append(_environment_of_a_process())
    assert said == [FIRST.uuid, HALVES[0].uuid, "0,1"]
    assert os.environ[VISIBLE_VARIABLE] == "0,1"
    monkeypatch.delenv(VISIBLE_VARIABLE)
    with pytest.raises(OSError, match="no such program"), starting_on(SMALL):
        assert _environment_of_a_process() == SMALL.uuid
        raise OSError("no such program")
    assert VISIBLE_VARIABLE not in os.environ


def _environment_of_a_process():
    code = f"import os; print(os.environ[{VISIBLE_VARIABLE!r}])"
    return subprocess.run([sys.executable, "-S", "-c", code], capture_output=True, text=True, check=True).stdout.strip()


@pytest.mark.skipif(not torch.cuda.is_available(), reason="skipped: no CUDA device")
def test_nvml_and_cuda_name_the_same_gpus():
    pytest.importorskip("pynvml", reason="the extra gpu is not installed")
    environ = os.environ
    assert visible_gpus() == gpus._asked_of_cuda(environ.get(VISIBLE_VARIABLE), environ.get(ORDER_VARIABLE)) != ()
