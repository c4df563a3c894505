"""What stands where weights should is named for what it is, wherever weights are read, and never unpickled."""

import bz2
import gzip
import io
import json
import lzma
import os
import pickle
import struct
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
from posemodel.network.weight_file_problems import FETCH_AGAIN, HEAD_BYTES, STATE_DICT, weights_problem
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


UNPACK = "Unpack it, and give the file of weights in it."
BINARY = bytes(range(20))


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.bz2", bz2.compress(BINARY), f"is a bzip2 archive. {UNPACK}"),
        ("a.xz", lzma.compress(BINARY), f"is an xz archive. {UNPACK}"),
        ("a.7z", b"7z\xbc\xaf\x27\x1c" + BINARY, f"is a 7z archive. {UNPACK}"),
        ("a.rar", b"Rar!\x1a\x07" + BINARY, f"is a RAR archive. {UNPACK}"),
        ("a.zst", b"\x28\xb5\x2f\xfd" + BINARY, f"is a Zstandard archive. {UNPACK}"),
        ("a.tar", packed("w"), f"is a tar archive. {UNPACK}"),
        ("a.npy", b"\x93NUMPY\x01" + BINARY, f"is a NumPy array, not weights of PyTorch. {STATE_DICT}"),
        ("a.bin", b"\x1c\0\0\0TFL3" + BINARY, f"is a TFLite model, not weights of PyTorch. {STATE_DICT}"),
        ("a.ONNX", b"\x08\x07" + BINARY, f"is an ONNX model, not weights of PyTorch. {STATE_DICT}"),
        ("a.engine", pytorch(STATE), ""),
        ("a.bin", BINARY, ""),
        (
            "a.pt",
            zipped(**{f"{each}.npy": BINARY for each in "abcd"}),
            "is an archive of NumPy arrays, not weights of PyTorch. " + STATE_DICT,
        ),
        (
            "a.pt",
            zipped(**dict.fromkeys(("a.npy", "b", "c", "d"), BINARY)),
            f"is a zip archive (a.npy, b, c ...). {UNPACK}",
        ),
        ("a.pt", zipped(**{"m/constants.pkl": BINARY}), f"is a TorchScript program, no state dict. {STATE_DICT}"),
        ("a.pt", zipped(**{"m/code/a.py": BINARY}), f"is a TorchScript program, no state dict. {STATE_DICT}"),
    ],
)
def test_files_of_other_programs_are_told_apart(tmp_path: Path, name: str, content: bytes, said: str) -> None:
    (tmp_path / name).write_bytes(content)
    assert weights_problem(tmp_path / name) == said


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("<html><body>Hello", "is a web page: the server showed it instead of the file. Download the file itself."),
        ("{no JSON\nmore", f"is a text, beginning '{{no JSON': perhaps the error message of a server. {FETCH_AGAIN}"),
        (
            "<error>" + "x" * 99,
            f"is a text, beginning '<error>{'x' * 73}': perhaps the error message of a server. {FETCH_AGAIN}",
        ),
        ("one\ftwo\r\n\t", f"is a text, beginning 'one'. {STATE_DICT}"),
        ("y" * 99, f"is a text, beginning '{'y' * 80}'. {STATE_DICT}"),
        (" \n\t", f"is a text, beginning ''. {STATE_DICT}"),
        ("a bell\a", ""),
        *(
            (
                start + "\N{WAVING HAND SIGN}" * HEAD_BYTES,
                f"is a text, beginning '{start}{chr(0x1F44B) * (80 - len(start))}'. {STATE_DICT}",
            )
            for start in ("", "a", "ab", "abc")
        ),
    ],
    ids=["page", "word", "long word", "breaks", "long", "blank", "no text", "cut 0", "cut 1", "cut 2", "cut 3"],
)
def test_texts_are_shown_by_their_beginning(tmp_path: Path, text: str, said: str) -> None:
    """A character of several bytes that ends beyond what is read is one, wherever it is cut."""
    (tmp_path / "a.pth").write_text(text, newline="")
    assert weights_problem(tmp_path / "a.pth") == said


def test_three_files_of_a_folder_are_named_and_what_is_below_a_file_is_not_there(tmp_path: Path) -> None:
    for name in ("d.pt", "b.pth", "c.safetensors", "a.pth.tar", "a.txt"):
        (tmp_path / name).touch()
    assert weights_problem(tmp_path) == "is a folder. Give the file in it: a.pth.tar, b.pth, c.safetensors."
    assert weights_problem(tmp_path / "a.txt" / "b.pth") == "cannot be read (Not a directory)."


@pytest.mark.parametrize(
    ("header", "missing"),
    [
        ("{}", 0),
        ('{"__metadata__": {"data_offsets": [0, 9]}}', 0),
        ('{"a": {"data_offsets": [0, 7]}, "b": {"data_offsets": [7, 7]}}', 7),
        ('{"b": {"data_offsets": [7, 9]}, "a": {"data_offsets": [0, 7]}}', 9),
        *((each, 0) for each in ("{no JSON", '{"a": 1}', '{"a": {}}', '{"a": {"data_offsets": [0]}}')),
        *((f'{{"a": {{"data_offsets": [0, {end}]}}}}', 0) for end in ("Infinity", "null", '"x"')),
    ],
)
def test_a_safetensors_file_ends_where_its_header_says(tmp_path: Path, header: str, missing: int) -> None:
    """One whose header nobody understands is for the library to refuse."""
    content = struct.pack("<Q", len(header)) + header.encode()
    (tmp_path / "a").write_bytes(content)
    whole = len(content) + missing
    cut = f"is cut off: it has {len(content):,} of {whole:,} bytes. {FETCH_AGAIN}"
    assert weights_problem(tmp_path / "a") == (cut if missing else "")
    (tmp_path / "a").write_bytes(content + bytes(missing))
    assert weights_problem(tmp_path / "a") == ""


@pytest.mark.parametrize(
    ("length", "said"), [(100_000_000, "is cut off: it has 9 of 100,000,008 bytes."), (100_000_001, "")]
)
def test_a_header_is_at_most_as_long_as_the_library_allows(tmp_path: Path, length: int, said: str) -> None:
    (tmp_path / "a").write_bytes(struct.pack("<Q", length) + b"{")
    assert weights_problem(tmp_path / "a") == (f"{said} {FETCH_AGAIN}" if said else "")


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
