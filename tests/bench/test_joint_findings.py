"""What is said of joint studies: whole ones, odd ones, and those that have hardly begun."""

import json
import math
import re
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from bench.kinds.joint.analysis import Pick, picks
from bench.kinds.joint.analysis.words import loader_call
from bench.kinds.joint.objectives import AP_AND_SPEED, AP_AT_TIME
from bench.report.findings import Chart, Table
from bench.report.findings_write import write_findings_report
from bench.statistics.json_safe import to_json_safe
from tests.support.joint_records import findings_of, frame, info_of, made_up, trial, with_fresh_seeds

pytestmark = pytest.mark.filterwarnings("error")
NO_IMPORTANCES = pd.DataFrame(columns=["objective", "scope", "parameter", "importance", "chance", "n", "why"])


def found_in(records, objective=AP_AND_SPEED, **more):
    return findings_of(records, objective, **({"importances": NO_IMPORTANCES} | more))


def page_of(records, folder, objective=AP_AND_SPEED, **more):
    return write_findings_report(found_in(records, objective, **more), info_of(records), folder).read_text()


def fresh(source, place, **more):
    row = source | {"phase": "confirm", "trial_id": f"{source['trial_id']}-{place}", "seed": 1001 + place, "index": 90}
    return row | more


@pytest.fixture(scope="module")
def records():
    return with_fresh_seeds(made_up(40))


@pytest.fixture(scope="module")
def whole(records):
    return findings_of(records)


@pytest.fixture(scope="module")
def folder(records, whole, tmp_path_factory):
    folder = tmp_path_factory.mktemp("joint")
    write_findings_report(whole, info_of(records), folder)
    return folder


@pytest.fixture(scope="module")
def text(folder):
    return " ".join((folder / "report.md").read_text().replace("\n> ", " ").split())


def test_the_answer_names_what_the_search_saw_and_what_fresh_seeds_gave(records, whole):
    (best, fastest) = picks(records, AP_AND_SPEED)
    confirm = records[(records["phase"] == "confirm") & records["trial_id"].str.startswith(f"confirm-{best.trial_id}-")]
    assert f"AP {confirm['ap_select'].mean():.3f} [" in whole.answer
    assert f"{confirm['ap'].mean():.3f} [" in whole.answer
    assert f"the search saw {best.ap:.3f}" in whole.answer
    assert f"the search saw {fastest.ap:.3f}" in whole.answer
    assert "`posebench study optimizers`" in whole.answer
    assert "9 of them without a result (4 diverged, 5 skipped)" in whole.answer


def test_the_page_has_lines_to_paste_for_each_pick(text):
    assert "DataLoader(dataset, batch_size=16)" in text
    assert "DataLoader(dataset, batch_size=16, num_workers=2)" in text
    assert text.count("torch.optim.Adam(model.parameters(), lr=") == 2


def test_the_page_says_what_it_cannot_say(text):
    assert "cannot say that one optimizer is better than another" in text
    assert "posebench study loaders" in text


def test_failures_stand_in_a_table_with_their_reasons(text):
    assert re.search(r"search \| skipped +\| would need 3\.1 GB of /dev/shm, 1\.0 GB free +\| 5", text)
    assert "9 without a result have none" in text


def test_the_json_document_has_the_contracts_keys(folder, records):
    document = json.loads((folder / "result.json").read_text())
    assert document["kind"] == "joint"
    assert {"front", "picks", "recommended", "hypervolume", "importances", "verdict"} <= document.keys()
    first = document["front"][0]
    assert first["settings"].keys() == {"optimizer", "lr", "momentum", "num_workers", "pin_memory", "batch_size"}
    assert first["ap"] == pytest.approx(records[records["phase"] == "search"]["ap"].max())
    speeds = [each["images_per_s"] for each in document["front"]]
    assert speeds == sorted(speeds)
    assert [each["role"] for each in document["recommended"]] == ["best AP", "fastest within 2 % of it", "fastest"]
    assert all(each["confirmed"] for each in document["recommended"])
    assert len(document["hypervolume"]["by_trial"]) == 40
    assert document["hypervolume"]["value"] == document["hypervolume"]["by_trial"][-1]


def test_tables_of_the_files_agree_with_the_records(folder, records):
    history = pd.read_csv(folder / "history.csv")
    search = records[records["phase"] == "search"]
    assert len(history) == len(search) == 40
    assert history["best_ap"].iloc[-1] == pytest.approx(search["ap"].max())
    assert history["best_ap"].is_monotonic_increasing
    assert history["hypervolume"].is_monotonic_increasing
    assert len(pd.read_csv(folder / "picks.csv")) == 2
    assert len(pd.read_csv(folder / "front.csv")) == 3


def test_the_same_records_give_the_same_page_and_figures(records, whole, folder, tmp_path):
    write_findings_report(findings_of(records), info_of(records), tmp_path)
    for name in ("report.md", "pareto.png", "importances.png", "history.png", "hypervolume.png"):
        assert (tmp_path / name).read_bytes() == (folder / name).read_bytes(), name


