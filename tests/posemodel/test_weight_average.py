"""Averaged weights: by hand, validated and saved in the place of the last step's, resumed."""

from pathlib import Path
from typing import Any

import pytest
import torch

from posemodel.errors import CheckpointError
from posemodel.network import build_network
from posemodel.network.weights import load_network
from posemodel.training.averages import WeightAverage, decay_at
from posemodel.training.loop import train
from posemodel.training.run import BEST_FILE, LAST_FILE
from tests.support.long_tests import long
from tests.support.training_runs import CPU, KilledError, Log, Sgd, equal, killed_after, settings_for, weights

pytestmark = pytest.mark.usefixtures("one_thread")


class Recorded(torch.optim.SGD):
    """Keeps a copy of the weights after each step."""

    steps: list[list[torch.Tensor]]

    def step(self, closure: Any = None) -> Any:
        done = super().step(closure)
        self.steps.append([weight.detach().clone() for group in self.param_groups for weight in group["params"]])
        return done


def test_the_decay_warms_up() -> None:
    assert [decay_at(n, 0.999) for n in (1, 8, 90)] == pytest.approx([2 / 11, 9 / 18, 91 / 100])
    assert decay_at(8990, 0.999) == pytest.approx(0.999)
    assert decay_at(10**6, 0.999) == 0.999


def test_what_is_saved_is_the_average_by_hand(tiny_set: Path, tmp_path: Path) -> None:
    """The limit 0.3 is met from the third update on: decays 0 (the beginning), 2/11, 3/12, 0.3, 0.3, 0.3."""
    made: list[Recorded] = []

    def make(parameters: Any) -> Recorded:
        made.append(Recorded(parameters, lr=1e-2))
        made[0].steps = []
        return made[0]

    result = train(settings_for(tiny_set, ema_decay=0.3), make, out=tmp_path)
    first, *others = made[0].steps
    expected = [weight.clone() for weight in first]
    for keep, step in zip((2 / 11, 3 / 12, 0.3, 0.3, 0.3), others, strict=True):
        expected = [keep * old + (1 - keep) * new for old, new in zip(expected, step, strict=True)]
    saved, info = load_network(tmp_path / LAST_FILE, CPU)
    for parameter, other in zip(saved.parameters(), expected, strict=True):
        torch.testing.assert_close(parameter, other)
    assert not all(torch.equal(*pair) for pair in zip(saved.parameters(), others[-1], strict=True))
    assert info.training["saved_weights"] == "exponential moving average"
    assert equal(result.network.state_dict(), saved.state_dict())


def test_buffers_are_the_trained_network_s_own_and_what_is_validated_is_the_average(
    tiny_set: Path, tmp_path: Path
) -> None:
    plain, averaged = Log(), Log()
    train(settings_for(tiny_set), Sgd, out=tmp_path / "plain", on_metrics=plain)
    train(settings_for(tiny_set, ema_decay=0.9), Sgd, out=tmp_path / "averaged", on_metrics=averaged)
    assert plain.of("loss") == averaged.of("loss"), "training itself does not change"
    assert plain.of("val_loss") != averaged.of("val_loss")
    ours, theirs = weights(tmp_path / "averaged" / LAST_FILE), weights(tmp_path / "plain" / LAST_FILE)
    buffers = [name for name in ours if "running" in name or "batches" in name]
    assert buffers
    assert all(torch.equal(ours[name], theirs[name]) for name in buffers)
    assert not equal(ours, theirs)
    assert load_network(tmp_path / "plain" / LAST_FILE, CPU)[1].training["saved_weights"] == "as trained"


@pytest.mark.parametrize("step", [long(2), 3])
def test_a_resumed_average_goes_on_bit_by_bit(tiny_set: Path, tmp_path: Path, step: int) -> None:
    settings = settings_for(tiny_set, ema_decay=0.9, checkpoint_every=step, val_every=2, accumulate=2)
    settings = settings.model_copy(update={"loader": settings.loader.model_copy(update={"batch_size": 2})})
    train(settings, Sgd, out=tmp_path / "straight")
    with pytest.raises(KilledError):
        train(settings, Sgd, out=tmp_path / "killed", on_metrics=killed_after(step))
    assert train(settings, Sgd, out=tmp_path / "killed", resume=True).status == "complete"
    for file in (LAST_FILE, BEST_FILE):
        assert equal(weights(tmp_path / "straight" / file), weights(tmp_path / "killed" / file)), file


def test_averaging_costs_no_step_its_meaning(tiny_set: Path, tmp_path: Path) -> None:
    """A state without an average is no beginning for a run with one, and the other way round."""
    settings = settings_for(tiny_set, checkpoint_every=1)
    with pytest.raises(KilledError):
        train(settings, Sgd, out=tmp_path, on_metrics=killed_after(1))
    with pytest.raises(CheckpointError, match=r"ema_decay: None -> 0\.9"):
        train(settings_for(tiny_set, checkpoint_every=1, ema_decay=0.9), Sgd, out=tmp_path, resume=True)


def test_an_average_knows_its_own_state() -> None:
    network = build_network("small", seed=0)
    average = WeightAverage(network, 0.9)
    with pytest.raises(CheckpointError, match="no averaged weights"):
        average.load_state_dict({"network": {}})
    average.update()
    other = WeightAverage(build_network("small", seed=1), 0.9)
    other.load_state_dict(average.state_dict())
    assert other.updates == 1
    assert equal(other.state_dict()["network"], average.state_dict()["network"])
