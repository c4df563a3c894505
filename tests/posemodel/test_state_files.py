"""State dicts as other programs leave them: containers, prefixes, and what is refused unread."""

import argparse
import os
import pickle
from collections import Counter, OrderedDict
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from posemodel.errors import CheckpointError
from posemodel.network.state_files import read_state

STATE = {"0.weight": torch.arange(6.0).view(2, 3), "tail.bias": torch.ones(2)}


def prefixed(prefix: str) -> dict[str, torch.Tensor]:
    return {prefix + key: value for key, value in STATE.items()}


@pytest.mark.parametrize(
    ("content", "prefix"),
    [
        (STATE, ""),
        (OrderedDict(STATE), ""),
        (prefixed("module."), "module."),
        ({"state_dict": STATE}, ""),
        ({"model": STATE, "epoch": 3}, ""),
        ({"state_dict": prefixed("model.")}, "model."),
        ({"state_dict": prefixed("model.module.")}, "model.module."),
        ({"state_dict": {"model": prefixed("module.model.")}}, "module.model."),
        ({"model": {"state_dict": STATE, "args": None}, "optimizer": {}}, ""),
    ],
    ids=str,
)
def test_containers_and_prefixes(tmp_path: Path, content: object, prefix: str) -> None:
    torch.save(content, tmp_path / "a.pth")
    found = read_state(tmp_path / "a.pth")
    assert list(found.tensors) == list(STATE)
    assert all(torch.equal(found.tensors[key], STATE[key]) for key in STATE)
    assert found.prefix == prefix
    assert found.original_key("0.weight") == prefix + "0.weight"


def test_a_prefix_that_only_some_keys_have_is_part_of_them(tmp_path: Path) -> None:
    torch.save({"model.0.weight": torch.zeros(1), "cpm.weight": torch.zeros(1)}, tmp_path / "a.pth")
    assert list(read_state(tmp_path / "a.pth").tensors) == ["model.0.weight", "cpm.weight"]


@pytest.mark.parametrize("zipped", [True, False])
def test_a_whole_training_state_in_either_format_of_pytorch(tmp_path: Path, zipped: bool) -> None:
    layer = nn.Linear(3, 2)
    optimizer = torch.optim.Adam(layer.parameters())
    layer(torch.ones(1, 3)).sum().backward()
    optimizer.step()
    state = {"state_dict": layer.state_dict(), "optimizer": optimizer.state_dict()}
    state |= {"scheduler": {"milestones": Counter([100, 200])}, "iter": 370_000}
    torch.save(state, tmp_path / "a.pth.tar", _use_new_zipfile_serialization=zipped)
    assert torch.equal(read_state(tmp_path / "a.pth.tar").tensors["weight"], layer.weight)


def test_safetensors_whatever_the_name(tmp_path: Path) -> None:
    save_file(prefixed("module."), tmp_path / "a.pth")
    found = read_state(tmp_path / "a.pth")
    assert found.prefix == "module."
    assert torch.equal(found.tensors["0.weight"], STATE["0.weight"])


class Trap:
    """Unpickled, it makes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("how", ["zip", "legacy", "pickle"])
def test_a_file_that_would_run_code_is_refused_unrun(tmp_path: Path, how: str) -> None:
    content = {"state_dict": STATE, "extra": Trap(tmp_path / "trapped")}
    if how == "pickle":
        (tmp_path / "a.pth").write_bytes(pickle.dumps(content["extra"]))
    else:
        torch.save(content, tmp_path / "a.pth", _use_new_zipfile_serialization=how == "zip")
    with pytest.raises(CheckpointError, match=r"a\.pth: is a pickle of more than tensors.*runs code.*state_dict"):
        read_state(tmp_path / "a.pth")
    assert not (tmp_path / "trapped").exists()


def test_what_the_pickle_asks_for_is_named(tmp_path: Path) -> None:
    torch.save({"state_dict": STATE, "args": argparse.Namespace(lr=1)}, tmp_path / "a.pth")
    with pytest.raises(CheckpointError, match=r"\(argparse\.Namespace\)"):
        read_state(tmp_path / "a.pth")
    torch.save(nn.Linear(2, 2), tmp_path / "b.pth")
    with pytest.raises(CheckpointError, match=r"\(torch\.nn\.modules\.linear\.Linear\)"):
        read_state(tmp_path / "b.pth")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "no such file"),
        (b"", "is empty"),
        (b"PK\x03\x04 half a zip", "is cut off: the end of its archive is missing"),
        (b"\x00\x01\x02\x03", "cannot be read \\(.*\\): it is no state dict"),
        (b"not a state dict", "is a text, beginning 'not a state dict'"),
        (b"\x10\x00\x00\x00\x00\x00\x00\x00{", "is cut off: it has 9 of 24 bytes"),
    ],
)
def test_unreadable_files(tmp_path: Path, content: bytes | None, said: str) -> None:
    if content is not None:
        (tmp_path / "a.pth").write_bytes(content)
    with pytest.raises(CheckpointError, match=rf"a\.pth: {said}"):
        read_state(tmp_path / "a.pth")


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="is a folder"):
        read_state(tmp_path)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ([1, 2], "holds a list, no state dict"),
        (torch.ones(2), "holds a Tensor, no state dict"),
        ({}, "holds an empty state dict"),
        ({"state_dict": {}}, "holds an empty state dict"),
        ({"epoch": 3, "weights": [torch.ones(1)]}, "entry 'epoch' is a int, not a tensor"),
        ({0: torch.ones(1)}, "entry 0 is a Tensor"),
    ],
    ids=str,
)
def test_contents_that_are_no_state_dict(tmp_path: Path, content: object, said: str) -> None:
    torch.save(content, tmp_path / "a.pth")
    with pytest.raises(CheckpointError, match=said):
        read_state(tmp_path / "a.pth")
