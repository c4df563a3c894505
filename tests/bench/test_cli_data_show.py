"""`posebench data show`: one sample as a picture."""

import cv2
import numpy as np
import pytest

from bench.cli.actions import data_show
from tests.support.long_tests import long


def test_a_sample_is_drawn_and_named(posebench, tiny, hermetic):
    code, out, err = posebench("data", "show", tiny, "--index", 3, "--out", "sample.png", "--size", 64)
    assert (code, err) == (0, "")
    assert out.startswith("train 3: ")
    assert "augmented, seed 0, epoch 0" in out
    assert out.endswith("figure: sample.png\n")
    pixels = cv2.imread(str(hermetic / "sample.png"))
    assert pixels.shape[0] > 1000
    assert pixels.std() > 20
    assert [path.name for path in hermetic.iterdir()] == ["sample.png"]


def test_the_same_sample_is_the_same_picture_and_another_is_not(posebench, tiny, monkeypatch):
    """Told by what is drawn: equal arrays are equal pictures, see the kept figures."""
    calls, drawn = [], {}
    monkeypatch.setattr(data_show, "draw_sample", lambda *shown, **_how: calls.append(shown[:-1]))
    for name, options in {
        "a": (),
        "b": (),
        "epoch": ("--epoch", 1),
        "seed": ("--seed", 1),
        "plain": ("--no-augment",),
        "plain epoch": ("--no-augment", "--epoch", 1),
        "stride": ("--stride", 8),
    }.items():
        code, _, err = posebench("data", "show", tiny, "--index", 0, "--out", f"{name}.png", "--size", 64, *options)
        assert code == 0, err
        drawn[name] = calls.pop()
        assert len(drawn[name]) == 5 and not calls

    def same(one, other):
        return all(np.array_equal(*pair) for pair in zip(drawn[one], drawn[other], strict=True))

    assert same("a", "b")
    assert not any(same("a", name) for name in ("epoch", "seed", "plain", "stride"))
    assert same("plain", "plain epoch")


@pytest.mark.parametrize("index", [long(0), 8])
def test_real_samples_with_ignored_regions(posebench, coco_mini, hermetic, index):
    code, _, err = posebench(
        *("data", "show", coco_mini, "--index", index, "--labelled-only", "--out", f"{index}.png"),
        *("--network", "rtpose_vgg", "--no-augment"),
    )
    assert code == 0, err
    assert (hermetic / f"{index}.png").stat().st_size > 50_000


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["--index", "10", "--out", "x.png"], 2, "train has 10 images; give from 0 to 9"),
        (["--index", "-1", "--out", "x.png"], 2, "give from 0 to 9"),
        (["--index", "1", "--split", "val", "--out", "x.png"], 2, "val has 1 images; give from 0 to 0"),
        (["--index", "0", "--out", "x.jpg"], 2, "end its name with .png"),
        (["--index", "0", "--out", "there.png"], 2, "there.png: exists; it is not overwritten"),
        (["--index", "0", "--out", "no/x.png"], 2, "not a folder"),
        (["--index", "0", "--out", "x.png", "--size", "65"], 2, "small needs a multiple of 16"),
        (["--index", "0", "--out", "x.png", "--network", "smal"], 2, "Did you mean small?"),
        (["--index", "0", "--out", "x.png", "--network", "small", "--stride", "8"], 2, "give only one of --stride"),
        (["--index", "0", "--out", "x.png", "--stride", "7"], 2, "no multiple of the stride 7"),
        (["--index", "0", "--out", "x.png", "--split", "test"], 1, "no split `test`"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_a_mistake_is_refused_in_words(posebench, tiny, hermetic, arguments, code, words):
    (hermetic / "there.png").write_bytes(b"mine")
    found, out, err = posebench("data", "show", tiny, *arguments)
    assert (found, out) == (code, "")
    assert words in " ".join(err.split())
    assert (hermetic / "there.png").read_bytes() == b"mine"
    assert not (hermetic / "x.png").exists()
