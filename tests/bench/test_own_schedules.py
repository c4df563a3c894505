"""Schedules that methods fix themselves: in plans, begun studies, `posebench train`, and marked wherever they show."""

import json
import math
import re

import numpy as np
import pandas as pd
import pytest
import torch

from bench.cli.actions.optimizer_text import SCHEDULES
from bench.cli.actions.train_settings import resolve
from bench.cli.progress_table import progress_table
from bench.kinds.joint.kind import KIND as JOINT
from bench.kinds.joint.plan import PickedConfiguration, plan_confirm
from bench.kinds.optimizers import plan_preview
from bench.kinds.optimizers.analysis.costs import update_counts
from bench.kinds.optimizers.compare import _differences
from bench.kinds.optimizers.extension import difference_remedy, more_optimizers
from bench.kinds.optimizers.kind import KIND
from bench.kinds.optimizers.plan import plan, typical_trials
from bench.kinds.optimizers.report.page import optimizer_findings, study_info
from bench.kinds.optimizers.size import Size
from bench.optimizers import optimizer_entry
from bench.report.findings_result import FindingsResult
from bench.report.markdown_page import short_text
from bench.report.names import MARK, marked
from bench.report.own_schedules import schedule_note
from bench.report.train_command import train_command
from bench.study.prepared import Prepared
from bench.study.progress import PlanSize, Progress
from bench.study.status import status_document
from bench.trials.own_schedules import other_schedules, schedule_of, schedules_as_begun
from bench.workloads import loop
from posemodel.errors import SettingsError
from tests.bench.test_report import pages, result_of
from tests.support import asked
from tests.support.joint_records import findings_of, info_of, made_up, with_fresh_seeds
from tests.support.tuned_records import tuned

NO_IMPORTANCES = pd.DataFrame(columns=["objective", "scope", "parameter", "importance", "chance", "n", "why"])
"""Schedules do not show in them, and they take seconds."""

ADAFACTOR = "torch.optim.Adafactor"
"""A class that is always installed, and whose paper fixes its schedule."""


@pytest.fixture(scope="module")
def spec(make_spec):
    return make_spec(
        optimizers=["adam", ADAFACTOR], trials=8, seeds=2, tunings=3, steps=20, tune_steps=10, evaluations=4
    )


def schedules(spec, **changes):
    trials = [*plan(spec.model_copy(update=changes), {}), *typical_trials(spec.model_copy(update=changes)).values()]
    return {(trial.optimizer, trial.run.schedule) for trial in trials}


# --- plans -----------------------------------------------------------------------------------------------------------


def test_trials_train_with_the_schedule_of_their_optimizer(spec):
    assert spec.own_schedules == {ADAFACTOR: "fixed"}
    assert schedules(spec) == {("adam", "cosine"), (ADAFACTOR, "fixed")}
    assert schedules(spec, schedule="step") == {("adam", "step"), (ADAFACTOR, "fixed")}


def test_a_study_of_others_has_none_in_its_identity(make_spec):
    assert "own_schedules" not in make_spec().identity()


def test_trials_say_which_schedule_is_not_the_study_s(spec):
    trials = typical_trials(spec)
    assert {name: trial.own_schedule for name, trial in trials.items()} == {"adam": None, ADAFACTOR: "fixed"}
    fixed = typical_trials(spec.model_copy(update={"schedule": "fixed"}))
    assert {trial.own_schedule for trial in fixed.values()} == {None}, "it is the study's"


def test_a_study_s_own_schedule_may_be_fixed_and_then_nothing_differs(spec, make_spec):
    assert make_spec(schedule="fixed").schedule == "fixed"
    assert other_schedules(spec) == {ADAFACTOR: "fixed"}
    assert other_schedules(spec.model_copy(update={"schedule": "fixed"})) == {}


def test_controls_follow_the_study(make_spec):
    spec = make_spec(optimizers=["adabound", ADAFACTOR], controls=True)
    assert ("adabound (limit)", "cosine") in schedules(spec)


