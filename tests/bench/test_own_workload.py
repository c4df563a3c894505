"""Anybody's workload through the command line: by flag and by file, its settings, and joint searches for its score."""

import json
import math
import shutil
import sys
from typing import Any, ClassVar

import numpy as np
import pandas as pd
import pytest

from bench.cli.setting_flags import parse_workload_options
from bench.kinds.joint.analysis import BEST_AP, FASTEST, picks
from bench.kinds.joint.objectives import AP_AND_SPEED
from bench.report.shown_score import AP, UNKNOWN, ShownScore
from bench.trials.scores import counted
from bench.workloads import Score, workload
from posemodel.errors import SettingsError
from tests.conftest import REPOSITORY
from tests.support.joint_records import findings_of, made_up, trial, with_fresh_seeds
from tests.support.valley import Valley

ERROR = ShownScore(Score("error", "minimize", low=0, high=100, chance=90), "digits")
LOSS_VALLEY = "tests.bench.test_own_workload:LossValley"
SMALL = ("--preset", "smoke", "--device", "cpu", "--json")


class LossValley(Valley):
    """A valley scored by the part of the way down that is left, in percent."""

    name = LOSS_VALLEY
    score = Score("left", "minimize", low=0, high=100, chance=100)
    final_metrics: ClassVar[frozenset[str]] = frozenset({"left"})
    sample_name = "steps"

    def train(self, run: Any, make_optimizer: Any, *, on_metrics: Any = None, **calls: Any) -> Any:
        """Descend, and turn the score around."""

        def turned(step: int, metrics: dict[str, float]) -> None:
            if on_metrics is not None:
                on_metrics(step, with_left(metrics))

        trained = super().train(run, make_optimizer, on_metrics=turned, **calls)
        trained.metrics.update(with_left(trained.metrics))
        scored = trained.score_on
        object.__setattr__(trained, "score_on", lambda split: 100 * (1 - scored(split)))
        return trained


def with_left(metrics: dict[str, float]) -> dict[str, float]:
    return metrics | ({"left": 100 * (1 - metrics["ap"])} if "ap" in metrics else {})


def as_errors(records):
    """The same records with an error in percent, which is lower the higher the AP was."""
    turned = {name: 90 - 200 * records[column] for name, column in (("error", "ap"), ("error_select", "ap_select"))}
    return records.drop(columns=["ap", "ap_select"]).assign(**turned)


@pytest.mark.parametrize(
    ("name", "pairs", "table"),
    [
        (None, [], None),
        ("my:Own", [], {"name": "my:Own"}),
        (None, ["width=8", "text=a=b"], {"width": "8", "text": "a=b"}),
        ("my:Own", ["sizes=[1, 2]"], {"name": "my:Own", "sizes": [1, 2]}),
    ],
)
def test_flags_make_the_table_of_a_study_file(name, pairs, table):
    assert parse_workload_options(name, pairs) == table


@pytest.mark.parametrize(
    ("pair", "words"),
    [("width", "--workload-setting width: must be NAME=VALUE"), ("sizes=[1,", "is not a valid list or table")],
)
def test_a_setting_that_cannot_be_read_is_refused(pair, words):
    with pytest.raises(SettingsError, match=words.replace("[", r"\[")):
        parse_workload_options(None, [pair])


@pytest.mark.parametrize(
    ("flags", "noise"),
    [
        ([], 0.5),
        (["--workload-setting", "noise=0.25"], 0.25),
        (["--workload", LOSS_VALLEY, "--workload-setting", "noise=0.25"], 0.25),
        (["--workload", "tests.support.valley:Valley"], 0.05),
    ],
)
def test_flags_override_a_file_s_settings_of_the_same_workload(posebench, hermetic, made_up_costs, flags, noise):
    (hermetic / "own.toml").write_text(f'[workload]\nname = "{LOSS_VALLEY}"\nnoise = 0.5\n')
    code, out, err = posebench("study", "joint", "--study", "own.toml", *SMALL, *flags, "--dry-run")
    assert code == 0, err
    assert json.loads(out)["spec"]["workload"]["noise"] == noise


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--workload", LOSS_VALLEY, "--workload-setting", "nois=1"], "workload.nois: there is no such setting"),
        (["--workload", LOSS_VALLEY, "--workload-setting", "noise=-1"], "workload.noise: must be 0 or more"),
        (["--workload", "nowhere:Own"], "cannot be loaded here"),
        (["--workload", LOSS_VALLEY, "--network", "small"], "network: is a setting of the workload `pose`"),
    ],
)
def test_what_is_wrong_is_refused_before_anything_runs(posebench, hermetic, flags, words):
    code, _out, err = posebench("study", "joint", *SMALL, *flags)
    assert code == 2
    assert words in err
    assert not list(hermetic.glob("*.db"))


class Renamed(LossValley):
    """A valley with a setting that is called like a field of every run."""

    name = f"{__name__}:Renamed"

    class settings(LossValley.settings):  # noqa: N801
        """Its settings."""

        steps: int = 3
        network: str = "valley"


def test_settings_named_like_fields_of_a_run_are_refused():
    with pytest.raises(SettingsError, match="its settings may not be called network, steps: these are the suite's"):
        workload(Renamed.name)


