"""The machine's noise, and what of a data set is in the page cache."""

import os

import numpy as np
import pytest

from bench.measure.noise import MIN_REPEATS, measure_noise, noise_of
from bench.measure.page_cache import PageCache, page_cache

MIB = 1 << 20


def test_the_spread_is_that_of_the_middle_four_fifths():
    found = noise_of([0.010] * 45 + [0.011] * 54 + [5.0])
    assert found.median_ms == pytest.approx(11)
    assert found.spread == pytest.approx(0.001 / 0.011)
    assert not found.noisy


def test_a_fifth_of_slow_repeats_is_noise_and_one_in_fifty_is_not():
    quiet = 0.01 + 1e-5 * np.random.default_rng(0).standard_normal(100)
    assert noise_of([*quiet[:80], *2 * quiet[80:]]).noisy
    assert not noise_of([*quiet[:98], *2 * quiet[98:]]).noisy


def test_the_kernel_runs_for_as_long_as_it_is_told_and_often_enough():
    found = measure_noise(0.0)
    assert found.repeats == MIN_REPEATS
    assert found.median_ms > 0
    assert found.spread >= 0


@pytest.fixture
def on_disk(tmp_path):
    """A file of 4 MiB that can leave the page cache: no file system in memory."""
    path = tmp_path / "data"
    path.write_bytes(os.urandom(4 * MIB))
    with path.open("rb+") as file:
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    if page_cache([path]).state != "cold":
        pytest.skip("files cannot be dropped from the page cache here")
    return path


def test_a_file_that_was_read_is_warm_and_a_dropped_one_cold(on_disk):
    assert page_cache([on_disk]) == PageCache(0.0, 1)
    on_disk.read_bytes()
    assert page_cache([on_disk]) == PageCache(1.0, 1)
    assert page_cache([on_disk]).state == "warm"


def test_looking_reads_nothing(on_disk):
    for _ in range(3):
        assert page_cache([on_disk]).share == 0.0


def test_half_of_the_files(on_disk, tmp_path):
    other = tmp_path / "other"
    other.write_bytes(bytes(4 * MIB))
    assert page_cache([on_disk, other]).state == "mixed"


def test_what_cannot_be_known_is_unknown(tmp_path):
    empty = tmp_path / "empty"
    empty.touch()
    assert page_cache([tmp_path / "missing"]).state == "unknown"
    assert page_cache([empty]).state == "unknown"
