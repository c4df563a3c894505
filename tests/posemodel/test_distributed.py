"""Several processes train one network as one process would: real processes, joined by gloo."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from posemodel.errors import SettingsError
from posemodel.launch import is_distributed, is_rank_zero
from posemodel.network.weights import load_network
from posemodel.training.processes import Team, joined
from tests.support.coco_builder import CocoBuilder
from tests.support.long_tests import long
from tests.support.plain_network import PLAIN
from tests.support.several_processes import Job, Told, Trainings

Runs = Callable[..., tuple[list[list[Told]], list[int]]]
CLOSE = 1e-4
"""How far losses in float32 may be apart: sums are made in another order."""
NO_THREADS = "a thread of the process group that still held a tensor at the interpreter's end would abort the process"


@pytest.fixture(scope="module")
def settings(tiny_set: Path) -> Callable[..., dict[str, Any]]:
    """6 steps of 4 images, two epochs, as JSON."""

    def make(**changes: Any) -> dict[str, Any]:
        base = {"data": str(tiny_set), "network": "small", "size": 64, "steps": 6, "device": "cpu"}
        return base | {"log_every": 1, "val_every": 6, "seed": 2, "loader": {"batch_size": 4}} | changes

    return make


@pytest.fixture(scope="module")
def trainings() -> Iterator[Trainings]:
    with Trainings() as started:
        yield started


@pytest.fixture
def alone(trainings: Trainings, tmp_path: Path) -> Callable[..., list[Told]]:
    """Jobs in one process."""
    return lambda *jobs: trainings.run(list(jobs), 1, tmp_path / "alone")[0][0]


@pytest.fixture
def together(trainings: Trainings, tmp_path: Path) -> Runs:
    """Jobs in two processes."""
    return lambda *jobs: trainings.run(list(jobs), 2, tmp_path / "together")


def close(ours: dict[str, float], theirs: dict[str, float]) -> None:
    assert ours.keys() == theirs.keys() != set()
    assert list(ours.values()) == pytest.approx(list(theirs.values()), rel=CLOSE, abs=0)


def agree(network: str, trainings: Trainings, data: CocoBuilder, folder: Path) -> float:
    """Assert that two processes follow the loss curve of one; the largest share by which losses are apart.

    On a network without batch norm; plain, and with accumulated batches, rates by group and a front that is released
    after an epoch, that is after step 2.
    """
    data.fill("train", images=8)
    data.fill("val", images=1, first_id=500)
    base = {"data": str(data.write()), "network": network, "size": 32, "steps": 3, "device": "cpu"}
    base |= {"log_every": 1, "val_every": 3, "seed": 2}
    more = base | {"frozen_backbone_epochs": 1, "ema_decay": 0.9, "groups": {"later_stage_lr": 4}}
    whole = {"loader": {"batch_size": 4}}
    (one,), _ = trainings.run([Job(base | whole, lr=1e-2), Job(more | whole, lr=1e-2)], 1, folder / "alone")
    shares = (
        Job(base | {"loader": {"batch_size": 2}}, lr=1e-2),
        Job(more | {"loader": {"batch_size": 1}, "accumulate": 2}, lr=1e-2),
    )
    two, codes = trainings.run(list(shares), 2, folder / "together")
    assert codes == [0, 0]
    assert [[told.status for told in each] for each in two] == [["complete"] * 2] * 2
    assert [[told.threads for told in each] for each in two] == [[[]] * 2] * 2, NO_THREADS
    close(two[0][0].losses, one[0].losses)
    close(two[0][1].losses, one[1].losses)
    assert one[0].losses["3"] != one[1].losses["3"], "freezing makes a difference"
    assert two[1][0].losses == {}, "the first process alone reports"
    pairs = [(two[0][job].losses[step], one[job].losses[step]) for job in (0, 1) for step in one[job].losses]
    return max(abs(ours / theirs - 1) for ours, theirs in pairs)


def test_two_processes_follow_the_loss_curve_of_one(
    trainings: Trainings, coco_builder: CocoBuilder, tmp_path: Path
) -> None:
    """On the reference network: tests/proofs/test_reference_network.py."""
    agree(PLAIN, trainings, coco_builder, tmp_path)


@pytest.mark.long
def test_bfloat16_averages_and_accumulated_batches_go_together(settings: Any, together: Runs, tmp_path: Path) -> None:
    changes = {"precision": "bf16", "ema_decay": 0.9, "accumulate": 2, "loader": {"batch_size": 1}}
    two, _ = together(Job(settings(**changes, frozen_backbone_epochs=1), out=str(tmp_path / "run")))
    assert [told[0].status for told in two] == ["complete"] * 2
    assert two[0][0].losses["6"] < two[0][0].losses["1"]
    network, info = load_network(tmp_path / "run" / "last.safetensors", torch.device("cpu"))
    assert {weight.dtype for weight in network.parameters()} == {torch.float32}
    assert info.training["saved_weights"] == "exponential moving average"


@pytest.mark.long
def test_each_step_takes_the_images_of_one_big_batch(settings: Any, alone: Any, together: Runs) -> None:
    whole = [sorted(batch) for batch in alone(Job(settings(steps=6)))[0].images]
    two, _ = together(Job(settings(loader={"batch_size": 2})), Job(settings(loader={"batch_size": 1}, accumulate=2)))
    for job, batches in ((0, 1), (1, 2)):
        first, second = (two[rank][job].images for rank in (0, 1))
        steps = [
            sorted(i for batch in first[at : at + batches] + second[at : at + batches] for i in batch)
            for at in range(0, len(first), batches)
        ]
        assert steps == whole
        assert all(not set(ours) & set(theirs) for ours, theirs in zip(first, second, strict=True))


def test_closures_decide_alike_in_both_processes(alone: Any, together: Runs, settings: Any) -> None:
    """SAM, and LBFGS with a line search, which looks at the loss: that of one process with the whole batch."""
    base = {"network": PLAIN, "size": 32, "steps": 6}
    kinds = (("sam", 1e-2), ("lbfgs", 0.5))
    one = alone(*(Job(settings(**base), lr=lr, optimizer=kind) for kind, lr in kinds))
    halves = {"loader": {"batch_size": 2}}
    jobs = [Job(settings(**base, **halves), lr=lr, optimizer=kind) for kind, lr in kinds]
    two, _ = together(*jobs, Job(settings(**base, **halves), optimizer="hutchinson"))
    assert [told.status for told in two[0]][:2] == [told.status for told in one] == ["complete"] * 2
    for ours, theirs in zip(two[0], one, strict=False):
        close(ours.losses, theirs.losses)
    assert "Hutchinson differentiates gradients again" in two[0][2].status


def test_images_per_second_count_both_processes(settings: Any, together: Runs) -> None:
    """The second window has 2 steps, of 2 images in each process."""
    first = together(Job(settings(loader={"batch_size": 2}, steps=3, log_every=3)))[0][0][0]
    assert first.rates["3"] * (first.trained["3"] - first.trained["1"]) == pytest.approx(2 * 2 * 2)


def test_a_stop_that_one_process_hears_of_stops_both_and_the_run_goes_on(
    settings: Any, alone: Any, together: Runs, tmp_path: Path
) -> None:
    """SIGTERM to the second process in step 2; then on in one process, whose batch is twice as large."""
    network = {"network": "small", "steps": 6}
    stopped, whole = str(tmp_path / "stopped"), str(tmp_path / "whole")
    (first, second), codes = together(
        Job(settings(**network, loader={"batch_size": 2}), out=whole),
        Job(settings(**network, loader={"batch_size": 2}), out=stopped, fault="stop", fault_step=2),
        Job(settings(**network, loader={"batch_size": 2}), out=stopped, resume=True),
    )
    assert codes == [0, 0]
    assert (
        [told.status for told in first] == [told.status for told in second] == ["complete", "interrupted", "complete"]
    )
    assert list(first[1].losses) == ["1", "2"]
    assert list(first[2].losses) == ["3", "4", "5", "6"]
    ours, theirs = (load_network(Path(out) / "last.safetensors", torch.device("cpu")) for out in (stopped, whole))
    assert theirs[1].training["processes"] == 2
    for (name, weight), (_, other) in zip(ours[0].state_dict().items(), theirs[0].state_dict().items(), strict=True):
        assert torch.equal(weight, other), f"{name}: as if it had not been stopped"
    again = alone(Job(settings(**network, loader={"batch_size": 4}), out=stopped, resume=True))
    assert again[0].status == "complete", "a finished run of the same images a step is told again by one process"
    other = alone(Job(settings(**network, loader={"batch_size": 2}), out=stopped, resume=True))
    assert "batch_size: 4 -> 2" in other[0].status


@pytest.mark.long
def test_a_resumed_window_has_the_losses_of_both_processes(settings: Any, together: Runs, tmp_path: Path) -> None:
    """Stopped in the second of five steps, without a report; the first after it is about all five."""
    whole, stopped = str(tmp_path / "whole"), str(tmp_path / "stopped")
    how = settings(loader={"batch_size": 2}, log_every=5)
    told, codes = together(
        Job(how, out=whole),
        Job(how, out=stopped, fault="stop", fault_step=2),
        Job(how, out=stopped, resume=True),
    )
    assert codes == [0, 0]
    one, two, three = told[0]
    assert [two.status, three.status] == ["interrupted", "complete"]
    assert list(two.losses) == ["1"]
    assert list(three.losses) == ["5", "6"]
    close({**two.losses, **three.losses}, one.losses)


@pytest.mark.parametrize(("rank", "fault"), [(0, "raise"), (1, "die"), long(0, "die"), long(1, "raise")])
def test_a_process_that_fails_does_not_keep_the_other_waiting(
    settings: Any, together: Runs, fault: str, rank: int
) -> None:
    told, codes = together(Job(settings(loader={"batch_size": 2}), fault=fault, fault_rank=rank, fault_step=3))
    assert codes[1 - rank] == 0, "it ends by itself, with a word"
    assert told[1 - rank][0].status.startswith("ProcessError: process"), told
    assert "another process was lost" in told[1 - rank][0].status
    assert told[1 - rank][0].seconds < 300
    assert [each.threads for process in told for each in process] == [[]] * (1 if fault == "die" else 2), NO_THREADS
    if fault == "raise":
        assert told[rank][0].status == "ValueError: a fault of this process alone"


@pytest.mark.long
def test_a_validation_that_fails_in_the_first_ends_the_others_too(settings: Any, together: Runs) -> None:
    told, _ = together(Job(settings(steps=2, loader={"batch_size": 2}), fault="validation", fault_rank=0))
    assert told[0][0].status == "DataError: an image has gone"
    assert told[1][0].status.startswith("ProcessError: the first process has failed")


def test_what_several_processes_cannot_do_is_refused(settings: Any, together: Runs) -> None:
    told, _ = together(
        Job(settings(steps=None, seconds=3.0, val_every=None)),
        Job(settings(loader={"batch_size": 8})),
    )
    for rank in (0, 1):
        assert told[rank][0].status.startswith("SettingsError: seconds: several processes")
        assert "a step takes 16 images" in told[rank][1].status


def test_alone_nothing_is_asked_of_anyone(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"):
        monkeypatch.delenv(name, raising=False)
    assert (is_distributed(), is_rank_zero()) == (False, True)
    network = torch.nn.Linear(2, 2)
    with joined("cpu") as team:
        assert team == Team(torch.device("cpu"))
        assert team.parallel(network) is network
        assert (team.any(True), team.any(False), team.mean(2.5)) == (True, False, 2.5)
        assert team.from_first(max, 3, 4) == 4


def test_apple_s_gpu_takes_one_process(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("RANK", "1"), ("WORLD_SIZE", "2"), ("MASTER_ADDR", "127.0.0.1"), ("MASTER_PORT", "1")):
        monkeypatch.setenv(name, value)
    assert (is_distributed(), is_rank_zero()) == (True, False)
    with pytest.raises(SettingsError, match="device: several processes"), joined("mps"):
        pass