def test_a_begun_study_keeps_the_schedules_and_spaces_that_it_began_with(spec):
    earlier = {"lr": {"log": [1e-4, 1.0]}}
    begun = spec.identity() | {"spaces": {**spec.spaces, ADAFACTOR: earlier}}
    del begun["own_schedules"]
    found = KIND.with_stored_settings(spec, begun)
    assert found.own_schedules == {}
    assert found.spaces[ADAFACTOR] == earlier
    assert found.identity() == begun
    assert schedules(found) == {("adam", "cosine"), (ADAFACTOR, "cosine")}
    assert KIND.with_stored_settings(spec, spec.identity()) == spec


def test_an_added_optimizer_brings_its_schedule(make_spec):
    begun = make_spec(optimizers=["adam", "sgd"])
    extended = more_optimizers(begun, [ADAFACTOR], {})
    assert extended.own_schedules == {ADAFACTOR: "fixed"}
    assert schedule_of(extended, ADAFACTOR) == "fixed"
    assert schedules_as_begun(extended, begun.identity()) == {ADAFACTOR: "fixed"}
    assert f"--add {ADAFACTOR}" in difference_remedy(extended, begun.identity())


@pytest.fixture
def joint(tiny):
    return asked.prepared(
        "joint", {"data": tiny, "size": 64, "device": "cpu", "optimizers": ["adam", ADAFACTOR]}, None, "smoke", None
    ).spec


def test_a_joint_study_plans_and_continues_likewise(joint):
    loader = {"num_workers": 0, "pin_memory": False, "batch_size": 2}
    configurations = [PickedConfiguration(name, {"lr": 0.01}, loader) for name in joint.optimizers]
    assert [trial.run.schedule for trial in plan_confirm(joint, configurations)][:2] == ["cosine", "fixed"]
    begun = joint.identity()
    del begun["own_schedules"]
    assert JOINT.with_stored_settings(joint, begun).identity() == begun


# --- a single training -----------------------------------------------------------------------------------------------


def options(**given):
    plain = {
        "optimizer": "adam", "lr": None, "weight_decay": 0.0, "option": None, "recipe": None, "weights": None,
        "schedule": None, "data": "people", "steps": 2,
    }  # fmt: skip
    return {**plain, **given}, {*given, "data", "steps"}


@pytest.mark.parametrize(
    ("given", "schedule"),
    [
        ({}, "cosine"),
        ({"optimizer": "adafactor"}, "fixed"),
        ({"optimizer": "adafactor", "schedule": "cosine"}, "cosine"),
        ({"schedule": "fixed"}, "fixed"),
        ({"recipe": "2017"}, "multistep"),
        ({"recipe": "2017", "optimizer": "adafactor"}, "fixed"),
    ],
)
def test_a_training_takes_the_optimizer_s_schedule_unless_one_is_typed(given, schedule):
    assert resolve(*options(**given)).settings.schedule == schedule


def test_the_command_to_paste_repeats_the_schedule(spec, tmp_path):
    trials = typical_trials(spec)
    own, study = train_command(trials[ADAFACTOR], tmp_path), train_command(trials["adam"], tmp_path)
    assert "--schedule" not in own + study, "both are what the command takes by itself"
    other = typical_trials(spec.model_copy(update={"own_schedules": {}}))[ADAFACTOR]
    assert "--schedule cosine" in train_command(other, tmp_path)


def test_a_workload_s_loop_has_no_warm_up_where_the_rate_is_fixed(valley_spec, monkeypatch):
    factors = {}
    for schedule in ("constant", "fixed"):
        (trial, *_) = plan(valley_spec(steps=40, schedule=schedule), {})
        run = trial.train.model_copy(update={"steps": 40})
        weight = torch.nn.Linear(1, 1)
        made = loop._Loop(run, weight, lambda each: torch.optim.SGD(each, lr=1.0), *[None] * 7)
        factors[schedule] = []
        for step in range(40):
            made.step = step
            factors[schedule].append(made._rate_factor(step))
    assert factors["fixed"] == [1.0] * 40
    assert factors["constant"][0] < factors["constant"][1] < 1.0 == factors["constant"][-1]


# --- what is shown ---------------------------------------------------------------------------------------------------

NOTE = (
    f"{MARK} Not the study's cosine schedule: a rate that the method sets itself, unchanged by posebench, for "
    "Adafactor (Shazeer and Stern, ICML 2018). The schedule is part of what is compared."
)


