"""A network is scored and used at the size that it was trained at, whichever way its weights have come."""

import copy
import io
import pickle
from functools import partial
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.nn.modules.utils import consume_prefix_in_state_dict_if_present
from torch.optim.swa_utils import AveragedModel

from posemodel import (
    NETWORKS,
    CheckpointError,
    CheckpointInfo,
    SettingsError,
    TrainSettings,
    build_network,
    evaluate,
    load_network,
    predict,
    save_weights,
    train,
)
from posemodel.network import network_geometry
from posemodel.network.prepare import prepare_network
from posemodel.training.run import LAST_FILE, TrainResult
from tests.support.coco_builder import CocoBuilder
from tests.support.training_runs import CPU, KilledError, Sgd, killed_after, settings_for

SIZE = 96
"""The small network's default is 256."""
AVERAGED = {"ema_decay": 0.8}


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four images that a network learns by heart."""
    builder = CocoBuilder(tmp_path_factory.mktemp("four") / "data")
    builder.fill("train", images=4, seed=1)
    builder.fill("val", images=1, seed=2, first_id=500)
    return builder.write()


@pytest.fixture(scope="module")
def trained(people: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[TrainResult, Path]:
    """A run that has learned something, scored on what it was trained on, and its folder."""
    out = tmp_path_factory.mktemp("run")
    settings = TrainSettings(
        data=people, network="small", size=SIZE, steps=50, loader={"batch_size": 4}, device="cpu", seed=1,
        foreground_weight=4.0,
        val_split="train", log_every=1000, val_every=1000, **AVERAGED,
    )  # fmt: skip
    return train(settings, partial(torch.optim.Adam, lr=1e-2), out=out), out


def test_what_training_reports_is_what_evaluate_says_of_its_network(people, trained) -> None:
    result, out = trained
    reported = {name: value for name, value in result.metrics.items() if name in ("ap", "ap50", "ap75", "ar", "ar50")}
    assert reported["ap"] > 0.1
    for network in (result.network, out / LAST_FILE, load_network(out / LAST_FILE, CPU)[0]):
        scores = evaluate(network, people, split="train", device="cpu").as_row()
        assert {name: scores[name] for name in reported} == reported
    assert evaluate(result.network, people, split="train", size=160).ap != reported["ap"], "a size that is given wins"


def test_predict_uses_the_size_too(people, trained) -> None:
    network, files = trained[0].network, sorted((people / "images" / "train2017").glob("*.jpg"))
    expected, other = (predict(network, files, size=size) for size in (SIZE, 160))
    found = predict(network, files)
    assert [each.scores.tolist() for each in found] == [each.scores.tolist() for each in expected]
    assert [each.scores.tolist() for each in found] != [each.scores.tolist() for each in other]


class Wrapper(nn.Module):
    """As DistributedDataParallel and DataParallel hold a network."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module


@pytest.mark.parametrize("name", NETWORKS)
def test_a_network_that_was_not_trained_has_its_default(name: str) -> None:
    assert network_geometry(NETWORKS[name]).size == NETWORKS[name].default_size


def size_of(network: nn.Module | Path) -> int:
    return prepare_network(network, device="cpu")[1].size


@pytest.fixture
def small() -> nn.Module:
    network = build_network("small", seed=0)
    network.trained_size = SIZE
    return network


def test_copies_and_wrappers_know_the_size(small) -> None:
    compiled = torch.compile(small, backend="eager")
    for each in (
        small,
        copy.copy(small),
        copy.deepcopy(small),
        pickle.loads(pickle.dumps(small)),
        AveragedModel(small),
        nn.DataParallel(small),
        Wrapper(small),
        compiled,
        Wrapper(compiled),
        torch.compile(Wrapper(small), backend="eager"),
    ):
        assert size_of(each) == SIZE, type(each)
        assert prepare_network(each, size=64)[1].size == 64
    assert size_of(build_network("small")) == 256


