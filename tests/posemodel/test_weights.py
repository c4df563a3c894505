import json
import os
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from posemodel.errors import CheckpointError
from posemodel.network import build_network
from posemodel.network.input_format import IMAGENET, InputFormat
from posemodel.network.weights import CheckpointInfo, load_network, save_weights
from posemodel.skeleton import COCO_PERSON
from tests.support.long_tests import long

CPU = torch.device("cpu")
INFO = CheckpointInfo("small", 96, {"seed": 3, "augment": {"flip": 0.5}})


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    save_weights(tmp_path / "runs" / "last.safetensors", build_network("small", seed=1), INFO)
    return tmp_path / "runs" / "last.safetensors"


def document(**changes: object) -> dict[str, str]:
    return {"posebench": json.dumps({"network": "small", "size": 96, "training": {}} | changes)}


def test_a_round_trip_gives_equal_outputs_and_its_record(tmp_path: Path) -> None:
    network = build_network("small", seed=1).train()
    pixels = torch.randint(0, 256, (2, 3, 64, 64), dtype=torch.uint8)
    network(pixels)  # moves the batch-norm statistics, which belong to the weights
    save_weights(tmp_path / "a.safetensors", network, INFO)
    loaded, info = load_network(tmp_path / "a.safetensors", CPU)
    assert info == INFO
    assert not loaded.training
    network.to(memory_format=torch.channels_last).eval()
    with torch.inference_mode():
        for ours, theirs in zip(network(pixels), loaded(pixels), strict=True):
            assert torch.equal(ours.heatmaps, theirs.heatmaps)
            assert torch.equal(ours.pafs, theirs.pafs)


@pytest.mark.parametrize("name", ["small", long("openpose_2019"), "lightweight_2"])
def test_a_network_comes_back_with_its_input_format(tmp_path: Path, name: str) -> None:
    network = build_network(name, seed=1)
    network.input_format = InputFormat("own", "BGR", (1.0, 2.0, 3.0), (10.0, 20.0, 40.0))
    save_weights(tmp_path / "a.safetensors", network, CheckpointInfo(name, 368, {}))
    loaded, info = load_network(tmp_path / "a.safetensors", CPU)
    assert type(loaded) is type(network) and info.network == name
    assert loaded.input_format == network.input_format
    ours, theirs = network.state_dict(), loaded.state_dict()
    assert list(ours) == list(theirs) and all(torch.equal(ours[key], theirs[key]) for key in ours)
    black = torch.zeros(1, 3, 32, 32, dtype=torch.uint8)
    assert loaded.normalize(black)[0, :, 0, 0].tolist() == pytest.approx([-0.1, -0.1, -0.075])


def test_an_older_checkpoint_is_rgb_with_imagenets_statistics_and_of_our_skeleton(tmp_path: Path) -> None:
    state = {key: value.contiguous() for key, value in build_network("small", seed=1).state_dict().items()}
    older = document(stride=4, input="RGB, ImageNet statistics", parts=list(COCO_PERSON.parts))
    save_file(state, tmp_path / "a.safetensors", metadata=older)
    assert load_network(tmp_path / "a.safetensors", CPU)[0].input_format == IMAGENET


@pytest.mark.parametrize(
    "change",
    [
        {"input_format": None},
        {"input_format": "imagenet"},
        {"input_format": {"name": "x", "channels": "RGB", "mean": [0, 0, 0]}},
        {"input_format": {"name": "x", "channels": "GBR", "mean": [0, 0, 0], "std": [1, 1, 1]}},
        {"input_format": {"name": "x", "channels": "RGB", "mean": [0, 0], "std": [1, 1, 1]}},
        {"input_format": {"name": "x", "channels": "RGB", "mean": [0, 0, "0"], "std": [1, 1, 1]}},
        {"input_format": {"name": "x", "channels": "RGB", "mean": [0, 0, 0], "std": [1, 0, 1]}},
        {"input_format": {"name": "x", "channels": "RGB", "mean": [0, 0, 0], "std": [1, float("nan"), 1]}},
    ],
)
def test_an_input_format_that_cannot_be(tmp_path: Path, change: dict[str, object]) -> None:
    save_file({"weight": torch.zeros(3)}, tmp_path / "a.safetensors", metadata=document(**change))
    with pytest.raises(CheckpointError, match=r"a\.safetensors: its posebench metadata cannot be read \(ValueError"):
        load_network(tmp_path / "a.safetensors", CPU)