def one_line(text):
    return re.sub(r"\s+", " ", text)


def test_the_note_names_schedules_and_papers():
    names = {ADAFACTOR: "Adafactor"}
    assert schedule_note({ADAFACTOR: "fixed"}, names, "cosine") == NOTE
    assert schedule_note({ADAFACTOR: "fixed"}, marked(names, [ADAFACTOR]), "cosine") == NOTE
    assert schedule_note({}, names, "cosine") == ""
    several = schedule_note(
        {"schedulefree.AdamWScheduleFree": "constant", RATELESS: "fixed", ADAFACTOR: "fixed"}, {}, "step"
    )
    assert (
        "a constant rate after the warm-up for schedulefree.AdamWScheduleFree (Defazio et al., NeurIPS 2024)" in several
    )
    assert "_families.Rateless (it has no learning rate) and torch.optim.Adafactor (Shazeer" in several.replace(
        "\\", ""
    )


def reason(name):
    note = schedule_note({name: "fixed"}, {name: "it"}, "cosine").replace("\\", "")
    return re.search(r"for it(.*)\. The schedule is part", note)[1]


def test_no_paper_is_cited_for_a_schedule_that_it_does_not_fix():
    finds = " (it finds its rate itself, which no schedule changes here)"
    for name in ("prodigyopt.Prodigy", "pytorch_optimizer.DAdaptAdam", "dog.DoG", "pytorch_optimizer.AdamG"):
        assert reason(name) == finds
    assert reason("pytorch_optimizer.Ranger21") == " (Wright and Demeure, 2021)"
    assert reason("mine.NotInstalled") == "", "nothing is known of it"
    assert reason("tests.bench.test_families.Lion") == "", "it has a rate, and its family no schedule"


def test_the_reason_of_a_composed_optimizer_is_that_of_the_part_with_the_schedule():
    paper = "Defazio et al., NeurIPS 2024"
    free = "schedulefree.AdamWScheduleFree"
    assert reason("schedulefree.ScheduleFreeWrapper(sgd)") == f" ({paper})"
    assert reason(f"pytorch_optimizer.SAM({free})") == f" (as {free}: {paper})"
    assert reason(f"muon+{free}") == f" (both parts train under the schedule of {free}: {paper})"
    assert reason(f"{free}+adamw") == reason(f"muon+{free}")
    assert reason(f"{free}+{free}") == reason(f"muon+{free}")
    assert "prodigyopt.Prodigy: it finds its rate itself" in reason("prodigyopt.Prodigy+dog.DoG")
    assert reason(f"muon+{RATELESS}") == (
        f" (both parts train under the schedule of {RATELESS}: it has no learning rate)"
    )


def test_a_pair_has_the_schedule_of_the_part_that_fixes_one_and_no_two():
    assert optimizer_entry(f"adamw+{ADAFACTOR}").schedule == "fixed"
    assert optimizer_entry(f"{ADAFACTOR}+{RATELESS}").schedule == "fixed"
    message = f"its parts have two schedules of their own, {FREE} constant and {ADAFACTOR} fixed"
    with pytest.raises(SettingsError, match=re.escape(message)):
        optimizer_entry(f"{FREE}+{ADAFACTOR}")


class AdamWScheduleFree(torch.optim.SGD):
    """A class of a known name with a constant schedule."""


FREE = f"{__name__}.{AdamWScheduleFree.__name__}"
RATELESS = "tests.bench.test_families.Rateless"


def test_a_fixed_schedule_is_told_as_the_method_s_own_affair():
    """Ranger21 warms up and decays within the class."""
    assert "without warm-up" not in SCHEDULES["fixed"]
    assert "the method sets its rate itself" in SCHEDULES["fixed"]


@pytest.fixture(scope="module")
def result(spec):
    return result_of(spec, *tuned(spec))


def test_every_table_of_a_report_marks_them(result, tmp_path):
    text = pages(result, tmp_path / "report")
    rows = [line for line in text.splitlines() if line.startswith("|") and "Adafactor" in line]
    assert len(rows) > 5
    unmarked = [row for row in rows if f"Adafactor{MARK}" not in row]
    assert unmarked == [], "also in the tables of pairs"
    for page in ("report.md", "appendix.md"):
        assert NOTE in one_line((tmp_path / "report" / page).read_text())
    assert f"Schedule cosine (but {MARK}), weight decay" in one_line(text)


