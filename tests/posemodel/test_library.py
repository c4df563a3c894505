"""`posemodel` as a library: its names, its lightness, and `predict` and `evaluate` on networks and checkpoints."""

import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

import posemodel
from posemodel import (
    CheckpointError,
    CheckpointInfo,
    DataError,
    LoaderSettings,
    SettingsError,
    build_network,
    evaluate,
    iter_predictions,
    open_split,
    predict,
    save_weights,
)
from posemodel.config import InputSettings
from posemodel.scoring.evaluation import predict_split

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def network():
    """The small network with lively weights: initial ones give nearly empty maps, and nobody."""
    built = build_network("small", seed=3)
    with torch.no_grad():
        for head in (built.first, built.second[-1]):
            head.weight.normal_(std=0.2, generator=torch.Generator().manual_seed(1))
    return built


@pytest.fixture
def checkpoint(network, tmp_path):
    path = tmp_path / "lively.safetensors"
    save_weights(path, network, CheckpointInfo("small", 96, {}))
    return path


@pytest.fixture(scope="module")
def files(tiny_set: Path):
    return sorted((tiny_set / "images" / "train2017").glob("*.jpg"))


def assert_equal(found, expected, atol=1e-3):
    assert len(found) == len(expected)
    for one, two in zip(found, expected, strict=True):
        np.testing.assert_allclose(one.people, two.people, atol=atol)
        np.testing.assert_allclose(one.scores, two.scores, atol=atol)


# --- names ----------------------------------------------------------------------------------------------------------


def test_every_public_name_is_there_and_is_its_module_s() -> None:
    assert sorted(set(posemodel.__all__)) == sorted(posemodel.__all__)
    for name in posemodel.__all__:
        assert getattr(posemodel, name) is getattr(import_module(f"posemodel.{posemodel._MODULE_OF[name]}"), name)
    assert set(posemodel._MODULE_OF) == set(posemodel.__all__)
    assert set(posemodel.__all__) <= set(dir(posemodel))
    with pytest.raises(AttributeError, match="no attribute 'predictt'"):
        posemodel.predictt  # noqa: B018


def test_no_public_name_is_also_a_submodule_s() -> None:
    """`from posemodel import x` would give one or the other, by what was imported before."""
    package = Path(posemodel.__file__).parent
    modules = {path.stem for path in package.glob("*.py")} | {path.name for path in package.iterdir() if path.is_dir()}
    assert modules.isdisjoint(posemodel.__all__)


def test_the_package_itself_imports_nothing_heavy() -> None:
    code = "import posemodel, sys, json; print(json.dumps([*sys.modules]))"
    listed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert {"torch", "numpy", "cv2", "pydantic"}.isdisjoint(json.loads(listed.stdout))


def test_both_packages_say_that_they_are_typed() -> None:
    for name in ("posemodel", "bench"):
        assert (Path(import_module(name).__file__).parent / "py.typed").is_file()


# --- predict --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("options", [{}, {"flip": True, "scales": (1.0, 0.5)}], ids=str)
def test_files_are_predicted_as_a_split_of_them_is(network, tiny_set, files, options) -> None:
    from posemodel.inference.averaging import Averaging

    split = open_split(tiny_set, "train").subset(range(5))
    geometry, loader = InputSettings(size=96, stride=4), LoaderSettings(batch_size=3)
    scorer = predict_split(network, split, geometry, CPU, loader, averaging=Averaging(**options))
    found = predict(network, files[:5], size=96, batch_size=3, **options)
    people = np.concatenate([each.people for each in found])
    assert len(people) == len(scorer.results) > 8
    expected = np.array([result["keypoints"] for result in scorer.results]).reshape(-1, 17, 3)
    np.testing.assert_allclose(posemodel.data.open_split.people_to_coco(people), expected, atol=2e-3)


def test_a_batch_of_any_size_finds_the_same_in_order(network, files) -> None:
    files = files[:7]
    expected = predict(network, files, size=64, batch_size=1)
    assert len({len(each.people) for each in expected}) > 1
    for batch_size in (3, 100):
        assert_equal(predict(network, files, size=64, batch_size=batch_size), expected)


def test_arrays_are_rgb_and_found_as_their_files_are(network, files) -> None:
    files = files[:4]
    pixels = [cv2.imread(str(file))[..., ::-1] for file in files]
    found = predict(network, pixels, size=96)
    assert_equal(found, predict(network, [str(file) for file in files], size=96))
    swapped = predict(network, [np.ascontiguousarray(each[..., ::-1]) for each in pixels], size=96)
    assert any(len(a.people) != len(b.people) for a, b in zip(swapped, found, strict=True))


