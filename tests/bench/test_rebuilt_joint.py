"""Reports that ship, written anew from their own files."""

import json
from pathlib import Path

import pytest

from bench.trials.score_scale import AP_FLOOR
from tests.support.long_tests import long
from tests.support.rebuilt_joint import rebuild_joint, rebuild_networks

REPORTS = Path(__file__).resolve().parents[2] / "reports"


@pytest.mark.parametrize("name", ["joint-cpu", long("joint-gpu")])
def test_a_joint_report_recommends_nothing_that_has_learned_nothing(name, tmp_path):
    rebuild_joint(REPORTS / name, tmp_path / name)
    document = json.loads((tmp_path / name / "result.json").read_text())
    of = {pick["trial_id"]: pick["fresh"]["ap_select"]["mean"] for pick in document["picks"]}
    assert min(of.values()) < AP_FLOOR, "the search has picked some that learned nothing"
    assert document["recommended"]
    assert min(of[each["trial_id"]] for each in document["recommended"]) >= AP_FLOOR
    assert "learned nothing" in document["sureness"]
    assert (tmp_path / name / "records.csv").read_text().count("\n") == len(of) * document["spec"]["seeds"] + (
        document["spec"]["trials"] + 1
    )


def test_a_networks_report_keeps_its_pictures(tmp_path):
    rebuild_networks(REPORTS / "networks-gpu", tmp_path / "networks-gpu")
    document = json.loads((tmp_path / "networks-gpu" / "result.json").read_text())
    assert document["recommended"] == {"network": "lightweight", "precision": "fp32"}
    assert document["machine"]["gpu"] == "NVIDIA H200"
    for run in document["runs"]:
        shipped, rebuilt = (folder / "networks-gpu" / run["picture"] for folder in (REPORTS, tmp_path))
        assert rebuilt.read_bytes() == shipped.read_bytes()