def test_the_json_and_the_tables_have_each_optimizer_s_schedule(result):
    findings = optimizer_findings(result)
    found = {row["name"]: row["schedule"] for row in findings.document["optimizers"]}
    assert found == {"adam": "cosine", ADAFACTOR: "fixed"}
    for file in ("summary.csv", "seeds.csv", "equal-budgets.csv"):
        assert set(findings.tables_csv[file].frame["schedule"]) == {"cosine", "fixed"}
    without = optimizer_findings(result_without(result)).tables_csv
    assert not any("schedule" in without[file].frame for file in ("summary.csv", "seeds.csv", "equal-budgets.csv"))


def test_the_first_screen_explains_the_mark(result):
    findings, info = optimizer_findings(result), study_info(result)
    assert NOTE in one_line(short_text(findings, info))
    blocks = FindingsResult(findings, info).output("report.md").blocks
    assert NOTE in one_line(" ".join(block for block in blocks if isinstance(block, str)))


def result_without(result):
    spec = result.spec.model_copy(update={"own_schedules": {}})
    return result_of(spec, *tuned(spec))


def test_without_their_own_nothing_is_marked(result, tmp_path):
    assert MARK not in pages(result_without(result), tmp_path / "report")


def test_the_plan_marks_them(spec):
    table, note, *_ = plan_preview._plan_blocks(spec, 1, None, "not measured")
    assert {row[1] for row in table.rows} == {"adam", f"{ADAFACTOR}{MARK}"}
    assert note == NOTE.replace("Adafactor (", f"{ADAFACTOR} (")
    document = plan_preview._plan_document(spec, Prepared(spec.name, (spec,), 1, 0.0, None, {}), None)
    assert {(each["optimizer"], each["schedule"]) for each in document["plan"]} == {
        ("adam", "cosine"),
        (ADAFACTOR, "fixed"),
    }


@pytest.mark.parametrize("of", ["its own kind", "any kind"])
def test_the_progress_of_a_study_marks_them(spec, of):
    size = Size.of_spec(spec) if of == "its own kind" else PlanSize.of(spec.identity(), {"tune": 3})
    progress = Progress(size)
    table, note = progress_table(progress).renderables[1:3]
    assert list(table.columns[0].cells)[1].plain == f"{ADAFACTOR}{MARK}"
    assert note.plain.startswith(f"{MARK} Not the study's cosine schedule")
    rows = status_document(progress, 0.0)["optimizers"]
    assert [(row["name"], row["schedule"]) for row in rows] == [("adam", "cosine"), (ADAFACTOR, "fixed")]


def test_the_progress_of_others_does_not(make_spec):
    lines = progress_table(Progress(Size.of_spec(make_spec()))).renderables
    assert not any(MARK in str(getattr(line, "plain", "")) for line in lines)


def test_two_studies_differ_in_the_schedule_of_an_optimizer_that_both_have(spec):
    a = spec.identity()
    b = a | {"own_schedules": {}}
    assert f"schedule of {ADAFACTOR}: 'fixed' -> the study's" in _differences(a, b)
    assert _differences(a, a) == []
    other = b | {"optimizers": ["adam"]}
    assert not any("schedule of" in line for line in _differences(a, other))


def test_a_joint_study_marks_them(tmp_path):
    records = with_fresh_seeds(made_up())
    own = {"adam": "fixed"}
    note = schedule_note(own, {}, "cosine")
    findings = findings_of(
        records, other_schedules=own, schedule="cosine", schedule_note=note, importances=NO_IMPORTANCES
    )
    text = one_line(short_text(findings, info_of(records)))
    assert f"adam{MARK}" in text
    picked = [pick for pick in findings.document["picks"] if pick["settings"]["optimizer"] == "adam"]
    assert all(pick["schedule"] == "fixed" for pick in picked)
    assert {*findings.tables_csv["front.csv"].frame["schedule"]} <= {"fixed", "cosine"}
    plain = findings_of(records, importances=NO_IMPORTANCES)
    assert MARK not in short_text(plain, info_of(records))
    assert "schedule" not in plain.document["picks"][0]


