"""What `generate` leaves on disk: the same bytes from any number of processes, whatever happens on the way."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import cv2
import psutil
import pytest

from posemodel.synthetic import MARKER, SPLITS, generate, split_sizes, write
from posemodel.synthetic.pool import IMAGES_PER_PROCESS, default_workers, render_all
from posemodel.synthetic.store import CHECKSUMS, Store, read_marker

SMALL = (160, 120)


def files(directory: Path) -> dict[str, bytes]:
    return {str(path.relative_to(directory)): path.read_bytes() for path in directory.rglob("*") if path.is_file()}


def inodes(directory: Path) -> dict[str, int]:
    """Which file is which: one that is written again is another."""
    return {path.name: path.stat().st_ino for path in directory.rglob("*.jpg")}


def command_of(process: psutil.Process) -> list[str]:
    """The command line; empty for one that has ended since it was listed."""
    try:
        return process.cmdline()
    except (psutil.NoSuchProcess, psutil.ZombieProcess):
        return []


def renderers(process: psutil.Process | None = None) -> list[psutil.Process]:
    """Rendering processes below this one."""
    children = (process or psutil.Process()).children(recursive=True)
    return [child for child in children if "posemodel.synthetic.worker" in command_of(child)]


def test_equal_arguments_give_equal_bytes_and_another_seed_does_not(tmp_path: Path) -> None:
    generate(tmp_path / "a", images=6, seed=1, size=SMALL)
    generate(tmp_path / "b", images=6, seed=1, size=SMALL)
    generate(tmp_path / "c", images=6, seed=2, size=SMALL)
    one, same, other = (files(tmp_path / name) for name in "abc")
    assert one == same
    assert one.keys() == other.keys()
    assert all(one[name] != other[name] for name in one)


def test_any_number_of_processes_gives_the_same_bytes(tmp_path: Path) -> None:
    for workers in (0, 1, 2):
        generate(tmp_path / str(workers), images=20, seed=1, size=SMALL, num_workers=workers)
    assert files(tmp_path / "0") == files(tmp_path / "1") == files(tmp_path / "2")
    assert not renderers()


def test_an_image_stays_the_same_in_a_longer_set(tmp_path: Path) -> None:
    generate(tmp_path / "short", images=6, seed=1, size=SMALL)
    generate(tmp_path / "long", images=12, seed=1, size=SMALL)
    short, long = files(tmp_path / "short"), files(tmp_path / "long")
    images = [name for name in short if name.endswith(".jpg")]
    assert len(images) == 6
    assert all(short[name] == long[name] for name in images)


def test_a_finished_set_says_so_and_leaves_nothing_half_written(tmp_path: Path) -> None:
    generate(tmp_path, images=6, seed=3, size=SMALL)
    marker = json.loads((tmp_path / MARKER).read_text())
    assert marker["complete"] is True
    assert (marker["images"], marker["seed"], marker["size"]) == (6, 3, list(SMALL))
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {"annotations", "images", MARKER, CHECKSUMS}
    assert not list(tmp_path.rglob("*.part"))


@pytest.mark.parametrize("workers", [0, 2])
def test_progress_counts_every_image(tmp_path: Path, workers: int) -> None:
    calls: list[tuple[int, int]] = []
    generate(
        tmp_path,
        images=5,
        seed=0,
        size=SMALL,
        num_workers=workers,
        on_progress=lambda done, total: calls.append((done, total)),
    )
    assert calls == [(1, 5), (2, 5), (3, 5), (4, 5), (5, 5)]


def test_a_finished_set_is_left_alone(tmp_path: Path) -> None:
    generate(tmp_path, images=4, seed=0, size=SMALL)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    assert generate(tmp_path, images=4, seed=0, size=SMALL) == {"train": 2, "select": 1, "val": 1}
    assert before == {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}


# --- damage ---------------------------------------------------------------------------------------------------------


def cut_short(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def zero_the_end(path: Path) -> None:
    """As a power cut does: the size is right."""
    content = path.read_bytes()
    path.write_bytes(content[:-16] + bytes(16))


@pytest.mark.parametrize("spoil", [Path.unlink, cut_short, zero_the_end], ids=["lost", "cut short", "zeroed"])
def test_damaged_images_are_made_again_and_the_others_kept(tmp_path: Path, spoil) -> None:
    generate(tmp_path, images=8, seed=0, size=SMALL)
    before, first = files(tmp_path), inodes(tmp_path)
    damaged = sorted(tmp_path.rglob("*.jpg"))[::2]
    times = {path: path.stat().st_mtime_ns for path in sorted(tmp_path.rglob("*.jpg"))[1::2]}
    for path in damaged:
        spoil(path)
    calls: list[int] = []
    generate(tmp_path, images=8, seed=0, size=SMALL, on_progress=lambda done, total: calls.append(done))
    assert files(tmp_path) == before
    assert calls == [4, 5, 6, 7, 8]  # four were there
    assert all(path.stat().st_mtime_ns == when for path, when in times.items())
    assert first.keys() == inodes(tmp_path).keys()


@pytest.mark.parametrize("spoil", [Path.unlink, cut_short, zero_the_end], ids=["lost", "cut short", "zeroed"])
@pytest.mark.parametrize(("name", "kept"), [("annotations/person_keypoints_select2017.json", 5), (CHECKSUMS, 0)])
def test_other_damaged_files_are_made_again(tmp_path: Path, spoil, name: str, kept: int) -> None:
    """With the images that they tell of: of the one split, or of all."""
    generate(tmp_path, images=6, seed=0, size=SMALL)
    before = files(tmp_path)
    spoil(tmp_path / name)
    calls: list[int] = []
    generate(tmp_path, images=6, seed=0, size=SMALL, on_progress=lambda done, total: calls.append(done))
    assert files(tmp_path) == before
    assert calls == [*range(max(kept, 1), 7)]


PARAMETERS = {"images": 4, "seed": 0}
NUMBERS = [1_000_000, 1_000_001, 2_000_000, 3_000_000]
"""Ids of two images of train, one of select and one of val."""


def opened(folder: Path) -> Store:
    return Store(folder, PARAMETERS, {*NUMBERS})


def filled(folder: Path, numbers: Iterable[int] = NUMBERS) -> Store:
    """A store of images that are no pictures; it minds only their bytes."""
    store = opened(folder)
    store.begin()
    for number in numbers:
        store.add(b"%d" % number, {"image": {"id": number}, "annotations": [{"image_id": number}]})
    return store


def annotations(store: Store) -> dict[str, dict[str, Any]]:
    return {
        split: {"images": [{"id": each} for each in numbers], "annotations": [{"image_id": each} for each in numbers]}
        for split, numbers in zip(SPLITS, (NUMBERS[:2], NUMBERS[2:3], NUMBERS[3:]), strict=True)
    }


def test_a_store_knows_what_was_added_and_when_it_is_complete(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "set"
    first = filled(folder, NUMBERS[:3])
    assert read_marker(folder) == {**PARAMETERS, "complete": False}
    again = opened(folder)
    assert (again.complete, again.entries) == (False, first.entries)
    whole = filled(folder, NUMBERS[3:])
    whole.finish(annotations(whole))
    assert read_marker(folder) == {**PARAMETERS, "complete": True}
    finished = opened(folder)
    assert (finished.complete, finished.entries) == (True, whole.entries)
    fewer = Store(folder, PARAMETERS, {*NUMBERS[1:]})
    assert (fewer.complete, [*fewer.entries]) == (True, NUMBERS[1:])
    more = Store(folder, PARAMETERS, {*NUMBERS, 9})
    assert (more.complete, [*more.entries]) == (False, NUMBERS)


def test_a_line_of_garbage_costs_its_own_image_alone(tmp_path: Path) -> None:
    filled(tmp_path)
    progress = tmp_path / "synthetic.progress.jsonl"
    lines = progress.read_bytes().splitlines(keepends=True)
    progress.write_bytes(b"".join([lines[0], bytes(20) + b"\n", *lines[2:], lines[1][:9]]))
    assert [*opened(tmp_path).entries] == [NUMBERS[0], *NUMBERS[2:]]
    assert progress.read_bytes().endswith(lines[3]), "the cut line is gone, so that the next begins one of its own"


def test_a_finished_set_with_a_lost_file_is_not_complete(tmp_path: Path) -> None:
    """Also where it was killed just before it removed its list of images, by which no image is missed."""
    store = filled(tmp_path)
    progress = tmp_path / "synthetic.progress.jsonl"
    lines = progress.read_bytes()
    store.finish(annotations(store))
    assert not progress.exists()
    progress.write_bytes(lines)
    file = tmp_path / "annotations" / "person_keypoints_select2017.json"
    content = file.read_bytes()
    file.unlink()
    found = opened(tmp_path)
    assert (found.complete, [*found.entries]) == (False, NUMBERS)
    file.write_bytes(content)
    assert opened(tmp_path).complete
    assert not progress.exists(), "a complete set needs no list"


def test_a_set_that_lacks_only_its_end_is_finished(tmp_path: Path) -> None:
    store = filled(tmp_path)
    store.finish(annotations(store))
    before = files(tmp_path)
    unfinished = opened(tmp_path)
    unfinished.begin()
    assert not opened(tmp_path).complete
    unfinished.finish(annotations(unfinished))
    assert files(tmp_path) == before


# --- interruption ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("stop_after", "workers"), [(1, 0), (4, 0), (8, 0), (3, 2)])
def test_an_interrupted_call_is_taken_up(tmp_path: Path, stop_after: int, workers: int) -> None:
    generate(tmp_path / "whole", images=8, seed=5, size=SMALL)

    def interrupt(done: int, total: int) -> None:
        if done == stop_after:
            raise KeyboardInterrupt

    halves = tmp_path / "halves"
    with pytest.raises(KeyboardInterrupt):
        generate(halves, images=8, seed=5, size=SMALL, num_workers=workers, on_progress=interrupt)
    assert not renderers()
    assert json.loads((halves / MARKER).read_text())["complete"] is False
    first = inodes(halves)
    assert len(first) == stop_after
    with (halves / "synthetic.progress.jsonl").open("a") as progress:
        progress.write('{"entry": {"image": {"id": 10')  # torn by the interruption
    (halves / "images" / "train2017" / "000001000007.jpg.part").write_bytes(b"torn")
    calls: list[int] = []
    generate(halves, images=8, seed=5, size=SMALL, on_progress=lambda done, total: calls.append(done))
    assert files(halves) == files(tmp_path / "whole")
    assert calls[0] == stop_after
    assert first.items() <= inodes(halves).items()


CALL = """
import sys
from pathlib import Path
from posemodel.synthetic import generate
generate(Path(sys.argv[1]), images=90, seed=5, size=(160, 120), num_workers=2)
"""


def started(folder: Path, images: int) -> psutil.Popen:
    """Start a generation in two processes; return once it has written so many images."""
    process = psutil.Popen([sys.executable, "-c", CALL, str(folder)], stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while len(list(folder.glob("images/*/*.jpg"))) < images:
        assert process.poll() is None, "it ended too early"
        assert time.monotonic() < deadline
        time.sleep(0.01)
    return process


def gone(processes: list[psutil.Process]) -> bool:
    """Whether all end within a while; zombies that nobody waits for have ended."""
    _, alive = psutil.wait_procs(processes, timeout=30)
    return not [process for process in alive if process.status() != psutil.STATUS_ZOMBIE]


def test_a_kill_takes_the_pool_along_and_the_same_call_goes_on(tmp_path: Path) -> None:
    process = started(tmp_path / "set", 8)
    workers = renderers(process)
    assert len(workers) == 2
    assert [os.getsid(worker.pid) for worker in workers] == [worker.pid for worker in workers], "no Ctrl-C reaches them"
    process.kill()
    process.wait()
    assert gone(workers)
    first = inodes(tmp_path / "set")
    calls: list[int] = []
    generate(
        tmp_path / "set",
        images=90,
        seed=5,
        size=SMALL,
        num_workers=2,
        on_progress=lambda done, total: calls.append(done),
    )
    assert len(first) - 1 <= calls[0] <= len(first)  # at most the one that was being written down
    assert len(first.items() - inodes(tmp_path / "set").items()) <= 1
    generate(tmp_path / "whole", images=90, seed=5, size=SMALL)
    assert files(tmp_path / "set") == files(tmp_path / "whole")


@pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")
def test_what_ends_a_call_ends_its_renderers_at_once(tmp_path: Path, monkeypatch) -> None:
    ended = []

    def rendered(*_arguments):
        try:
            yield from iter(render_all(*_arguments))
        finally:
            ended.append(True)

    def full(_done: int, _images: int) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr(write, "render_all", rendered)
    with pytest.raises(OSError, match="no space left") as caught:
        generate(tmp_path / "people", images=12, seed=0, size=(96, 80), num_workers=0, on_progress=full)
    assert ended == [True], "though the error still holds the call's frames"
    assert caught.traceback


def test_a_dead_renderer_is_an_error_that_says_how_to_continue(tmp_path: Path) -> None:
    def shoot(done: int, total: int) -> None:
        for process in renderers():
            process.send_signal(signal.SIGKILL)

    with pytest.raises(RuntimeError, match="the same command continues"):
        generate(tmp_path, images=200, seed=0, size=SMALL, num_workers=2, on_progress=shoot)
    assert not renderers()


# --- processes ------------------------------------------------------------------------------------------------------


def test_renderers_import_no_torch() -> None:
    code = "import sys, posemodel.synthetic.worker; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_small_set_needs_no_process() -> None:
    assert default_workers(80) == default_workers(2 * IMAGES_PER_PROCESS - 1) == 0
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    assert default_workers(100_000) == (cores if cores > 1 else 0)


def test_rendering_here_gives_opencv_its_threads_back() -> None:
    before = cv2.getNumThreads()
    cv2.setNumThreads(2)
    try:
        for _ in render_all([(0, 0)], 0, SMALL, 0):
            assert cv2.getNumThreads() == 1
        assert cv2.getNumThreads() == 2
    finally:
        cv2.setNumThreads(before)


# --- refusals -------------------------------------------------------------------------------------------------------


def test_foreign_folders_are_refused(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("irreplaceable")
    with pytest.raises(FileExistsError, match=r"mine.*new or an empty folder"):
        generate(tmp_path / "mine", images=3, seed=0)
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["thesis.txt"]
    (tmp_path / "file").write_text("")
    with pytest.raises(FileExistsError, match="not a folder"):
        generate(tmp_path / "file", images=3, seed=0)
    generate(tmp_path / "set", images=3, seed=0, size=SMALL)
    before = files(tmp_path / "set")
    with pytest.raises(FileExistsError, match="seed 0, not 1"):
        generate(tmp_path / "set", images=3, seed=1, size=SMALL)
    assert files(tmp_path / "set") == before


def test_wrong_arguments_are_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="images must be at least 3"):
        generate(tmp_path / "set", images=2, seed=0)
    with pytest.raises(ValueError, match="seed"):
        generate(tmp_path / "set", images=3, seed=-1)
    with pytest.raises(ValueError, match="num_workers"):
        generate(tmp_path / "set", images=3, seed=0, num_workers=-1)
    for size in ((31, 64), (64, 31)):
        with pytest.raises(ValueError, match=f"at least 32 x 32 pixels, not {size[0]} x {size[1]}"):
            generate(tmp_path / "set", images=3, seed=0, size=size)
    assert not (tmp_path / "set").exists()
    assert split_sizes(3) == {"train": 1, "select": 1, "val": 1}
    assert split_sizes(1000) == {"train": 800, "select": 100, "val": 100}
    assert split_sizes(1_000_000)["train"] == 800_000
    with pytest.raises(ValueError, match="images must be at most 1000000, not 1000001"):
        split_sizes(1_000_001)
    assert generate(tmp_path / "new" / "set", images=3, seed=0, size=(32, 32)) == split_sizes(3)