@pytest.mark.parametrize("field", ["parts", "limbs"])
def test_another_skeleton_is_refused(tmp_path: Path, field: str) -> None:
    other = [*(COCO_PERSON.parts if field == "parts" else COCO_PERSON.limbs)][::-1]
    state = {key: value.contiguous() for key, value in build_network("small", seed=1).state_dict().items()}
    save_file(state, tmp_path / "a.safetensors", metadata=document(**{field: other}))
    with pytest.raises(CheckpointError, match=rf"a\.safetensors: its {field} are .* this version's are"):
        load_network(tmp_path / "a.safetensors", CPU)


def test_channels_last_weights_are_saved_by_value(tmp_path: Path, saved: Path) -> None:
    other = tmp_path / "channels_last.safetensors"
    save_weights(other, build_network("small", seed=1).to(memory_format=torch.channels_last), INFO)
    first, second = (load_network(path, CPU)[0].state_dict() for path in (saved, other))
    assert all(torch.equal(first[key], second[key]) for key in first)


def test_nothing_but_the_checkpoint_is_left(saved: Path) -> None:
    assert [path.name for path in saved.parent.iterdir()] == ["last.safetensors"]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "no such file"),
        (b"", "is empty"),
        (b"\x00" * 40, "cannot be read as a safetensors checkpoint"),
        (b"PK\x03\x04 a pickled model", "is cut off"),
    ],
)
def test_files_that_are_no_checkpoint(tmp_path: Path, content: bytes | None, said: str) -> None:
    path = tmp_path / "model.safetensors"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(CheckpointError, match=said) as caught:
        load_network(path, CPU)
    assert str(path) in str(caught.value)


def test_a_foreign_safetensors_file(tmp_path: Path) -> None:
    save_file({"weight": torch.zeros(3)}, tmp_path / "foreign.safetensors")
    with pytest.raises(CheckpointError, match="has no posebench metadata"):
        load_network(tmp_path / "foreign.safetensors", CPU)


@pytest.mark.parametrize("metadata", ["{", "[]", "{}", '{"network": "small"}', '{"network": ["small"]}'])
def test_metadata_that_is_not_ours(tmp_path: Path, metadata: str) -> None:
    state = {k: v.contiguous() for k, v in build_network("small", seed=1).state_dict().items()}
    save_file(state, tmp_path / "a.safetensors", metadata={"posebench": metadata})
    with pytest.raises(CheckpointError, match=r"a\.safetensors"):
        load_network(tmp_path / "a.safetensors", CPU)


def test_a_network_of_another_version(tmp_path: Path) -> None:
    save_file({"weight": torch.zeros(3)}, tmp_path / "a.safetensors", metadata=document(network="hourglass"))
    with pytest.raises(CheckpointError, match="hourglass"):
        load_network(tmp_path / "a.safetensors", CPU)


def test_missing_misshapen_and_surplus_entries_are_named(tmp_path: Path) -> None:
    state = build_network("small", seed=1).state_dict()
    path = tmp_path / "a.safetensors"

    save_file({k: v for k, v in state.items() if k != "first.bias"}, path, metadata=document())
    with pytest.raises(CheckpointError, match=r"first\.bias is missing"):
        load_network(path, CPU)
    save_file(state | {"first.bias": torch.zeros(7)}, path, metadata=document())
    with pytest.raises(CheckpointError, match=r"first\.bias is \(7,\), small needs \(228,\)"):
        load_network(path, CPU)
    save_file(state | {"another.weight": torch.zeros(7)}, path, metadata=document())
    with pytest.raises(CheckpointError, match=r"another\.weight"):
        load_network(path, CPU)


@pytest.mark.skipif(os.name != "posix", reason="modes are POSIX's")
def test_others_may_read_it_as_the_umask_says(saved: Path) -> None:
    umask = os.umask(0)
    os.umask(umask)
    assert saved.stat().st_mode & 0o777 == 0o666 & ~umask