def test_a_state_dict_carries_the_size_without_an_entry_of_its_own(small) -> None:
    plain = build_network("small", seed=1)
    assert list(small.state_dict()) == list(plain.state_dict())
    file = io.BytesIO()
    torch.save(small.state_dict(), file)
    file.seek(0)
    plain.load_state_dict(torch.load(file, weights_only=True))
    assert size_of(plain) == SIZE
    wrapped = Wrapper(small).state_dict()
    consume_prefix_in_state_dict_if_present(wrapped, "module.")
    other = build_network("small", seed=1)
    other.load_state_dict(wrapped)
    assert size_of(other) == SIZE
    assert small.state_dict(destination={}, prefix="at.").keys() == {f"at.{key}" for key in plain.state_dict()}


def test_weights_that_say_nothing_of_a_size_load_strictly_and_leave_it(small) -> None:
    foreign = dict(build_network("small", seed=2).state_dict())
    plain = build_network("small")
    assert plain.load_state_dict(foreign, strict=True).missing_keys == []
    assert size_of(plain) == 256
    small.load_state_dict(foreign)
    assert size_of(small) == SIZE


def test_a_checkpoint_brings_the_size_and_training_on_replaces_it(small, tiny_set, tmp_path) -> None:
    path = tmp_path / "at-96.safetensors"
    save_weights(path, small, CheckpointInfo("small", SIZE, {}))
    assert size_of(path) == SIZE
    result = train(settings_for(tiny_set, steps=1, weights=path), Sgd)  # at 64 pixels
    assert size_of(result.network) == 64


def test_checkpoints_are_named_by_text_too(small, tmp_path) -> None:
    path = str(tmp_path / "new" / "at-96.safetensors")
    save_weights(path, small, CheckpointInfo("small", SIZE, {}))
    assert size_of(load_network(path, CPU)[0]) == SIZE
    with pytest.raises(CheckpointError, match="no such file"):
        load_network(f"{path}.none", CPU)


@pytest.fixture
def weights(small, tmp_path) -> Path:
    """A checkpoint of a network that was trained at SIZE."""
    path = tmp_path / "at-96.safetensors"
    save_weights(path, small, CheckpointInfo("small", SIZE, {}))
    return path


def test_fine_tuning_goes_on_at_the_size_of_the_weights(weights, tiny_set, tmp_path) -> None:
    settings = settings_for(tiny_set, steps=1, size=None, weights=weights)
    alone, named = (
        train(each, Sgd, out=tmp_path / name)
        for name, each in (("alone", settings), ("named", settings.model_copy(update={"size": SIZE})))
    )
    assert size_of(alone.network) == size_of(tmp_path / "alone" / LAST_FILE) == SIZE
    assert alone.metrics["loss"] == named.metrics["loss"], "the same input as at a size that is named"


def test_fine_tuning_is_gone_on_with_at_the_size_of_its_weights_or_not_at_all(weights, tiny_set, tmp_path) -> None:
    settings, out = settings_for(tiny_set, steps=2, size=None, checkpoint_every=1, weights=weights), tmp_path / "run"
    with pytest.raises(KilledError):
        train(settings, Sgd, out=out, on_metrics=killed_after(1))
    for changes in ({"weights": None}, {"size": 256}):
        with pytest.raises(CheckpointError, match="size"):
            train(settings.model_copy(update=changes), Sgd, out=out, resume=True)
    assert size_of(train(settings, Sgd, out=out, resume=True).network) == SIZE


@pytest.mark.parametrize("changes", [{}, AVERAGED], ids=["as trained", "averaged"])
def test_a_resumed_run_knows_its_size(tiny_set, tmp_path, changes) -> None:
    settings = settings_for(tiny_set, steps=2, checkpoint_every=1, **changes)
    with pytest.raises(KilledError):
        train(settings, Sgd, out=tmp_path, on_metrics=killed_after(1))
    assert size_of(train(settings, Sgd, out=tmp_path, resume=True).network) == 64
    assert size_of(train(settings, Sgd, out=tmp_path, resume=True).network) == 64, "of a run that had ended"


@pytest.mark.parametrize("network", [nn.Linear(2, 2), Wrapper(nn.Linear(2, 2)), 7])
def test_what_is_no_network_is_refused_in_words(network, tiny_set) -> None:
    with pytest.raises(SettingsError, match=f"network: is a {type(network).__name__}; give a PoseNetwork"):
        evaluate(network, tiny_set)
    with pytest.raises(SettingsError, match="a wrapper of one, or a checkpoint's file"):
        predict(network, [])