# --- gradient evaluations and updates --------------------------------------------------------------------------------


def with_updates(records, name, share):
    """The records as if ``name`` took so many steps for each gradient evaluation."""
    updates = np.where(records["optimizer"] == name, records["steps_done"] * share, np.nan)
    return records.assign(updates=updates)


def test_updates_are_known_where_they_differ_from_evaluations(spec):
    records, _ = tuned(spec)
    assert update_counts(records).empty
    assert update_counts(records.assign(updates=records["steps_done"])).empty
    found = update_counts(with_updates(records, "adam", 0.5)).set_index("name")
    assert found.loc["adam"].to_dict() == {"gradient_evaluations": 20, "updates": 10}
    assert found.loc[ADAFACTOR].to_dict() == {"gradient_evaluations": 20, "updates": 20}


def test_a_report_says_that_budgets_are_evaluations_and_shows_equal_time(spec, tmp_path):
    spec = spec.model_copy(update={"own_schedules": {}})
    records, curves = tuned(spec)
    both = result_of(spec, with_updates(records, "adam", 0.5), curves)
    text = one_line(pages(both, tmp_path / "both"))
    main = (tmp_path / "both" / "report.md").read_text()
    assert "## At equal gradient evaluations, at equal time" in main, "beside the result"
    assert "A step takes more than one: adam 2 on average" in text
    assert "| gradient evaluations | updates |" in text
    assert re.search(r"\| adam \|[^|]*\| 20 \| 10 \|", text)
    assert "AP at 20 gradient evaluations [95 %]" in text
    assert "8 tune trials of up to 10 gradient evaluations, " in text
    assert "2 fresh confirm seeds of 20 gradient evaluations for" in text
    assert "*Images/s* counts a batch once for each gradient evaluation" in one_line(main)
    assert "*Step (ms)* is of one update" in text
    assert "would score higher. Unrounded" in text, "no optimizer is exempt"
    described = optimizer_findings(both).tables_csv["equal-budgets.csv"].what
    assert described == "a row for each optimizer: AP at equal gradient evaluations, and at equal time"
    found = {row["name"]: row["updates"] for row in both.document()["optimizers"]}
    assert found == {"adam": 10, ADAFACTOR: 20}
    plain = result_of(spec, records, curves)
    assert "updates" not in plain.analysis.summary
    plain_text = pages(plain, tmp_path / "plain")
    assert "At equal steps" in plain_text
    assert "updates" not in plain_text
    assert "gradient evaluation" not in plain_text and "(ms)* is of one" not in plain_text


def test_the_loss_of_an_early_reading_is_not_said_of_those_that_are_marked(result, tmp_path):
    text = one_line(pages(result, tmp_path / "report"))
    assert f"would score higher. That does not hold for the optimizers marked {MARK}, whose rates do not" in text


def short_pages(findings):
    return " ".join(str(part) for section in findings.sections for part in section.parts)


def test_a_joint_study_says_so_too():
    records = with_fresh_seeds(made_up())
    steps = pd.Series(40.0, index=records.index)
    counted = records.assign(steps_done=steps, updates=np.where(records["optimizer"] == "adam", 20.0, math.nan))
    several, one = (findings_of(each, importances=NO_IMPORTANCES) for each in (counted, records))
    (section,) = [each for each in several.appendix if each.title == "What was run"]
    assert "A step takes more than one: adam 2 on average" in " ".join(map(str, section.parts))
    speeds = "count a batch once for each gradient evaluation."
    assert speeds in one_line(short_pages(several))
    assert speeds not in one_line(short_pages(one))
    (plain,) = [each for each in one.appendix if each.title == "What was run"]
    assert "takes more than one" not in " ".join(map(str, plain.parts))


def test_an_unknown_optimizer_s_schedule_is_refused_by_name():
    with pytest.raises(SettingsError, match="no optimizer is called 'adamm'"):
        resolve(*options(optimizer="adamm"))


def test_the_document_of_a_report_is_json(result):
    assert json.loads(json.dumps(result.spec.identity()))["own_schedules"] == {ADAFACTOR: "fixed"}
