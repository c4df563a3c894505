"""Ctrl-C in a terminal reaches a study's workers that were started as a person's are: spawned.

The short sibling, whose workers are forked, is `tests/end_to_end/test_interruption.py`.
"""

from tests.end_to_end.test_interruption import check_ctrl_c_of_two_workers
from tests.support.place import Place

SHARD = "kills"
COVERS = (
    "bench/engines/*.py", "bench/ledger/*.py", "bench/study/ledger_runner.py", "bench/cli/app.py",
    "tests/end_to_end/test_interruption.py", "tests/support/running_study.py",
)  # fmt: skip


def test_ctrl_c_gives_the_trials_of_two_spawned_workers_back(tmp_path, figures):
    check_ctrl_c_of_two_workers(Place(tmp_path / "here"))
    figures["workers"] = 2