def lucky_and_solid():
    lucky, solid = trial(0, ap=0.30, speed=80), trial(1, "sgd", ap=0.28, speed=150, num_workers=2)
    return [
        *(lucky, solid),
        *(fresh(lucky, place, ap_select=ap, ap=ap, images_per_s=79.0) for place, ap in enumerate([0.20, 0.21])),
        *(fresh(solid, place, ap_select=ap, ap=ap, images_per_s=151.0) for place, ap in enumerate([0.27, 0.29])),
    ]


def test_a_pick_that_falls_behind_with_fresh_seeds_is_said_plainly(tmp_path):
    found = found_in(frame(*lucky_and_solid()), seeds=2)
    both = "the most images/s within 2 % of that AP"
    assert found.answer.startswith(
        f"For the highest AP, {both} and the most images/s of all take sgd at lr 0.001, 2 workers, batch 8"
    )
    assert (
        f"The search's choice for the highest AP and {both} did not hold with fresh seeds: adam at lr 0.001, "
        "1 worker, batch 8 had AP 0.300 in the search and 0.205 since, at 79 images/s; "
        "what takes its place has +0.075 ["
    ) in found.answer
    assert {each["settings"]["optimizer"] for each in found.document["recommended"]} == {"sgd"}
    page = page_of(frame(*lucky_and_solid()), tmp_path, seeds=2)
    assert "No longer the highest AP" in page


def test_unconfirmed_picks_are_called_flattering():
    found = found_in(made_up(40))
    assert "None of this is confirmed with fresh seeds yet" in found.answer
    assert not any(each["confirmed"] for each in found.document["recommended"])
    partly = found_in(with_fresh_seeds(made_up(40)).iloc[:41])
    assert "Not all of this is confirmed" in partly.answer


def test_fewer_seeds_than_planned_are_counted(records):
    assert "So far 3 of 5 fresh seeds are there." in found_in(records, seeds=5).answer


@pytest.mark.parametrize(
    ("sampler", "words"),
    [("tpe", "by Optuna's TPE"), ("random", "at random"), ("quasi-random", "by a quasi-random plan")],
)
def test_who_chose_is_said_as_it_was(records, sampler, words, tmp_path):
    text = " ".join(page_of(records, tmp_path, sampler=sampler).split())
    assert f"one seed each, chosen {words}" in text
    assert ("TPE" in text) == (sampler == "tpe")


def test_a_fast_pick_with_little_ap_gets_a_warning():
    found = found_in(frame(trial(0, ap=0.4, speed=80), trial(1, ap=0.01, speed=90, num_workers=0)))
    assert "That speed costs AP: it has less than half of the 0.400." in found.answer


def test_speeds_of_a_shared_machine_are_called_that(records):
    assert "of a shared machine" in found_in(records.assign(concurrent_trials=3)).answer
    assert "of a shared machine" not in found_in(records).answer


def test_speeds_of_several_machines_are_not_to_be_compared(records):
    answer = found_in(records, hosts=2).answer
    assert "Trials ran on 2 machines, whose images/s cannot be compared" in answer
    assert "shared machine" not in answer


def test_one_configuration_is_one_pick_however_often_it_was_tried():
    """Tried twice, it had the higher AP the first time and the higher speed the second."""
    same = json.dumps({"lr": 0.01})
    rows = (trial(0, ap=0.4, speed=80, hyperparameters=same), trial(1, ap=0.3, speed=90, hyperparameters=same))
    found = picks(frame(*rows), AP_AND_SPEED)
    assert [(pick.trial_id, len(pick.roles)) for pick in found] == [("search-0", 3)]


def test_pinned_memory_without_effect_is_not_in_the_line_to_paste(tmp_path):
    idle = page_of(frame(trial(0, pin_memory=True)), tmp_path / "idle")
    assert "DataLoader(dataset, batch_size=8, num_workers=1)\n" in idle
    assert "Without an accelerator `pin_memory` does nothing" in idle
    used = page_of(frame(trial(0, pin_memory=True, effective_pin_memory=True)), tmp_path / "used")
    assert "DataLoader(dataset, batch_size=8, num_workers=1, pin_memory=True)" in used
    assert "does nothing" not in used


def test_other_loader_settings_of_all_trials_are_in_the_line_to_paste(tmp_path):
    page = page_of(frame(trial(0)), tmp_path, loader={"persistent_workers": True, "prefetch_factor": 4})
    assert "DataLoader(dataset, batch_size=8, num_workers=1, prefetch_factor=4, persistent_workers=True)" in page


def test_a_pick_without_its_optimizers_line_is_the_callers_mistake():
    with pytest.raises(KeyError):
        found_in(frame(trial(0)), optimizer_lines={})


