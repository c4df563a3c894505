"""Studies that are judged by validation loss: their skill, their plan, their analysis, their words."""

import json
import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.kinds.optimizers.analysis.losses import loss_means
from bench.kinds.optimizers.analysis.tunings import tuned_scores
from bench.kinds.optimizers.gap_forecast import gap_forecast, gap_forecast_text
from bench.kinds.optimizers.kind import KIND
from bench.kinds.optimizers.measure import AP_ABOVE_CHANCE, SKILL, SKILL_DEFINITION, SKILL_LIMITS
from bench.kinds.optimizers.plan import has_scored, nothing_scored, outcomes_of, plan
from bench.kinds.optimizers.report.file_names import with_file_names
from bench.kinds.optimizers.report.page import optimizer_findings
from bench.kinds.optimizers.results import analyse
from bench.kinds.optimizers.search import TrialOutcome
from bench.kinds.optimizers.simulation import preset_study
from bench.kinds.optimizers.size import Size
from bench.kinds.optimizers.spec import StudySpec
from bench.report.text import plain
from bench.study.progress import Progress
from bench.trials.phases import CONFIRM, TUNE
from bench.trials.progress import EndedTrial
from bench.trials.record import make_record
from bench.trials.score_scale import skill
from bench.trials.scores import as_skill, curves_as_skill
from bench.trials.status import Status
from posemodel.errors import SettingsError
from tests.support import simulated_worlds as worlds
from tests.support.examples import few
from tests.support.tuned_records import tuned

SELECT_REFERENCE, REPORT_REFERENCE = 3.0, 2.0


def by_loss(make_spec, **changes):
    return make_spec(**{"trials": 4, "seeds": 2, "score": "val_loss", "confirm_unscored": False} | changes)


def with_losses(records, curves, *, ap=0.0):
    """Records and curves of APs as ones of losses whose skills are those APs; all have the same AP."""
    reference = np.where(records["phase"] == TUNE, SELECT_REFERENCE, REPORT_REFERENCE)
    complete = records["status"] == Status.COMPLETE
    losses = records.assign(
        val_loss=reference * (1 - records["ap"]),
        reference_loss=np.where(complete, reference, math.nan),
        val_loss_select=SELECT_REFERENCE * (1 - records["ap_select"]),
        reference_loss_select=SELECT_REFERENCE,
        ap=np.where(complete, ap, math.nan),
        ap_best=np.where(complete, ap, math.nan),
        ap_select=math.nan,
    )
    return losses, curves.assign(val_loss=REPORT_REFERENCE * (1 - curves["ap"]), ap=ap)


def result_of(spec, records, curves):
    sessions = pd.DataFrame(columns=["began_ms", "heard_ms", "workers", "data_s", "host", "pid"])
    return analyse(spec, records, curves, sessions, machine={}, samples_of=lambda _run_id: None)


@pytest.fixture(scope="module")
def both(make_spec):
    """A study of APs, and one of losses whose skills are those APs."""
    ap_spec = make_spec(trials=6, tunings=3, seeds=2, optimizers=["sgd", "adam", "adagrad"], evaluations=3)
    records, curves = tuned(ap_spec)
    loss_spec = ap_spec.model_copy(update={"score": "val_loss"})
    return result_of(ap_spec, records, curves), result_of(loss_spec, *with_losses(records, curves))


# the skill


def test_the_skill_is_the_share_of_the_reference_loss_that_is_gone():
    losses = np.array([2.0, 1.0, 0.0, 3.0, math.nan, 1.0, 1.0])
    references = np.array([2.0, 2.0, 2.0, 2.0, 2.0, math.nan, 0.0])
    assert skill(losses, references) == pytest.approx([0, 0.5, 1, 0, math.nan, math.nan, math.nan], nan_ok=True)


def test_each_trial_is_held_against_the_reference_of_its_own_split():
    rows = pd.DataFrame(
        {
            "phase": [TUNE, CONFIRM, CONFIRM],
            "ap": [0.1, 0.2, math.nan],
            "ap_best": [0.3, 0.4, math.nan],
            "val_loss": [1.5, 1.5, 9.0],
            "reference_loss": [3.0, 2.0, math.nan],
            "val_loss_select": [math.nan, 0.3, math.nan],
            "reference_loss_select": [math.nan, 3.0, math.nan],
        }
    )
    found = as_skill(rows)
    assert list(found["ap"]) == pytest.approx([0.5, 0.25, math.nan], nan_ok=True)
    assert list(found["ap_select"]) == pytest.approx([math.nan, 0.9, math.nan], nan_ok=True)
    assert list(found["measured_ap"]) == pytest.approx([0.1, 0.2, math.nan], nan_ok=True)
    assert found["ap_best"].isna().all()
    assert as_skill(rows.iloc[:0]).empty
    assert as_skill(pd.DataFrame({"status": ["failed"]}))["ap"].isna().all(), "none has measured anything"


