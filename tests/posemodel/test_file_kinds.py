"""What stands where weights should is named for what it is, wherever weights are read, and never unpickled."""

import gzip
import io
import json
import os
import pickle
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save
from torch import nn

from posemodel.errors import CheckpointError
from posemodel.network import build_network
from posemodel.network.state_files import read_state
from posemodel.network.weight_file_problems import weights_problem
from posemodel.network.weights import CheckpointInfo, load_network, save_weights

CPU = torch.device("cpu")
STATE = {"0.weight": torch.ones(4, 3), "0.bias": torch.zeros(4)}
HTML = "<!DOCTYPE html><html><head><title>Drive - Virus scan warning</title></head><body>Too large</body></html>"
LFS = "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 87959810\n"


def pytorch(content: object, *, zipped: bool = True) -> bytes:
    buffer = io.BytesIO()
    torch.save(content, buffer, _use_new_zipfile_serialization=zipped)
    return buffer.getvalue()


def packed(mode: str) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=mode) as archive:
        archive.addfile(tarfile.TarInfo("model.pth"))
    return buffer.getvalue()


def zipped(**files: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def numpy_archive() -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, weight=np.ones(3))
    return buffer.getvalue()


def scripted() -> bytes:
    buffer = io.BytesIO()
    torch.jit.save(torch.jit.trace(nn.Linear(2, 2), torch.ones(1, 2)), buffer)
    return buffer.getvalue()


NEITHER = {
    "empty": (b"", "is empty. Fetch it again"),
    "page": (HTML.encode(), "is a web page ('Drive - Virus scan warning')"),
    "page with a mark": (b"\xef\xbb\xbf\n" + HTML.lower().encode(), "is a web page"),
    "Git LFS": (LFS.encode(), "is a pointer of Git LFS: the weights themselves were not fetched. Run `git lfs pull`"),
    "git-annex": (b"/annex/objects/SHA256E-s87959810--4d7a.pth\n", "is a pointer of git-annex"),
    "a server's word": (
        b'<?xml version="1.0"?><Error><Code>AccessDenied</Code></Error>',
        "is a text, beginning '<?xml",
    ),
    "JSON": (json.dumps({"message": "Not Found"}).encode(), 'is a text, beginning \'{"message": "Not Found"}\''),
    "words": ("Über".encode() * 3000, "is a text, beginning 'Über"),
    "gzip": (gzip.compress(b"weights" * 100), "is a gzip archive. Unpack it"),
    "tar": (packed("w"), "is a tar archive. Unpack it"),
    "zip": (zipped(**{"model/weights.pth": b"x"}), "is a zip archive (model/weights.pth ...). Unpack it"),
    "NumPy": (numpy_archive(), "is an archive of NumPy arrays"),
    "Keras": (b"\x89HDF\r\n\x1a\n" + bytes(100), "is an HDF5 file, as Keras writes them"),
    "TorchScript": (scripted(), "is a TorchScript program, no state dict"),
    "cut zip": (pytorch(STATE)[:-200], "is cut off: the end of its archive is missing"),
    "cut safetensors": (save(STATE)[:-7], "is cut off: it has"),
    "cut header": (save(STATE)[:40], "is cut off: it has 40 of"),
}


def as_state(path: Path) -> object:
    return read_state(path)


def as_checkpoint(path: Path) -> object:
    return load_network(path, CPU)


@pytest.mark.parametrize("read", [as_state, as_checkpoint])
@pytest.mark.parametrize(("content", "said"), NEITHER.values(), ids=NEITHER.keys())
def test_it_is_named(tmp_path: Path, read: Callable[[Path], object], content: bytes, said: str) -> None:
    (tmp_path / "a.pth").write_bytes(content)
    with pytest.raises(CheckpointError) as caught:
        read(tmp_path / "a.pth")
    assert str(caught.value).startswith(f"{tmp_path / 'a.pth'}: {said}")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("read", [as_state, as_checkpoint])
def test_folders_and_files_that_are_not_there(tmp_path: Path, read: Callable[[Path], object]) -> None:
    with pytest.raises(CheckpointError, match=r"gone\.pth: no such file"):
        read(tmp_path / "gone.pth")
    with pytest.raises(CheckpointError, match=r"is a folder\. Give the file in it: there are no weights there"):
        read(tmp_path)
    (tmp_path / "best.safetensors").write_bytes(save(STATE))
    with pytest.raises(CheckpointError, match=r"is a folder. Give the file in it: best\.safetensors\."):
        read(tmp_path)


