"""The comparison of opening annotations with json.load: what it is measured on, in which order, and what it says."""

import json
from pathlib import Path

import numpy as np
import pytest

from bench.measure.loader import fork_server
from bench.speed import index
from posemodel.data.annotations.problems import annotation_problems
from posemodel.data.open_split import SMALLEST_CACHED, open_split

IMAGES, PEOPLE = 500, 400


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("index")
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(index, "SCENES", 12)
        index.write_annotations(folder, images=IMAGES, people=PEOPLE)
    return folder


@pytest.fixture
def in_this_process(monkeypatch):
    """The functions that would each be run in a process of their own, in order."""
    ran = []

    def run(function, *arguments):
        ran.append(function.__name__)
        return function(*arguments)

    monkeypatch.setattr(index, "_in_new_process", run)
    monkeypatch.setattr(index, "SCENES", 12)
    return ran


def test_the_annotations_are_sound_and_as_many_as_asked_for(root):
    (file,) = (root / "annotations").iterdir()
    assert file.stat().st_size > SMALLEST_CACHED
    document = json.loads(file.read_text())
    assert annotation_problems(document, file) == []
    assert len(document["images"]) == IMAGES
    labelled = [a for a in document["annotations"] if a["num_keypoints"]]
    assert PEOPLE <= len(labelled) < PEOPLE + 6, "the last image may hold some more"
    places = [tuple(a["bbox"]) for a in labelled]
    assert len(set(places)) > len(places) // 2, "people are moved about"
    assert sum(isinstance(a["segmentation"], list) for a in document["annotations"]) > PEOPLE


def test_a_moved_person_is_the_same_elsewhere():
    polygon = [1.5, 2, 5, 2, 5, 8.5]
    person = {"keypoints": [1, 2, 2, 0, 0, 0, 3.5, 4, 1], "bbox": [1, 2, 4, 6], "segmentation": [polygon], "area": 12}
    moved = index._moved(person, 10, 20)
    assert moved["keypoints"] == [11, 22, 2, 0, 0, 0, 13.5, 24, 1]
    assert moved["bbox"] == [11, 22, 4, 6]
    assert moved["segmentation"] == [[11.5, 22, 15, 22, 15, 28.5]]
    assert moved["area"] == 12
    assert person["bbox"] == [1, 2, 4, 6]


def test_first_without_a_cache_then_with_it_beside_json_load(in_this_process, monkeypatch):
    workers = {"fork": 1.0, "spawn": None}
    monkeypatch.setattr(index, "_worker_pss", lambda root, few, cache, way: workers[way])
    monkeypatch.setattr(index, "_load_seconds", lambda file: 2.0)
    seconds = []

    def open_seconds(root, cache):
        seconds.append(3.0 if not cache.exists() else 0.5)
        with index._cache_at(cache):
            assert open_split(root, "train", look_at_images=False).mapped_from is not None
        return seconds[-1]

    monkeypatch.setattr(index, "_open_seconds", open_seconds)
    first, cached = index.measure(images=IMAGES, people=PEOPLE, repeats=3)
    assert seconds == [3.0, 0.5] * 3
    assert (first.name, first.ratio, first.max_ratio, first.repeats) == ("index first", 1.5, 1.3, 3)
    assert (cached.name, cached.ratio, cached.max_ratio) == ("index cached", 0.25, None)
    rows = [row.as_row() for row in (first, cached)]
    assert json.loads(json.dumps(rows, allow_nan=False)) == rows
    for row in rows:
        assert row["images"] == IMAGES
        assert row["annotations"] > PEOPLE
        assert row["file_mb"] > 1
        assert {"resident_mb", "resident_read_mb"} <= set(row)
    assert rows[1]["seconds"] == 0.5
    assert rows[1]["asked_seconds"] == 1.0
    assert rows[1]["worker_pss_mb"] == workers
    assert in_this_process.count("_memory") == 2


def test_times_are_of_a_process_of_its_own(root, tmp_path, monkeypatch):
    """Forked from a process with its libraries: a spawned one imports them for seconds."""
    monkeypatch.setattr(index, "get_context", lambda _method: fork_server.context())
    (file,) = (root / "annotations").iterdir()
    assert index._in_new_process(index._load_seconds, file) > 0
    assert index._open_seconds(root, tmp_path) > 0
    assert list(tmp_path.glob("*.index"))


@pytest.mark.skipif(not Path("/proc/self/smaps_rollup").exists(), reason="only Linux tells the proportional memory")
def test_the_memory_of_workers_is_what_each_adds(root, tmp_path, in_this_process, monkeypatch):
    total = index._total_pss(root, root, tmp_path, "fork", 2)
    assert 10 < total < 10_000
    totals = {("many", 1): 100.0, ("many", 3): 130.0, ("few", 1): 90.0, ("few", 3): 100.0}
    monkeypatch.setattr(index, "_total_pss", lambda root, longest, cache, way, number: totals[root.name, number])
    monkeypatch.setattr(index, "_in_new_process", lambda function, *arguments: function(*arguments))
    assert index._worker_pss(Path("many"), Path("few"), tmp_path, "fork") == 10.0


def test_everybody_is_read(root, tmp_path):
    with index._cache_at(tmp_path):
        split = open_split(root, "train", look_at_images=False)
    dataset = index._People(split, 2 * IMAGES)
    found = np.array([dataset[position] for position in range(len(dataset))])
    np.testing.assert_array_equal(found[:IMAGES], found[IMAGES:])
    assert found.sum() > 2 * PEOPLE, "people, and masked pixels"