def test_a_curve_is_held_against_the_reference_of_its_trial():
    curves = pd.DataFrame({"trial_id": ["a", "a", "b"], "step": [1, 2, 1], "val_loss": [2.0, 1.0, 1.0], "ap": 0.0})
    records = pd.DataFrame({"trial_id": ["a", "b"], "reference_loss": [2.0, 4.0]})
    assert list(curves_as_skill(curves, records)["ap"]) == [0.0, 0.5, 0.75]
    assert curves_as_skill(curves.iloc[:0], records).empty


# the study's settings


def test_the_setting_is_in_no_identity_at_its_default(make_spec):
    assert "score" not in make_spec().identity()
    assert by_loss(make_spec).identity()["score"] == "val_loss"


def test_trials_are_the_same_whatever_judges_them(make_spec):
    ap, loss = ([trial.id for trial in plan(spec, {})] for spec in (by_loss(make_spec, score="ap"), by_loss(make_spec)))
    assert ap == loss


@pytest.mark.parametrize("given", [{"pruner": "median"}, {"target": 0.2}])
def test_what_is_of_ap_alone_is_refused(make_spec, given):
    with pytest.raises(SettingsError, match="val_loss"):
        by_loss(make_spec, **given)


def test_the_target_of_a_preset_is_one_of_ap():
    assert preset_study("small").target is not None
    assert preset_study("small", score="val_loss").target is None


def test_what_it_can_see_is_said_in_skill_and_no_spread_of_ap_is_taken_for_it():
    ap, loss = preset_study("small"), preset_study("small", score="val_loss")
    assert gap_forecast(ap).spread is not None
    assert gap_forecast(loss).spread is None
    assert "0.005 in skill" in gap_forecast_text(loss)
    assert "AP" not in gap_forecast_text(loss)
    told = gap_forecast(preset_study("small", score="val_loss", assume_spread=0.02))
    assert told.document()["gap_ap"] is None
    assert told.document()["gap_skill"] == pytest.approx(told.gap)


# the plan


def record_of(trial, loss, ap=0.0, status=Status.COMPLETE):
    metrics = {"ap": ap, "val_loss": loss, "reference_loss": 2.0} if status == Status.COMPLETE else {}
    return make_record(trial, status, steps_done=2, metrics=metrics).as_row()


def test_the_outcome_of_a_trial_is_its_skill(make_spec):
    trials = plan(by_loss(make_spec), {})
    rows = [record_of(trials[0], 1.0), record_of(trials[1], 4.0), record_of(trials[2], 1.0, status=Status.DIVERGED)]
    seen = outcomes_of(pd.DataFrame(rows), "val_loss")
    assert [seen[trial.index] for trial in trials[:3]] == [
        TrialOutcome(0.5, 1.0),
        TrialOutcome(0.0, 4.0),
        TrialOutcome(None),
    ]
    assert outcomes_of(pd.DataFrame(rows))[trials[0].index] == TrialOutcome(0.0, 1.0), "by AP it has learned nothing"


@few(3, of=20)
@given(order=st.randoms(use_true_random=False), lucky=st.sampled_from([1, 7, 10**9]))
def test_any_order_of_arrival_gives_the_same_trials(make_spec, order, lucky):
    """And none is confirmed before the skill of one is above the floor, whatever its AP."""
    spec = by_loss(make_spec)
    rows, before = [], set()
    while True:
        outcomes = outcomes_of(pd.DataFrame(rows), spec.score)
        trials = plan(spec, outcomes)
        now = {trial.id for trial in trials}
        assert before <= now
        if not has_scored(spec, outcomes):
            assert {trial.phase for trial in trials} == {TUNE}
        before = now
        waiting = [trial for trial in trials if trial.index not in outcomes]
        if not waiting:
            break
        trial = order.choice(waiting)
        learned = int(trial.id, 16) % lucky == 0
        rows.append(record_of(trial, 1.0 + int(trial.id, 16) % 5 / 10 if learned else 1.97, ap=0.9))
    scored = has_scored(spec, outcomes)
    assert nothing_scored(spec, outcomes) is not scored
    assert len(before) == 2 * 2 * (spec.trials + (spec.seeds if scored else 0))


