"""How much of some files is in memory: of sparse files, whose pages are there once they are written."""

import mmap
import os

import pytest

from bench.measure.page_cache import PageCache, page_cache

PAGE = mmap.PAGESIZE


def sparse(path, pages, written):
    """A file of so many pages, the first of which are written."""
    with path.open("wb") as file:
        file.write(b"x" * int(written * PAGE))
    os.truncate(path, int(pages * PAGE))
    return path


def test_pages_in_memory_are_counted_over_all_files(tmp_path):
    files = [sparse(tmp_path / "a", 8, 2), sparse(tmp_path / "b", 3.5, 3.5), sparse(tmp_path / "empty", 0, 0)]
    assert page_cache(files[:1]) == PageCache(2 / 8, 1)
    assert page_cache(files) == PageCache((2 + 4) / (8 + 4), 3)
    assert page_cache([sparse(tmp_path / "cold", 4, 0)]) == PageCache(0.0, 1)


def test_what_cannot_be_examined_is_left_out(tmp_path):
    warm = sparse(tmp_path / "warm", 2, 2)
    assert page_cache([tmp_path / "missing", tmp_path, warm]) == PageCache(1.0, 1)
    assert page_cache([tmp_path / "missing"]) == PageCache(None, 0)
    assert page_cache([sparse(tmp_path / "empty", 0, 0)]) == PageCache(None, 1)


@pytest.mark.parametrize(
    ("share", "state"),
    [
        *((None, "unknown"), (1.0, "warm"), (0.95, "warm"), (0.949, "mixed")),
        *((0.051, "mixed"), (0.05, "cold"), (0.0, "cold")),
    ],
)
def test_the_state_in_a_word(share, state):
    assert PageCache(share, 1).state == state
