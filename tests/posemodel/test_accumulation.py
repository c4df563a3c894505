"""Accumulated gradients are those of a batch as large: the same images, the same step."""

from functools import partial
from pathlib import Path

import pytest
import torch

from posemodel.data.sampler import EpochSampler
from posemodel.errors import CheckpointError, SettingsError
from posemodel.network import NETWORKS
from posemodel.training.loop import train
from posemodel.training.state import RESUME_FILE
from tests.support.plain_network import PLAIN, Plain
from tests.support.training_runs import KilledError, Log, Sgd, killed_after, settings_for

pytestmark = pytest.mark.usefixtures("one_thread")


def accumulated(network: str, data: Path) -> None:
    """Assert that 3 batches of 4 are one of 12, an epoch, on a network without batch norm."""
    logs = Log(), Log()
    base = {"network": network, "size": 32, "steps": 2, "val_every": 2}
    ends = []
    for log, changes in zip(logs, ({"loader": {"batch_size": 12}}, {"accumulate": 3}), strict=True):
        result = train(settings_for(data, **base, **changes), partial(torch.optim.SGD, lr=1e-2), on_metrics=log)
        ends.append(result.network)
        assert result.step == 2
    assert list(logs[0].of("loss").values()) == pytest.approx(list(logs[1].of("loss").values()), rel=1e-5)
    for one, other in zip(ends[0].parameters(), ends[1].parameters(), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-6)


def test_accumulated_batches_are_one_big_batch(tiny_set: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On the reference network: tests/proofs/test_reference_network.py."""
    monkeypatch.setitem(NETWORKS, PLAIN, Plain)
    accumulated(PLAIN, tiny_set)


@pytest.mark.parametrize(("length", "batch", "batches"), [(12, 2, 2), (11, 2, 2), (13, 3, 2), (25, 1, 4)])
@pytest.mark.parametrize("skipped", [0, 1])
def test_a_step_s_images_are_those_of_one_loader_whose_batch_is_as_large(
    length: int, batch: int, batches: int, skipped: int
) -> None:
    """Of one process and of two; the last, incomplete step is dropped; taken up in the middle of an epoch, too."""
    per_step = batch * batches
    whole = EpochSampler(length, shuffle=True, seed=3)
    for processes in (1, 2) if batches == 2 else (1,):
        shares = [(batch, batches // processes, process, processes) for process in range(processes)]
        samplers = [EpochSampler(length, shuffle=True, seed=3, shares=share) for share in shares]
        for sampler in (whole, *samplers):
            sampler.epoch, sampler.skip = 2, skipped * per_step
        expected = [list(whole)[at : at + per_step] for at in range(0, (len(whole) // per_step) * per_step, per_step)]
        found = [list(sampler) for sampler in samplers]
        assert [len(sampler) for sampler in samplers] == [len(each) for each in found]
        own = per_step // processes
        steps = [[each for samples in found for each in samples[at : at + own]] for at in range(0, len(found[0]), own)]
        assert [sorted(step) for step in steps] == [sorted(step) for step in expected]
        if processes == 1:
            assert steps == expected, "in the same order, too"


def test_steps_and_epochs_count_steps_of_the_optimizer(tiny_set: Path) -> None:
    """12 images, 2 batches of 2 in a step: 3 steps an epoch, and no image of an incomplete step."""
    log = Log()
    settings = settings_for(tiny_set, steps=None, epochs=2, accumulate=2, loader={"batch_size": 2})
    result = train(settings, Sgd, on_metrics=log)
    assert (result.step, list(log.of("loss"))) == (6, [1, 2, 3, 4, 5, 6])


def test_an_epoch_without_a_whole_step_is_refused(tiny_set: Path) -> None:
    with pytest.raises(SettingsError, match=r"a step takes 16 images \(4 batches of 4"):
        train(settings_for(tiny_set, accumulate=4), Sgd)


def test_as_many_images_in_other_batches_may_go_on(tiny_set: Path, tmp_path: Path) -> None:
    with pytest.raises(KilledError):
        train(settings_for(tiny_set, checkpoint_every=1), Sgd, out=tmp_path, on_metrics=killed_after(1))
    state = (tmp_path / RESUME_FILE).read_bytes()
    changed = settings_for(tiny_set, checkpoint_every=1, accumulate=2, loader={"batch_size": 2})
    assert train(changed, Sgd, out=tmp_path, resume=True).status == "complete"
    (tmp_path / RESUME_FILE).write_bytes(state)
    with pytest.raises(CheckpointError, match="batch_size: 4 -> 8"):
        train(settings_for(tiny_set, checkpoint_every=1, accumulate=2), Sgd, out=tmp_path, resume=True)