@pytest.mark.long
def test_the_figures_of_a_simulated_study_hold_the_truth(monkeypatch):
    """Skills are tuned and compared as APs are: the same simulated worlds, planned by a study of losses."""
    monkeypatch.setattr(worlds, "TRUTH_STUDIES", 8)
    found = worlds.figures(preset_study(score="val_loss"), "0.4 decades", 60)
    assert found.false_claims <= 0.2
    assert found.coverage >= 0.8


# what it says


def test_it_says_of_skills_what_a_study_of_ap_says_of_aps(both):
    ap, loss = (each.analysis for each in both)
    pd.testing.assert_frame_equal(ap.comparisons, loss.comparisons)
    assert ap.best == loss.best
    same = ["name", "rank", "settings", "ap_mean", "ap_low", "score_mean", "settings_tuning", "collapsed"]
    pd.testing.assert_frame_equal(ap.ranking[same], loss.ranking[same])
    pd.testing.assert_frame_equal(ap.views, loss.views)


def test_the_losses_of_an_optimizer_are_those_of_its_runs(both):
    summary = both[1].analysis.summary
    assert list(summary["val_loss_mean"]) == pytest.approx(list(REPORT_REFERENCE * (1 - summary["ap_mean"])))
    assert both[1].reference_loss == REPORT_REFERENCE


def test_collapsed_tunings_and_runs_that_did_not_complete_are_in_no_mean_loss(make_spec):
    spec = make_spec(trials=4, tunings=3, seeds=2)
    records, curves = tuned(spec, collapsed=[("sgd", 1)], fates={("confirm", "adam", 1001): Status.FAILED})
    losses = as_skill(with_losses(records, curves, ap=0.3)[0])
    found = loss_means(losses, tuned_scores(losses)).set_index("name")
    confirm = losses[(losses["phase"] == CONFIRM) & (losses["status"] == Status.COMPLETE)]
    sgd = confirm[(confirm["optimizer"] == "sgd") & (confirm["tuning"] != 1)]
    assert found.loc["sgd", "val_loss_mean"] == pytest.approx(sgd["val_loss"].mean())
    assert found.loc["adam", "val_loss_mean"] == pytest.approx(
        confirm[confirm["optimizer"] == "adam"]["val_loss"].mean()
    )
    assert found.loc["sgd", "measured_ap_mean"] == pytest.approx(0.3)


def test_the_answer_says_loss_and_skill_and_what_a_skill_is(both):
    found = optimizer_findings(both[1])
    answer, verdict = plain(found.answer), found.verdict
    assert "validation loss 1.1" in answer
    assert "(skill 0.4" in answer
    assert answer.count(SKILL_DEFINITION) == verdict.count(SKILL_DEFINITION) == 1
    assert verdict.endswith(SKILL_LIMITS)
    assert "AP" not in answer
    assert "AP" not in verdict.removesuffix(SKILL_LIMITS)
    assert "in skill" in found.sureness
    assert {"skill", "val_loss"} <= found.metrics.keys()
    assert "ap" not in found.metrics


def test_no_section_calls_ap_what_is_none(both):
    found = optimizer_findings(both[1])
    tables = [
        part for section in (*found.sections, *found.appendix) for part in section.parts if hasattr(part, "columns")
    ]
    assert tables[0].columns[:3] == ("optimizer", "validation loss", "skill [95 %]")
    assert not [column for table in tables for column in table.columns if "AP" in column]
    assert "AP difference" not in found.figure.panels[0].x_label
    assert "skill difference" in found.figure.panels[0].x_label


def test_ap_stands_beside_where_it_is_above_chance(both, make_spec):
    spec = both[1].spec
    seen = optimizer_findings(result_of(spec, *with_losses(*tuned(spec), ap=0.04)))
    assert seen.main_table().columns == ("optimizer", "validation loss", "skill [95 %]", "collapsed", "AP", "images/s")
    assert [row[4] for row in seen.main_table().rows] == ["0.040"] * 3
    assert seen.verdict.endswith(plain(f"{SKILL_LIMITS} {AP_ABOVE_CHANCE}"))


