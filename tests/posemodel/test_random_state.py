"""Random numbers go on where they were in a resumed run: the CPU's, and a CUDA device's."""

from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch

from posemodel.network import NETWORKS
from posemodel.training.loop import train
from posemodel.training.random_state import random_state, restore_random_state
from posemodel.training.run import LAST_FILE
from posemodel.training.state import RESUME_FILE
from tests.support.driven_optimizers import Hutchinson
from tests.support.plain_network import PLAIN, Plain
from tests.support.training_runs import CPU, KilledError, equal, killed_after, settings_for, weights

pytestmark = pytest.mark.usefixtures("one_thread")
NEEDS_CUDA = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")


@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=NEEDS_CUDA)])
def test_random_numbers_go_on_on_each_device(device: str) -> None:
    where = torch.device(device)
    np.random.normal()  # noqa: NPY002 (computes two, and keeps the second)
    states = random_state(where)
    assert set(states) == {"cpu", "numpy", device}
    expected = torch.rand(3), torch.rand(3, device=where), np.random.normal(size=3)  # noqa: NPY002
    restore_random_state(where, states)
    assert torch.equal(torch.rand(3), expected[0])
    assert torch.equal(torch.rand(3, device=where), expected[1])
    assert np.array_equal(np.random.normal(size=3), expected[2])  # noqa: NPY002
    restore_random_state(where, states["cpu"])
    assert torch.equal(torch.rand(3), expected[0]), "earlier versions stored the CPU's alone"
    restore_random_state(CPU, [states["cpu"], states["cpu"]])
    assert torch.equal(torch.rand(3), expected[0]), "a run of another device is resumed on the CPU"


def test_a_state_of_an_earlier_version_has_the_cpu_s_random_numbers(
    tiny_set: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(NETWORKS, PLAIN, Plain)
    settings = settings_for(tiny_set, network=PLAIN, size=32, checkpoint_every=2, val_every=6)
    make = partial(Hutchinson, lr=1e-2)
    train(settings, make, out=tmp_path / "straight")
    with pytest.raises(KilledError):
        train(settings, make, out=tmp_path / "stopped", on_metrics=killed_after(2))
    state = torch.load(tmp_path / "stopped" / RESUME_FILE, weights_only=True)
    state["random"] = state["random"]["cpu"]
    torch.save(state, tmp_path / "stopped" / RESUME_FILE)
    train(settings, make, out=tmp_path / "stopped", resume=True)
    assert equal(weights(tmp_path / "straight" / LAST_FILE), weights(tmp_path / "stopped" / LAST_FILE))


@NEEDS_CUDA
def test_a_resumed_run_draws_the_same_numbers_on_a_gpu(tiny_set: Path, tmp_path: Path) -> None:
    settings = settings_for(tiny_set, checkpoint_every=2, val_every=6, device="cuda")
    make = partial(Hutchinson, lr=1e-2)
    with pytest.raises(KilledError):
        train(settings, make, out=tmp_path, on_metrics=killed_after(2))
    expected = torch.load(tmp_path / RESUME_FILE, weights_only=True)["random"]["cuda"]
    drawn: list[torch.Tensor] = []

    class Noting(Hutchinson):
        def step(self, closure: object = None) -> None:  # type: ignore[override]
            drawn.append(torch.cuda.get_rng_state())
            super().step()

    train(settings, partial(Noting, lr=1e-2), out=tmp_path, resume=True)
    assert torch.equal(drawn[0], expected.cpu())
