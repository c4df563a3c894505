"""Files that are there in full or not at all."""

import multiprocessing
import os
from pathlib import Path

import pytest

from posemodel.atomic_write import TEMPORARY_SUFFIX, atomic_path, remove_temporary_files


def test_the_file_appears_when_the_block_ends(tmp_path: Path) -> None:
    file = tmp_path / "new" / "deeper" / "file.txt"
    with atomic_path(file) as temporary:
        temporary.write_text("content")
        assert not file.exists()
    assert file.read_text() == "content"
    assert [path.name for path in file.parent.iterdir()] == ["file.txt"]


def test_an_error_leaves_what_was_there(tmp_path: Path) -> None:
    file = tmp_path / "file.txt"
    file.write_text("before")
    with pytest.raises(ZeroDivisionError), atomic_path(file) as temporary:
        temporary.write_text("half of wh")
        raise ZeroDivisionError
    assert file.read_text() == "before"
    assert list(tmp_path.iterdir()) == [file]


def test_an_error_before_anything_is_written_is_the_one_that_is_raised(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), atomic_path(tmp_path / "file.txt"):
        raise ZeroDivisionError
    assert list(tmp_path.iterdir()) == []


def test_a_killed_write_is_replaced_by_the_next(tmp_path: Path) -> None:
    file = tmp_path / "file.txt"
    (tmp_path / f"file.txt{TEMPORARY_SUFFIX}").write_text("a longer text than the next one, cut sho")
    with atomic_path(file) as temporary:
        temporary.write_text("content")
    assert file.read_text() == "content"
    assert list(tmp_path.iterdir()) == [file]


def test_leftovers_are_removed_and_nothing_else(tmp_path: Path) -> None:
    for name in ("a.pt", f"a.pt{TEMPORARY_SUFFIX}", f"b{TEMPORARY_SUFFIX}"):
        (tmp_path / name).write_text("x")
    remove_temporary_files(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["a.pt"]


def test_the_content_is_on_the_disk_before_the_file_gets_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, seen = tmp_path / "file.txt", []
    monkeypatch.setattr(os, "fsync", lambda descriptor: seen.append((os.fstat(descriptor), file.exists())))
    with atomic_path(file) as temporary:
        temporary.write_text("content")
    ((synced, there),) = seen
    assert (synced.st_ino, synced.st_size, there) == (file.stat().st_ino, len("content"), False)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root can be another user")
def test_what_another_user_s_killed_process_left_is_in_nobody_s_way(tmp_path: Path) -> None:
    """In a folder that both may write to, where each keeps their files from the other."""
    shared = tmp_path / "shared"
    shared.mkdir()
    shared.chmod(0o777)
    for folder in (tmp_path, *tmp_path.parents):
        if folder.stat().st_mode & 0o001 == 0:
            folder.chmod(folder.stat().st_mode | 0o011)
    left = shared / f"file.txt{TEMPORARY_SUFFIX}"
    left.write_text("half of wh")
    left.chmod(0o644)

    def as_another() -> None:
        os.setgid(54321)
        os.setuid(54321)
        with atomic_path(shared / "file.txt") as temporary:
            temporary.write_text("content")

    child = multiprocessing.get_context("fork").Process(target=as_another)
    child.start()
    child.join()
    assert child.exitcode == 0
    assert {path.name: path.read_text() for path in shared.iterdir()} == {"file.txt": "content"}
