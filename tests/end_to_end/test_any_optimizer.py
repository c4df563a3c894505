"""Optimizers by dotted path, from the repository's tests and from the working directory, in workers too.

Workers are forked here; spawned ones: tests/bench/test_worker.py.
"""

import json

from tests.conftest import REPOSITORY
from tests.support.place import WORKERS

OWN = """
from torch.optim import SGD


class Half(SGD):
    \"\"\"SGD at half the rate.\"\"\"

    def __init__(self, params, lr=0.1, weight_decay=0.0):
        super().__init__(params, lr=lr / 2, weight_decay=weight_decay)
"""
TUNINGS = 2
"""Of each optimizer, with a tune and a confirm trial each."""


def document(done):
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_torch_s_and_one_s_own_optimizers_are_compared(place):
    """`tests.support` is a package of the working directory here, as it is in the repository's root."""
    (place.folder / "tests").symlink_to(REPOSITORY / "tests")
    names = ["adamw", "torch.optim.RAdam", "tests.support.toy_optimizer.SignSGD", "adabound"]
    found = document(place.run(*place.study, "--optimizers", ",".join(names), "--controls", "--json"))
    assert {row["name"] for row in found["optimizers"]} == {*names}
    assert [control["name"] for control in found["controls"]] == ["adabound (limit)"], "beside them, and not ranked"
    assert found["trials"]["complete"] == found["trials"]["planned"] == TUNINGS * (2 * len(names) + 1)
    assert "(limit)" not in found["verdict"]


def test_a_module_of_the_working_directory_is_found_by_workers(place):
    place.forked_starts = WORKERS
    (place.folder / "own_rule.py").write_text(OWN)
    found = document(
        place.run(
            *place.study,
            *("--optimizers", "own_rule.Half", "--space", "own_rule.Half:lr=log(1e-4,1e-2)"),
            *("--workers", 2, "--json"),
        )
    )
    assert found["status"] == "complete"
    (row,) = found["optimizers"]
    assert row["name"] == "own_rule.Half"
    assert 1e-4 <= row["settings"]["lr"] <= 1e-2