@pytest.mark.parametrize("zipped", [True, False])
def test_a_pytorch_file_is_no_checkpoint_and_its_code_does_not_run(tmp_path: Path, *, zipped: bool) -> None:
    class Trap:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return os.mkdir, (str(tmp_path / "trapped"),)

    for content in (STATE, {"net": Trap()}, nn.Sequential(nn.Linear(2, 2))):
        (tmp_path / "a.pth").write_bytes(pytorch(content, zipped=zipped))
        with pytest.raises(CheckpointError, match=r"is a PyTorch file, no checkpoint of posebench\. .*weights import"):
            load_network(tmp_path / "a.pth", CPU)
    (tmp_path / "b.pth").write_bytes(pickle.dumps(Trap()))
    with pytest.raises(CheckpointError):
        load_network(tmp_path / "b.pth", CPU)
    assert not (tmp_path / "trapped").exists()


def test_safetensors_of_another_program_are_told_how_to_become_a_checkpoint(tmp_path: Path) -> None:
    (tmp_path / "a.safetensors").write_bytes(save(STATE))
    with pytest.raises(CheckpointError, match=rf"posebench weights import {tmp_path}/a\.safetensors --format"):
        load_network(tmp_path / "a.safetensors", CPU)


@pytest.mark.parametrize("container", ["state_dict", "model_state_dict", "model", "net", "network", "model_state"])
def test_containers_that_training_programs_write(tmp_path: Path, container: str) -> None:
    (tmp_path / "a.pth").write_bytes(pytorch({"epoch": 3, container: STATE}))
    assert torch.equal(read_state(tmp_path / "a.pth").tensors["0.weight"], STATE["0.weight"])


def test_the_prefix_of_a_compiled_network(tmp_path: Path) -> None:
    (tmp_path / "a.pth").write_bytes(pytorch({f"_orig_mod.module.{key}": value for key, value in STATE.items()}))
    assert set(read_state(tmp_path / "a.pth").tensors) == set(STATE)


def test_whole_files_of_every_kind_are_not_refused(tmp_path: Path) -> None:
    save_weights(tmp_path / "own.safetensors", build_network("small"), CheckpointInfo("small", 64, {}))
    for name, content in (("zip", pytorch(STATE)), ("old", pytorch(STATE, zipped=False)), ("safe", save(STATE))):
        (tmp_path / name).write_bytes(content)
    assert [weights_problem(path) for path in sorted(tmp_path.iterdir())] == [""] * 4
    load_network(tmp_path / "own.safetensors", CPU)


WHOLE = {"zip": pytorch(STATE), "old": pytorch(STATE, zipped=False), "safe": save(STATE)}


@settings(deadline=None)
@given(st.sampled_from(list(WHOLE)), st.floats(0, 1, exclude_max=True))
def test_a_file_cut_anywhere_is_a_checkpoint_error(
    tmp_path_factory: pytest.TempPathFactory, kind: str, share: float
) -> None:
    path = tmp_path_factory.mktemp("cut") / "a.pth"
    path.write_bytes(WHOLE[kind][: int(share * len(WHOLE[kind]))])
    with pytest.raises(CheckpointError):
        read_state(path)
    with pytest.raises(CheckpointError):
        load_network(path, CPU)


@given(st.binary(max_size=3000))
def test_any_bytes_are_a_checkpoint_error(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    path = tmp_path_factory.mktemp("any") / "a.pth"
    path.write_bytes(content)
    for read in (as_state, as_checkpoint):
        with pytest.raises(CheckpointError):
            read(path)


def test_a_header_of_any_length_is_a_header(tmp_path: Path) -> None:
    """The file begins with that length: one whose first byte is 128 begins as a pickle does."""
    file, first_bytes = tmp_path / "w.safetensors", set()
    for filling in range(0, 256, 8):
        file.write_bytes(save(STATE, metadata={"filling": "x" * filling}))
        first_bytes.add(file.read_bytes()[0])
        assert weights_problem(file) == ""
        assert set(read_state(file).tensors) == set(STATE)
    assert first_bytes == set(range(0, 256, 8))
