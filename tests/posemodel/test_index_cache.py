import os
import pickle
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays_of

from posemodel.data import index_cache
from posemodel.data import open_split as split_opening
from posemodel.data.open_split import PackedSplit, open_split
from posemodel.data.packing import packed_arrays
from posemodel.errors import DataError
from tests.support.coco_builder import CocoBuilder, standing_keypoints

ARRAYS = {"a": np.arange(6, dtype=np.float32).reshape(2, 3), "none": np.zeros((0, 2)), "yes": np.array([True, False])}
DAY = 24 * 3600


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The cache's folder, which takes indexes of small files too."""
    monkeypatch.setenv("POSEBENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(split_opening, "SMALLEST_CACHED", 0)
    return tmp_path / "cache"


@pytest.fixture
def builder(coco_builder: CocoBuilder) -> CocoBuilder:
    coco_builder.fill("train", images=5)
    coco_builder.write()
    return coco_builder


def cached(folder: Path) -> list[Path]:
    return sorted(folder.iterdir()) if folder.exists() else []


def assert_equal(found: dict[str, np.ndarray] | None, expected: dict[str, np.ndarray]) -> None:
    assert found is not None
    assert list(found) == list(expected)
    for name, array in expected.items():
        assert found[name].dtype == array.dtype
        np.testing.assert_array_equal(found[name], array, strict=True)


# --- files ----------------------------------------------------------------------------------------------------------


@settings(max_examples=60, deadline=None, database=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    arrays=st.dictionaries(
        st.text(max_size=8),
        arrays_of.arrays(
            st.sampled_from([np.uint8, np.bool_, np.int32, np.int64, np.float32, np.float64]),
            arrays_of.array_shapes(min_dims=1, min_side=0, max_side=5),
        ),
        max_size=5,
    )
)
def test_what_is_stored_is_mapped(folder: Path, arrays: dict[str, np.ndarray]) -> None:
    file = folder / "key.index"
    assert index_cache.store(file, arrays)
    found = index_cache.load(file, arrays)
    assert_equal(found, arrays)
    for array in found.values():
        assert array.flags.aligned
        assert not array.flags.writeable
    assert [path.name for path in cached(folder)] == ["key.index"]


def test_what_is_mapped_stays_when_the_file_goes(folder: Path) -> None:
    file = folder / "key.index"
    index_cache.store(file, ARRAYS)
    found = index_cache.load(file, ARRAYS)
    index_cache.store(file, {"other": np.zeros(9)})
    file.unlink()
    assert_equal(found, ARRAYS)
    assert index_cache.load(file, ARRAYS) is None


def test_every_changed_byte_and_every_other_length_is_noticed(folder: Path) -> None:
    file = folder / "key.index"
    index_cache.store(file, ARRAYS)
    whole = file.read_bytes()
    for place in range(len(whole)):
        file.write_bytes(whole[:place] + bytes([whole[place] ^ 4]) + whole[place + 1 :])
        assert index_cache.load(file, ARRAYS) is None, place
    for length in range(len(whole)):
        file.write_bytes(whole[:length])
        assert index_cache.load(file, ARRAYS) is None, length
    file.write_bytes(whole + b"\0")
    assert index_cache.load(file, ARRAYS) is None
    file.write_bytes(whole)
    assert_equal(index_cache.load(file, ARRAYS), ARRAYS)


@pytest.mark.parametrize("content", [b"", b"people", b"\0" * 500, os.urandom(5000)], ids=["empty", "text", "0", "any"])
def test_other_files(folder: Path, content: bytes) -> None:
    folder.mkdir()
    (folder / "key.index").write_bytes(content)
    assert index_cache.load(folder / "key.index", ARRAYS) is None


def test_what_holds_something_else(folder: Path) -> None:
    index_cache.store(folder / "key.index", ARRAYS)
    assert index_cache.load(folder / "key.index", ["a"]) is None
    (folder / "key.index").rename(folder / "other.index")
    assert index_cache.load(folder / "other.index", ARRAYS) is None


def test_a_folder_in_place_of_the_file(folder: Path) -> None:
    (folder / "key.index").mkdir(parents=True)
    assert index_cache.load(folder / "key.index", ARRAYS) is None
    assert not index_cache.store(folder / "key.index", ARRAYS)


def test_where_it_is(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("POSEBENCH_CACHE", raising=False)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert index_cache.cache_folder() == tmp_path / ".cache" / "posebench"
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")  # to be ignored, says its specification
    assert index_cache.cache_folder() == tmp_path / ".cache" / "posebench"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert index_cache.cache_folder() == tmp_path / "xdg" / "posebench"
    monkeypatch.setenv("POSEBENCH_CACHE", str(tmp_path / "own"))
    assert index_cache.cache_folder() == tmp_path / "own"
    monkeypatch.setenv("POSEBENCH_CACHE", "own")
    monkeypatch.chdir(tmp_path)
    assert index_cache.cache_folder() == tmp_path / "own"


# --- what is removed ------------------------------------------------------------------------------------------------


def used_days_ago(file: Path, days: float) -> Path:
    os.utime(file, (time.time() - days * DAY,) * 2)
    return file


def own(folder: Path, letter: str) -> Path:
    """A file with a name of the cache's."""
    return folder / f"{letter * 64}-1.index"


def test_what_nobody_used_for_long_is_removed(folder: Path) -> None:
    for letter, days in (("a", 31), ("b", 29), ("c", 31)):
        index_cache.store(own(folder, letter), ARRAYS)
        used_days_ago(own(folder, letter), days)
    index_cache.load(own(folder, "c"), ARRAYS)
    index_cache.store(own(folder, "d"), ARRAYS)
    assert cached(folder) == [own(folder, letter) for letter in "bcd"]


def test_what_is_not_the_cache_s_own_stays(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody may have named a folder of his own: checkpoints and other indexes have the same suffix."""
    folder.mkdir()
    monkeypatch.setattr(index_cache, "LARGEST_CACHE_BYTES", 1)
    names = ["README", "faiss.index", "model.ckpt-1000.index", "notes.index-1-ff.part"]
    for name in names:
        (folder / name).write_text("mine")
        used_days_ago(folder / name, 99)
    own(folder, "e").mkdir()
    used_days_ago(own(folder, "e"), 99)
    own(folder, "f").symlink_to("nowhere")
    for letter in "0123456789":  # a folder is listed in any order: some of them come behind what is foreign
        own(folder, letter).write_text("unused")
        used_days_ago(own(folder, letter), 99)
    index_cache.store(own(folder, "d"), ARRAYS)
    assert {file.name for file in folder.iterdir()} == {*names, *(own(folder, letter).name for letter in "def")}


def test_the_longest_unused_make_room(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for days in (1, 3, 2):
        index_cache.store(own(folder, str(days)), ARRAYS)
        used_days_ago(own(folder, str(days)), days)
    size = own(folder, "1").stat().st_size
    monkeypatch.setattr(index_cache, "LARGEST_CACHE_BYTES", 3 * size + 10)
    index_cache.store(own(folder, "0"), ARRAYS)
    assert cached(folder) == [own(folder, letter) for letter in "012"]


def test_what_a_killed_process_left_behind_is_removed_later(folder: Path) -> None:
    folder.mkdir()
    for letter, days in (("a", 2), ("b", 0.5)):
        leftover = folder / f"{own(folder, letter).name}-1-ff.part"
        leftover.write_bytes(b"half")
        used_days_ago(leftover, days)
    index_cache.store(own(folder, "c"), ARRAYS)
    assert [file.name for file in cached(folder)] == [f"{own(folder, 'b').name}-1-ff.part", own(folder, "c").name]


# --- a disk that refuses --------------------------------------------------------------------------------------------


def test_without_a_folder_to_write_to_all_goes_on(
    builder: CocoBuilder, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder.write_text("a file where the folder should be")
    with caplog.at_level("DEBUG", logger=index_cache.__name__):
        split = open_split(builder.root, "train")
    assert split.mapped_from is None
    assert len(split) == 5
    said = [record for record in caplog.records if record.name == index_cache.__name__]
    assert any("not kept" in record.message for record in said)
    assert all(record.levelname == "DEBUG" for record in said)


def test_a_full_disk_leaves_nothing_behind(builder: CocoBuilder, folder: Path) -> None:
    resource = pytest.importorskip("resource", reason="the platform limits no file sizes")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (700, hard))
    try:
        split = open_split(builder.root, "train")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert split.mapped_from is None
    assert len(split) == 5
    assert cached(folder) == []


# --- several processes ----------------------------------------------------------------------------------------------

WRITER = """
import sys
from pathlib import Path
import numpy as np
from posemodel.data import index_cache
print("ready", flush=True)
arrays = {"a": np.arange(200_000)}
for _ in range(int(sys.argv[2])):
    assert index_cache.store(Path(sys.argv[1]), arrays)
    found = index_cache.load(Path(sys.argv[1]), arrays)
    assert found is not None and (found["a"] == arrays["a"]).all()
"""


def writer(file: Path, rounds: int) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", WRITER, str(file), str(rounds)]
    root = Path(__file__).resolve().parents[2]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=root)


def test_many_write_the_same_at_once(folder: Path) -> None:
    file = folder / "key.index"
    processes = [writer(file, 15) for _ in range(3)]
    while any(process.poll() is None for process in processes):
        assert not file.exists() or index_cache.load(file, ["a"]) is not None
    for process in processes:
        process.communicate()
        assert process.returncode == 0
    assert cached(folder) == [file]


def test_killed_while_it_writes(folder: Path) -> None:
    file = folder / "key.index"
    for delay in (0.0, 0.003, 0.01):
        process = writer(file, 10_000)
        assert process.stdout is not None
        process.stdout.readline()
        time.sleep(delay)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        found = index_cache.load(file, ["a"])
        assert found is not None or not file.exists()
    assert index_cache.store(file, ARRAYS)
    assert_equal(index_cache.load(file, ARRAYS), ARRAYS)


# --- splits ---------------------------------------------------------------------------------------------------------


def contents(split: PackedSplit) -> list[object]:
    masks = [split.ignore_mask(p) for p in range(len(split))]
    return [
        (split.image_id(p), split.size(p), split.path(p), split.people(p).tolist(), None if m is None else m.tolist())
        for p, m in enumerate(masks)
    ]


def test_the_second_time_a_split_is_mapped(builder: CocoBuilder, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = open_split(builder.root, "train")
    (file,) = cached(folder)
    with monkeypatch.context() as patched:
        patched.setattr(split_opening, "packed_arrays", None)  # cannot be called
        second = open_split(builder.root, "train", skip_bad=True)
    assert first.mapped_from == second.mapped_from == str(file)
    assert contents(first) == contents(second)
    assert not second.left_out
    monkeypatch.setattr(split_opening, "SMALLEST_CACHED", builder.file("train").stat().st_size + 1)
    small = open_split(builder.root, "train")
    assert small.mapped_from is None, "so small a file is parsed each time"
    assert contents(small) == contents(first)


def test_the_same_content_elsewhere_is_known(builder: CocoBuilder, folder: Path, tmp_path: Path) -> None:
    first = open_split(builder.root, "train")
    builder.root.rename(tmp_path / "elsewhere")
    second = open_split(tmp_path / "elsewhere", "train")
    assert second.mapped_from == first.mapped_from
    assert second.path(0).is_relative_to(tmp_path / "elsewhere")
    assert second.read_image(0).ndim == 3


def test_other_content_is_made_anew(builder: CocoBuilder, folder: Path) -> None:
    assert open_split(builder.root, "train").people_count(0) == 1
    builder.person("train", 1)
    builder.write()
    assert open_split(builder.root, "train").people_count(0) == 2
    assert len(cached(folder)) == 2


def test_a_damaged_file_is_made_anew(builder: CocoBuilder, folder: Path) -> None:
    first = contents(open_split(builder.root, "train"))
    (file,) = cached(folder)
    whole = file.read_bytes()
    file.write_bytes(whole[:-8] + b"damaged!")
    assert contents(open_split(builder.root, "train")) == first
    assert file.read_bytes() == whole


def test_derived_splits_are_mapped_too(builder: CocoBuilder, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    builder.fill("train", images=30, first_id=10)
    builder.write()
    for _ in range(2):
        select, held = (open_split(builder.root, name, hold_out_select=True) for name in ("select", "train"))
        assert len(select) + len(held) == 35
        assert select.name == "select"
        assert select.mapped_from == held.mapped_from == str(cached(folder)[0])
        monkeypatch.setattr(split_opening, "packed_arrays", None)


@pytest.mark.parametrize("bad", ["entry", "image"])
def test_what_has_faults_is_said_each_time(builder: CocoBuilder, folder: Path, bad: str) -> None:
    if bad == "entry":
        builder.split("train")["annotations"][0]["keypoints"] = [1]
        builder.write()
    else:
        builder.folder("train").joinpath(f"{1:012d}.jpg").unlink()
    messages = []
    for _ in range(2):
        with pytest.raises(DataError, match="1 problem") as caught:
            open_split(builder.root, "train")
        messages.append(str(caught.value))
        split = open_split(builder.root, "train", skip_bad=True)
        assert split.left_out.images == 1
        assert split.mapped_from is None
        assert [split.image_id(p) for p in range(len(split))] == [2, 3, 4, 5]
        assert split.truth.image_ids.tolist() == [2, 3, 4, 5]
    assert messages[0] == messages[1]
    assert len(cached(folder)) == (bad == "image"), "sound annotations are kept, whatever the images are"


def test_workers_map_the_file(builder: CocoBuilder, folder: Path) -> None:
    split = open_split(builder.root, "train").subset([3, 1])
    message = pickle.dumps(split)
    assert len(message) < 2000, "no array of the index travels"
    again = pickle.loads(message)
    assert contents(again) == contents(split)
    assert not again.truth.keypoints.flags.writeable


def test_workers_share_memory_when_the_file_is_gone(builder: CocoBuilder, folder: Path) -> None:
    split = open_split(builder.root, "train")
    before = contents(split)
    cached(folder)[0].unlink()
    assert contents(split) == before
    again = pickle.loads(pickle.dumps(split))
    assert contents(split) == contents(again) == before
    assert split.mapped_from is again.mapped_from is None


def test_a_file_that_goes_while_a_worker_starts_is_said(builder: CocoBuilder, folder: Path) -> None:
    message = pickle.dumps(open_split(builder.root, "train"))
    cached(folder)[0].unlink()
    with pytest.raises(DataError, match=r"\.index: .* removed or damaged .* Start again"):
        pickle.loads(message)


def test_a_change_of_what_is_packed_needs_another_format(folder: Path) -> None:
    """If this fails, raise ``FORMAT``, so that nobody reads what an older version made; then write both down here."""
    keypoints = standing_keypoints(2, 3, 40, 50)
    people = [
        {"keypoints": keypoints, "segmentation": [[1, 2, 3.5, 4, 5, 6]], "iscrowd": 0, "num_keypoints": 17},
        {"keypoints": [0] * 51, "segmentation": {"size": [64, 80], "counts": [0, 5120]}, "iscrowd": 1},
    ]
    document = {
        "images": [{"id": 4, "file_name": "ä.jpg", "width": 80, "height": 64}],
        "categories": [{"id": 1, "name": "person"}],
        "annotations": [
            person | {"id": number, "image_id": 4, "category_id": 1, "bbox": [1, 2, 3, 4.5], "area": 7}
            for number, person in enumerate(people)
        ],
    }
    index_cache.store(folder / "key.index", packed_arrays(document))
    assert (index_cache.FORMAT, index_cache.digest_of_file(folder / "key.index")[:16]) == (7, "9aa8692d03a6d722")
