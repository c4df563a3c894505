"""What the file system refuses is said in a line: the file, why, and the remedy."""

import errno
import os

import pytest

from bench.cli.disk_errors import disk_error


@pytest.mark.parametrize(
    ("number", "remedy"),
    [
        (errno.EACCES, "a folder of your own"),
        (errno.EROFS, "that is writable"),
        (errno.ENOSPC, "free some space there"),
        (errno.EDQUOT, "free some space there"),
    ],
)
def test_the_file_the_reason_and_the_remedy_are_told(number, remedy):
    told = disk_error(OSError(number, os.strerror(number), "reports/mine/report.md.part"))
    assert told.startswith(f"reports/mine/report.md: cannot be used ({os.strerror(number)}); ")
    assert remedy in told
    assert "\n" not in told


@pytest.mark.parametrize("error", [OSError(errno.EACCES, "denied"), OSError(errno.EINVAL, "odd", "x"), ValueError("x")])
def test_other_errors_are_no_matter_of_the_disk(error):
    assert disk_error(error) is None
