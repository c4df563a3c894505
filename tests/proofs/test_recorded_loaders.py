"""A loader study that an earlier version began, and that was interrupted, can be finished.

The sibling, for the other kinds, is `tests/end_to_end/test_recorded_stores.py`.
"""

from tests.end_to_end.test_recorded_stores import goes_on
from tests.support.recorded_stores import unpack

SHARD = "kills"
COVERS = (
    "bench/kinds/loaders/**/*.py", "bench/measure/**/*.py", "bench/records/*.py", "bench/trials/study_base.py",
    "bench/study/measurement_runner.py", "bench/study/*kind.py",
    "bench/trials/identity.py", "tests/bench/recorded/loaders.tar.xz", "tests/end_to_end/test_recorded_stores.py",
)  # fmt: skip


def test_it_goes_on(tmp_path, figures):
    place = unpack("loaders", tmp_path / "here")
    goes_on("loaders", place)
    figures["measurements recorded"] = len(place.recorded())