def test_the_optimizers_line_may_be_given_by_trial():
    found = found_in(frame(trial(0)), optimizer_lines={"search-0": "torch.optim.Adam(model.parameters())"})
    assert found.document["recommended"][0]["optimizer"] == "torch.optim.Adam(model.parameters())"


NAN = math.nan
STATUSES = ("failed", "diverged", "out_of_memory", "timed_out", "skipped")
ODD = {
    "nothing": (pd.DataFrame(), "No trial has ended yet"),
    "no rows": (frame(trial(0)).iloc[:0], "No trial has ended yet"),
    "one": (frame(trial(0)), "take adam at lr 0.001, 1 worker, batch 8: AP 0.300"),
    "one failed": (frame(trial(0, status="failed", error="a | b\nc")), "no search trial completed"),
    "all failed": (frame(*(trial(i, status=s) for i, s in enumerate(STATUSES))), "no search trial completed"),
    "all zero": (frame(*(trial(i, ap=0.0) for i in range(12))), "nothing to recommend"),
    "one zero": (frame(trial(0, ap=0.0)), "nothing to recommend"),
    "all equal": (frame(*(trial(i) for i in range(12))), "take adam"),
    "no ap": (frame(trial(0, ap=NAN), trial(1, ap=NAN)), "nothing to recommend"),
    "fresh failed": (frame(trial(0), fresh(trial(0), 0, status="failed", ap=NAN)), "no pick reached an AP above 0"),
    "fresh zero": (frame(trial(0), fresh(trial(0), 0, ap_select=0.0, ap=0.0)), "no pick reached an AP above 0"),
}


@pytest.mark.parametrize("objective", [AP_AND_SPEED, AP_AT_TIME])
@pytest.mark.parametrize("name", ODD)
def test_odd_studies_are_reported_in_words(name, objective, tmp_path):
    records, told = ODD[name]
    found = findings_of(records, objective)
    write_findings_report(found, info_of(records, status="unfinished"), tmp_path)
    page = (tmp_path / "report.md").read_text()
    assert told in found.answer
    assert not re.search(r"\b(nan|inf)\b", page)
    document = json.loads((tmp_path / "result.json").read_text())
    assert document["recommended"] == [] or "take" in told
    files = {path.name for path in tmp_path.glob("*.png")}
    assert files == {chart.file for chart in found.charts()}


def test_with_ap_at_time_there_is_neither_front_nor_hypervolume(records):
    found = found_in(records, AP_AT_TIME)
    titles = [section.title for section in found.sections]
    assert "The Pareto front" not in titles
    assert "What more trials would bring" not in titles
    assert found.document["hypervolume"] is None
    assert [each["role"] for each in to_json_safe(found.document)["recommended"]] == ["best AP"]


def test_without_a_speed_ap_at_time_can_still_be_answered(tmp_path):
    page = page_of(frame(trial(0, speed=NAN), trial(1, ap=0.2, speed=NAN)), tmp_path, AP_AT_TIME)
    assert "take adam at lr 0.001, 1 worker, batch 8: AP 0.300 in one trial of the search" in " ".join(page.split())


def test_importances_are_drawn_with_what_chance_gives_pale(whole):
    section = next(section for section in whole.sections if section.title == "What decided")
    chart = next(part for part in section.parts if isinstance(part, Chart))
    shared = chart.panels[0]
    assert set(shared.names) == {"optimizer", "num_workers", "batch_size"}
    assert [series.label for series in shared.series] == ["AP", "images/s"]
    speed = shared.series[1]
    assert shared.names[int(np.argmax(speed.values))] == "batch_size"
    assert not speed.faint[shared.names.index("batch_size")]
    told = " ".join(part for part in section.parts if isinstance(part, str))
    assert "for images/s batch_size" in told
    assert "pin_memory (the same value in every trial)" in told
    assert "(fewer than 8 complete trials)" in told


def test_an_optimizer_has_one_look_wherever_it_stands_in_the_study(whole):
    places = {}
    for chart in whole.charts():
        for panel in chart.panels:
            for series in getattr(panel, "series", ()):
                if getattr(series, "place", None) is not None:
                    assert places.setdefault(series.label, series.place) == series.place
    assert places["adam"] == 4


def test_the_main_table_is_that_of_the_picks(whole):
    table = whole.main_table()
    assert isinstance(table, Table)
    assert table.columns[0] == "pick"
    assert len(table.rows) == 2


def test_a_call_to_paste_has_no_setting_that_needs_workers_where_there_are_none():
    settings = {"optimizer": "sgd", "num_workers": 0, "pin_memory": False, "batch_size": 4}
    pick = Pick(("best AP",), "key", settings, "trial", "run", ap=0.5, images_per_s=9.0, pinned=False)
    others = {"persistent_workers": True, "prefetch_factor": 4}
    assert loader_call(pick, others) == "DataLoader(dataset, batch_size=4)"
    with_one = replace(pick, settings={**pick.settings, "num_workers": 1})
    assert "persistent_workers=True" in loader_call(with_one, others)