def test_in_json_a_key_of_ap_holds_an_ap_or_nothing(both):
    document = json.loads(json.dumps(optimizer_findings(both[1]).document, default=_plainly))
    assert document["score"] == {"name": "val_loss", "direction": "minimize"}
    for row, ap_row in zip(document["optimizers"], both[0].analysis.summary.to_dict("records"), strict=True):
        assert (row["skill_mean"], row["skill_low"]) == pytest.approx((ap_row["ap_mean"], ap_row["ap_low"]))
        assert row["ap_mean"] == 0.0
        for name in ("ap_low", "ap_high", "ap_median", "tune_ap", "ap_at_equal_steps"):
            assert math.isnan(row[name])
        assert row["finalists"][0]["ap_select"] is None
        assert row["finalists"][0]["skill_select"] > 0.1
        assert row["score_learned_mean"] == row["skill_mean"]
    by_ap = optimizer_findings(both[0]).document
    assert by_ap["score"] == {"name": "ap", "direction": "maximize"}
    assert all(row["score_learned_mean"] == row["ap_mean"] for row in by_ap["optimizers"])


def _plainly(value):
    return value.to_dict("records") if isinstance(value, pd.DataFrame) else value.item()


def test_pairs_in_json_have_the_differences_of_skill_and_of_loss(both):
    pairs = both[1].document()["comparisons"]
    assert list(pairs["skill_difference"]) == list(pairs["difference"])
    assert list(pairs["val_loss_difference"]) == pytest.approx(list(-REPORT_REFERENCE * pairs["difference"]))


def test_tables_of_ap_are_as_they_were(both):
    summary = both[0].analysis.summary
    assert with_file_names(summary, both[0].measure) is summary
    written = with_file_names(both[1].analysis.seeds, SKILL)
    assert (written["ap"] == 0.0).all()
    assert "measured_ap" not in written
    assert written["skill"].max() > 0.3


def test_where_nothing_has_learned_it_says_so_by_skill(make_spec):
    spec = by_loss(make_spec, trials=3, tunings=1, seeds=1)
    rows = []
    while waiting := [t for t in plan(spec, outcomes_of(pd.DataFrame(rows), "val_loss")) if t.index >= len(rows)]:
        rows += [record_of(trial, 1.99) | {"run_id": "f" * 32, "started_ms": 0, "ended_ms": 1} for trial in waiting]
    found = optimizer_findings(result_of(spec, pd.DataFrame(rows), pd.DataFrame()))
    assert plain(found.answer).startswith("Nothing scored: all 6 tune trials ended under skill 0.02")
    assert "val_loss" not in found.answer, "it is that already"
    assert "still about that of finding nobody" in found.answer
    assert not found.paste


# who looks on


def test_the_table_that_fills_in_shows_losses(make_spec):
    spec = by_loss(make_spec, trials=2, tunings=1, seeds=1)
    tune = [trial for trial in plan(spec, {}) if trial.optimizer == "sgd"]
    done = {
        trial.id: EndedTrial(trial.id, TUNE, "sgd", Status.COMPLETE, ap=0.0, val_loss=loss, reference_loss=2.0)
        for trial, loss in zip(tune, (1.5, 1.25), strict=True)
    }
    done["c"] = EndedTrial("c", CONFIRM, "sgd", Status.COMPLETE, ap=0.0, val_loss=1.0, reference_loss=2.0)
    size = Size.of_spec(spec)
    row = size.rows(Progress(size, done))[0]
    assert size.columns == ("tune", "best loss", "confirm", "mean loss", "images/s")
    assert row.cells() == ["2/2", "1.25", "1/1", "1", "-"]
    assert (row.best_tune_val_loss, row.best_tune_ap) == (1.25, 0.0)
    assert size.score_text({"val_loss": 1.25, "ap": 0.0}) == "validation loss 1.25, AP 0.000"
    assert Size.of_spec(make_spec()).score_text({"val_loss": 1.25, "ap": 0.0}) == "AP 0.000"


@pytest.mark.parametrize(("loss", "confirmed"), [(1.99, False), (1.9, True)])
def test_a_study_is_complete_with_its_tune_trials_where_no_skill_is_above_chance(make_spec, loss, confirmed):
    spec = by_loss(make_spec, trials=2, tunings=1, seeds=1)
    done = {
        trial.id: EndedTrial(
            trial.id, TUNE, trial.optimizer, Status.COMPLETE, ap=0.9, val_loss=loss, reference_loss=2.0
        )
        for trial in plan(spec, {})
    }
    assert Size.of_spec(spec).after_trials(done).planned == len(done) + (2 if confirmed else 0)


def test_a_begun_study_stays_what_it_was(make_spec):
    begun = by_loss(make_spec).identity()
    assert StudySpec.from_stored(begun | {"data": "/no/such"}).score == "val_loss"
    assert KIND.with_stored_settings(by_loss(make_spec), begun).identity() == begun