def test_what_a_module_prints_as_it_is_imported_goes_to_stderr(tmp_path, monkeypatch, capsys):
    (tmp_path / "printing.py").write_text(
        "from tests.support.scored_valleys import LossValley\nprint('hello')\nclass Own(LossValley):\n    pass\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "printing", raising=False)
    assert workload("printing:Own").name == "printing:Own"
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("", "hello\n")


def test_a_minimizing_valley_is_searched_for_the_lowest_score(posebench, hermetic, stores):
    fewer = ("--trials", 4, "--images", 40, "--seeds", 1)
    joint = ("study", "joint", *SMALL, "--workload", LOSS_VALLEY, "--name", "down", "--optimizers", "sgd")
    code, out, err = posebench(
        *joint, "--num-workers", 0, "--batch-size", "2,4", "--workload-setting", "sleep_ms=0.5", *fewer
    )
    assert code == 0, err
    document = json.loads(out)
    assert document["score"] == {"name": "left", "direction": "minimize"}
    assert document["front"] and all(each["ap"] is None for each in document["front"])
    scores = [each["score"] for each in document["front"]]
    assert scores == sorted(scores), "best first, which is the lowest"
    best = document["recommended"][0]
    assert best["role"] == "best left"
    assert "complete left " in err and " steps/s" in err
    page = (hermetic / "reports" / "down" / "report.md").read_text()
    assert "left" in page and " AP " not in page and "images/s" not in page
    code, out, _ = posebench("study", "status", "down", "--json")
    (row,) = json.loads(out)["optimizers"]
    assert row["best_ap"] is None
    assert row["best_score"] == min(row["best_score"], *scores)
    assert json.loads(posebench("study", "resume", "down", "--json")[1])["front"] == document["front"]


def test_an_error_is_picked_as_the_ap_that_it_is_made_of():
    records = with_fresh_seeds(made_up(40))
    of_ap, of_error = picks(records, AP_AND_SPEED), picks(as_errors(records), AP_AND_SPEED, ERROR)
    assert [pick.trial_id for pick in of_ap] == [pick.trial_id for pick in of_error]
    assert [pick.roles for pick in of_ap] == [pick.roles for pick in of_error]
    assert [90 - 200 * pick.score for pick in of_ap] == pytest.approx([pick.score for pick in of_error])


def test_a_page_speaks_of_the_score_in_its_own_direction(tmp_path):
    records = with_fresh_seeds(made_up(40))
    found = findings_of(as_errors(records), measure=ERROR, importances=findings_importances())
    same = findings_of(records, importances=findings_importances())
    assert [each["settings"] for each in found.document["recommended"]] == [
        each["settings"] for each in same.document["recommended"]
    ]
    assert found.document["hypervolume"]["reference"] == [90, 0]
    assert found.document["hypervolume"]["value"] == pytest.approx(200 * same.document["hypervolume"]["value"])
    assert found.document["floor"] == 88
    assert "digits/s" in found.answer and "error" in found.answer
    text = " ".join([found.answer, found.sureness, found.claims])
    assert " AP" not in text and "images/s" not in text
    assert "the lowest error" in found.claims


def findings_importances():
    return pd.DataFrame(columns=["objective", "scope", "parameter", "importance", "chance", "n", "why"])


def test_a_failed_run_counts_as_the_score_of_a_failure():
    records = as_errors(pd.DataFrame([trial(0), trial(1, status="failed")]))
    assert counted(records, "error", ERROR.score.failure).tolist() == [90 - 200 * 0.3, 100.0]


@pytest.mark.parametrize(
    ("measure", "text"),
    [
        (AP, "0.123"),
        (ERROR, "0.1"),
        (ShownScore(Score("loss", "minimize", high=math.inf, failure=9, margin=0.005), "samples"), "0.123"),
        (UNKNOWN, "0.123"),
    ],
)
def test_decimals_follow_the_range(measure, text):
    assert measure.text(0.1234) == text


def test_roles_are_named_after_the_score():
    assert {BEST_AP, FASTEST} == {"best AP", "fastest"}
    assert ERROR.below_floor == "error over 88" and AP.below_floor == "AP under 0.02"
    assert (ERROR.failure_text, ERROR.chance_text) == ("error 100", "error 90")
    assert np.isclose(ERROR.value_of(ERROR.above_chance(12.5)), 12.5)


@pytest.mark.long
def test_the_example_is_compared_from_a_folder_of_its_own(posebench, hermetic, monkeypatch):
    pytest.importorskip("sklearn", reason="the example's data come with scikit-learn")
    shutil.copy(REPOSITORY / "examples" / "own_workload.py", hermetic)
    monkeypatch.syspath_prepend(str(hermetic))
    code, out, err = posebench(
        *("study", "optimizers", *SMALL, "--name", "digits", "--workload", "own_workload:Digits"),
        *("--workload-setting", "width=4", "--optimizers", "adam,sgd", "--batch-size", 32),
        *("--tunings", 2, "--trials", 2, "--tune-steps", 8, "--steps", 16, "--seeds", 1, "--workers", 1),
    )
    sys.modules.pop("own_workload", None)
    assert code == 0, err
    document = json.loads(out)
    assert document["trials"]["complete"] + document["trials"]["diverged"] == document["trials"]["recorded"]
    assert document["spec"]["workload"] == {"name": "own_workload:Digits", "width": 4, "dropout": 0.1}