def test_a_checkpoint_brings_its_size(network, checkpoint, files) -> None:
    assert_equal(predict(checkpoint, files[:2], device="cpu"), predict(network, files[:2], size=96))
    assert_equal(predict(str(checkpoint), files[:2], size=64, device="cpu"), predict(network, files[:2], size=64))


def test_the_network_s_mode_is_put_back(network, files, tiny_set) -> None:
    network.train()
    for batch in (files[:3], [files[0], "nowhere.jpg"]):
        stream = iter_predictions(network, batch, size=64, batch_size=1)
        next(stream)
        assert network.training, "between two pictures, too"
        list(stream)
        assert network.training
    evaluate(network, tiny_set, size=64)
    assert network.training


def test_a_picture_that_cannot_be_read_stops_predict_and_not_the_iterator(network, files, tmp_path) -> None:
    (tmp_path / "torn.jpg").write_bytes(files[0].read_bytes()[:-40])
    images = [files[0], tmp_path / "torn.jpg", files[1], np.zeros((4, 4), np.uint8), files[2], tmp_path / "gone.png"]
    with pytest.raises(DataError, match=r"torn\.jpg: the image is truncated"):
        predict(network, images, size=64, batch_size=2)
    found = list(iter_predictions(network, images, size=64, batch_size=2))
    faults = {place: str(each) for place, each in enumerate(found) if isinstance(each, DataError)}
    assert sorted(faults) == [1, 3, 5]
    assert "truncated" in faults[1]
    assert faults[3].startswith("image 3: must be RGB")
    assert "gone.png: no such file" in faults[5]
    assert_equal([found[place] for place in (0, 2, 4)], predict(network, files[:3], size=64))


@pytest.mark.parametrize(("cores", "readers"), [(1, 1), (3, 3), (64, 4), (None, 1)])
def test_there_are_at_most_as_many_readers_as_cores_and_four(network, files, monkeypatch, cores, readers) -> None:
    prediction, pools = import_module("posemodel.inference.prediction"), []

    class Pool(ThreadPoolExecutor):
        def __init__(self, workers: int, thread_name_prefix: str) -> None:
            pools.append((thread_name_prefix, workers))
            super().__init__(workers, thread_name_prefix)

    monkeypatch.setattr(prediction, "ThreadPoolExecutor", Pool)
    monkeypatch.setattr(prediction.os, "cpu_count", lambda: cores)
    assert len(predict(network, files[:1], size=64)) == 1
    assert pools == [("read", readers), ("decode", 1)]


def test_no_pictures_and_only_unreadable_ones(network) -> None:
    assert predict(network, []) == []
    found = list(iter_predictions(network, ["a.jpg", "b.jpg", "c.jpg"], batch_size=1))
    assert [type(each) for each in found] == [DataError] * 3


def test_pictures_may_come_without_end(network, files) -> None:
    def endless():
        while True:
            yield files[0]

    stream = iter_predictions(network, endless(), size=64, batch_size=2)
    first = [next(stream) for _ in range(5)]
    stream.close()
    assert_equal(first, predict(network, [files[0]] * 5, size=64))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"size": 100}, "multiple of 16"),
        ({"size": 16}, "at least 32"),
        ({"scales": (1.0, 1.0)}, "once"),
        ({"scales": ()}, "scales"),
        ({"device": "tpu"}, "device"),
    ],
    ids=str,
)
def test_settings_that_cannot_be_are_refused_in_words(network, files, options, words) -> None:
    with pytest.raises(SettingsError, match=words):
        predict(network, files, **options)


def test_a_file_that_is_no_checkpoint(files) -> None:
    with pytest.raises(CheckpointError, match="safetensors"):
        predict(files[0], files)


# --- evaluate -------------------------------------------------------------------------------------------------------


def test_evaluate_scores_a_network_and_its_checkpoint_alike(network, checkpoint, tiny_set) -> None:
    scores = evaluate(network, tiny_set, split="val", size=96)
    assert scores == evaluate(checkpoint, str(tiny_set), split="val", device="cpu")
    assert (scores.images, scores.people) == (3, 4)
    assert scores.ap is not None


def test_evaluate_says_what_is_wrong(network, tmp_path, tiny_set) -> None:
    with pytest.raises(DataError, match="no such folder"):
        evaluate(network, tmp_path / "nowhere")
    with pytest.raises(DataError, match="no split `test`"):
        evaluate(network, tiny_set, split="test", size=64)


@pytest.mark.parametrize("batch_size", [0, -1])
def test_a_batch_without_pictures_is_refused(network, files, batch_size) -> None:
    with pytest.raises(SettingsError, match="batch_size: must be at least 1"):
        predict(network, files, size=64, batch_size=batch_size)


def test_a_single_name_is_no_list_of_pictures(network) -> None:
    with pytest.raises(SettingsError, match=r"must be a list of pictures; give \['holiday.jpg'\]"):
        predict(network, "holiday.jpg", size=64)
