"""What is said of joint studies: whole ones, odd ones, and those that have hardly begun."""

import json
import math
import re
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from bench.cli.print_output import print_output
from bench.kinds.joint.analysis import Pick, claims, picks
from bench.kinds.joint.analysis.words import loader_call
from bench.kinds.joint.importances import importances
from bench.kinds.joint.objectives import AP_AND_SPEED, AP_AT_TIME
from bench.report import findings_write, style
from bench.report.command_output import OutputTable
from bench.report.findings import Chart, Draw, Intervals, Table
from bench.report.findings_result import FindingsResult
from bench.report.findings_write import write_findings_report
from bench.report.markdown_page import main_markdown
from bench.report.shown_score import ShownScore
from bench.report.text import plain
from bench.statistics.json_safe import to_json_safe
from bench.workloads import Score
from tests.support.empty_pictures import empty_figure
from tests.support.joint_records import findings_of, frame, info_of, made_up, observed, trial, with_fresh_seeds

pytestmark = pytest.mark.filterwarnings("error")
NO_IMPORTANCES = pd.DataFrame(columns=["objective", "scope", "parameter", "importance", "chance", "n", "why"])


def found_in(records, objective=AP_AND_SPEED, **more):
    return findings_of(records, objective, **({"importances": NO_IMPORTANCES} | more))


def page_of(records, folder, objective=AP_AND_SPEED, **more):
    """Main page and appendix. Figures are empty: those of whole and of odd studies are drawn."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(findings_write, "figure_of", empty_figure)
        main = write_findings_report(found_in(records, objective, **more), info_of(records), folder)
    return main.read_text() + (folder / "appendix.md").read_text()


def fresh(source, place, **more):
    row = source | {"phase": "confirm", "trial_id": f"{source['trial_id']}-{place}", "seed": 1001 + place, "index": 90}
    return row | more


@pytest.fixture(scope="module")
def records():
    return with_fresh_seeds(made_up(40))


@pytest.fixture(scope="module", autouse=True)
def small_figures():
    """Of real ones most of the time goes into compressing pixels."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(style, "DPI", 30)
        yield


@pytest.fixture(scope="module")
def decided(records):
    """How much each parameter decided, computed once; that it is the same each time is tested where it is computed."""
    return importances(observed(records), ("ap", "images_per_s"))


@pytest.fixture(scope="module")
def whole(records, decided):
    return findings_of(records, importances=decided)


@pytest.fixture(scope="module")
def folder(records, whole, tmp_path_factory):
    folder = tmp_path_factory.mktemp("joint")
    write_findings_report(whole, info_of(records), folder)
    return folder


@pytest.fixture(scope="module")
def main(folder):
    return " ".join((folder / "report.md").read_text().replace("\n> ", " ").split())


@pytest.fixture(scope="module")
def text(folder, main):
    return main + " ".join((folder / "appendix.md").read_text().split())


def test_the_answer_says_what_to_use_with_figures_of_fresh_seeds(records, whole):
    (best, fastest) = picks(records, AP_AND_SPEED)
    confirm = records[records["phase"] == "confirm"]
    means = [
        confirm[confirm["trial_id"].str.startswith(f"confirm-{pick.trial_id}-")][
            ["ap_select", "ap", "images_per_s"]
        ].mean()
        for pick in (best, fastest)
    ]
    rates = [f"{pick.settings['lr']:.3g}" for pick in (best, fastest)]
    figures = [f"AP {mean['ap_select']:.3f} on 3 fresh seeds at {mean['images_per_s']:.0f} images/s" for mean in means]
    assert whole.answer == (
        f"Use adam at lr {rates[0]} with 0 workers and batches of 16: {figures[0]}. If speed matters more, take adam "
        f"at lr {rates[1]} with 2 workers and batches of 16: {figures[1]}."
    )
    assert whole.metrics["ap"] == pytest.approx(means[0]["ap_select"])
    assert whole.metrics["ap_report"] == pytest.approx(means[0]["ap"])
    assert whole.metrics["images_per_s"] == pytest.approx(means[0]["images_per_s"])
    assert whole.metrics["fresh_seeds"] == 3


def test_the_sureness_says_why_it_is_not_surer(records, whole):
    (best, _) = picks(records, AP_AND_SPEED)
    assert "is a mean over 3 fresh seeds" in whole.sureness
    assert "On the report split, not used to choose, it is 0." in whole.sureness
    assert f"The search saw {best.score:.3f}, the best of 31 complete trials, so it was optimistic." in whole.sureness
    assert "cannot say which is better" in whole.sureness
    assert "`posebench study optimizers`" in whole.sureness


def test_what_the_search_saw_does_not_flatter_where_fresh_seeds_are_better():
    best = trial(0, ap=0.3)
    found = found_in(frame(best, *(fresh(best, n, ap_select=0.32, ap=0.31) for n in range(3))))
    assert "flatters" not in found.sureness


def test_the_claims_name_what_the_search_saw_and_what_fresh_seeds_gave(records, whole):
    (best, fastest) = picks(records, AP_AND_SPEED)
    confirm = records[(records["phase"] == "confirm") & records["trial_id"].str.startswith(f"confirm-{best.trial_id}-")]
    assert f"AP {confirm['ap_select'].mean():.3f} [" in whole.claims
    assert f"{confirm['ap'].mean():.3f} [" in whole.claims
    assert f"the search saw {best.score:.3f}" in whole.claims
    assert f"the search saw {fastest.score:.3f}" in whole.claims
    assert "`posebench study optimizers`" in whole.claims
    assert "9 of them without a result (4 diverged, 5 skipped)" in whole.claims


def test_the_main_page_has_lines_to_paste_for_each_recommendation(main):
    assert "DataLoader(dataset, batch_size=16)" in main
    assert "DataLoader(dataset, batch_size=16, num_workers=2)" in main
    assert main.count("torch.optim.Adam(model.parameters(), lr=") == 2


def test_the_command_to_train_is_pasted_where_there_is_one(records):
    (best, _) = picks(records, AP_AND_SPEED)
    found = found_in(records, train_commands={best.key: "posebench train --data DIR --lr 1"})
    assert [code.text for code in found.paste][1:] == ["posebench train --data DIR --lr 1"]
    assert found.document["recommended"][0]["train"] == "posebench train --data DIR --lr 1"
    assert found.document["recommended"][-1]["train"] == ""


WORD = re.compile(r"[^\W_][\w.,%/'-]*")


def seen(page):
    """The words that a reader of the page sees."""
    page = re.sub(r"!\[.*?\]\([^)]*\)", "", page)
    return len(WORD.findall(re.sub(r"\]\([^)]*\)", "]", page)))


@pytest.mark.parametrize("objective", [AP_AND_SPEED, AP_AT_TIME])
def test_the_main_page_has_at_most_600_words(objective, decided):
    trials = made_up(40).assign(concurrent_trials=2)
    found = findings_of(with_fresh_seeds(trials, objective), objective, hosts=1, importances=decided)
    assert 150 < seen(main_markdown(found, info_of(trials, status="unfinished"))) <= 600


@pytest.mark.parametrize("objective", [AP_AND_SPEED, AP_AT_TIME])
def test_a_terminal_shows_it_in_80_columns(objective, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    records = three_picks()
    shown = FindingsResult(found_in(records, objective, seeds=2), info_of(records)).output("reports/x/report.md")
    table = next(block for block in shown.blocks if isinstance(block, OutputTable))
    assert sum(max(map(len, column)) + 3 for column in zip(table.columns, *table.rows, strict=True)) + 1 <= 80
    print_output(shown)
    assert max(map(len, capsys.readouterr().out.splitlines())) <= 80


def test_the_page_says_what_it_cannot_say(text):
    assert "cannot say which optimizer is better" in text
    assert "posebench study loaders" in text


def test_failures_stand_in_a_table_with_their_reasons(text):
    assert re.search(r"search \| skipped +\| would need 3\.1 GB of /dev/shm, 1\.0 GB free +\| 5", text)
    assert "9 without a result are left out" in text
    assert "What failed" not in page_titles(found_in(frame(trial(0))))


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


def test_the_same_records_give_the_same_page_and_figures(records, decided, folder, tmp_path):
    write_findings_report(findings_of(records, importances=decided), info_of(records), tmp_path)
    for name in (
        "report.md",
        "appendix.md",
        "report.html",
        "pareto.png",
        "importances.png",
        "history.png",
        "hypervolume.png",
    ):
        assert (tmp_path / name).read_bytes() == (folder / name).read_bytes(), name


def page_titles(found):
    return [section.title for section in (*found.sections, *found.appendix)]


def three_picks():
    """The best, one nearly as good and faster, one that is the fastest and much worse."""
    rows = [trial(0, "adagrad", ap=0.300, speed=80), trial(1, "nesterov", ap=0.297, speed=100, num_workers=2)]
    rows += [trial(2, "adabound", ap=0.1, speed=150, num_workers=12, batch_size=128)]
    confirm = [
        fresh(row, n, ap_select=row["ap"] - 0.001 * n, ap=row["ap"], images_per_s=row["images_per_s"] + n)
        for row in rows
        for n in range(2)
    ]
    return frame(*rows, *confirm)


def test_three_recommendations_are_three_sentences():
    found = found_in(three_picks(), seeds=2)
    assert found.answer == (
        "Use adagrad at lr 0.001 with 1 worker and batches of 8: AP 0.299 on 2 fresh seeds at 80.5 images/s. Faster, "
        "with an AP within 2 % of it, is nesterov at lr 0.001 with 2 workers and batches of 8: AP 0.296 on 2 fresh "
        "seeds at 100 images/s. If speed matters more, take adabound at lr 0.001 with 12 workers and batches of 128: "
        "AP 0.100 on 2 fresh seeds at 150 images/s."
    )
    table = found.main_table()
    assert table.columns == ("setting", "best AP", "nearly best, faster", "fastest")


def fast_and_useless(ap=0.0002, speed=159.0):
    """What joint-cpu was: the fastest configuration of the search scores by chance, in the search and since."""
    good, fast = trial(0, ap=0.09, speed=80), trial(1, "nesterov", ap=ap, speed=speed, num_workers=2)
    return frame(
        *(good, fast),
        *(fresh(good, n, ap_select=0.09 + 0.01 * n, ap=0.1, images_per_s=80.0 + n) for n in range(3)),
        *(fresh(fast, n, ap_select=0.00003, ap=0.0, images_per_s=speed - n) for n in range(3)),
    )


def test_nothing_under_the_floor_is_recommended(tmp_path):
    records = fast_and_useless()
    found = found_in(records)
    assert {each["settings"]["optimizer"] for each in found.document["recommended"]} == {"adam"}
    assert [each["learned"] for each in found.document["picks"]] == [True, False]
    assert "The fastest setting of the search learned nothing (AP under 0.02)." in found.sureness
    assert "learned nothing with fresh seeds (AP 0.000, under 0.02)" in found.claims
    assert not any("nesterov" in code.text or "SGD" in code.text for code in found.paste)
    page = page_of(records, tmp_path)
    assert "**Not recommended, it learned nothing (AP under 0.02): nesterov" in page
    low = ShownScore(Score("ap", high=0.0005), "images")
    assert found_in(records, measure=low).document["recommended"][-1]["settings"]["optimizer"] == "nesterov"


def test_what_learned_nothing_is_drawn_apart_and_has_no_ring():
    found = found_in(fast_and_useless())
    (panel,) = found.figure.panels
    series = {each.label: each for each in panel.series}
    faint = series["learned nothing (AP under 0.02)"]
    assert (faint.draw, list(faint.x), list(faint.y)) == (Draw.FAINT, [159.0], [0.0002])
    assert list(series["front of the search"].x) == [80.0]
    rings = series["pick, mean of its fresh seeds"]
    assert (rings.draw, list(rings.x), list(rings.y)) == (Draw.RINGS, [81.0], [pytest.approx(0.1)])
    assert rings.names == ["recommended:\nadam at lr 0.001"]
    assert "nesterov" not in series


def test_where_all_are_at_chance_nothing_is_recommended_drawn_or_best(tmp_path):
    rows = [trial(n, ap=0.001 * n, speed=80.0 + n) for n in range(12)]
    records = with_fresh_seeds(frame(*rows))
    found = findings_of(records)
    assert found.answer == (
        "Nothing to recommend: no pick reached AP 0.02, under which a run has learned nothing, with fresh seeds; the "
        "search saw 0.011."
    )
    assert (found.document["recommended"], found.paste, found.figure) == ([], (), None)
    assert found.document["front"], "the front stands in the files, and what learned nothing is told apart there"
    assert not any(each["learned"] for each in found.document["front"])
    assert "ap" not in found.metrics
    drawn = [series.label for chart in found.images() for panel in chart.panels for series in panel.series]
    assert "best so far" not in drawn
    page = page_of(records, tmp_path)
    assert "| best AP" not in page.partition(": appendix")[0]


@pytest.mark.parametrize(("noise", "said"), [(0.5, ""), (36.0, "in large part noise"), (60.0, "mostly noise")])
def test_a_noisy_speed_axis_is_called_that_in_words_and_beside_the_figure(noise, said):
    """Two picks at 100 and 160 images/s, whose repeats differ by the noise; so many others, of one speed each."""
    random = np.random.default_rng(1)
    rows = [trial(0, ap=0.3, speed=100), trial(1, "sgd", ap=0.2, speed=160, num_workers=2)]
    rows += [trial(n, ap=0.1, speed=50 + 9 * n, batch_size=n + 8) for n in range(2, 9)]
    confirm = [
        fresh(row, n, ap_select=row["ap"], ap=row["ap"], images_per_s=row["images_per_s"] + random.normal(0, noise))
        for row in rows[:2]
        for n in range(5)
    ]
    records = frame(*rows, *confirm)
    found = found_in(records, seeds=5)
    main = " ".join(main_markdown(found, info_of(records)).split())
    share = found.document["speed_noise"]["share"]
    assert found.metrics["speed_noise_share"] == share
    assert found.document["speed_noise"]["repeats"] == 10
    assert found.document["speed_noise"]["noisy"] == bool(said)
    assert (
        f"Images/s are {said}: differences between runs of the same settings make up {100 * share:.0f} % of"
        in found.sureness
    ) == bool(said)
    assert ("**The speed axis is" in main) == bool(said)
    assert ("Speeds are too noisy here to say which setting is faster" in found.answer) == bool(said)
    assert ("If speed matters more" in found.answer) == (not said)
    if said:
        assert f"**The speed axis is {said} ({100 * share:.0f} % of its variance).**" in main
        assert found.figure.panels[0].series[-1].names == [
            "best AP:\nadam at lr 0.001",
            "measured faster:\nsgd at lr 0.001",
        ]


def test_with_hardly_any_repeats_nothing_is_said_of_noise():
    best = trial(0, ap=0.3, speed=100)
    found = found_in(frame(best, fresh(best, 0, ap_select=0.3, ap=0.3, images_per_s=20.0)), seeds=1)
    assert found.document["speed_noise"] is None
    assert "noise" not in found.sureness + found.answer


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
    assert found.answer == (
        "Use sgd at lr 0.001 with 2 workers and batches of 8: AP 0.280 on 2 fresh seeds at 151 images/s."
    )
    assert found.claims.startswith(
        f"For the highest AP, {both} and the most images/s of all, take sgd at lr 0.001, 2 workers, batch 8"
    )
    assert (
        f"The search's choice for the highest AP and {both} did not hold up with fresh seeds: adam at lr 0.001, "
        "1 worker, batch 8 had AP 0.300 in the search and 0.205 with fresh seeds, at 79 images/s; "
        "its replacement differs by +0.075 ["
    ) in found.claims
    assert {each["settings"]["optimizer"] for each in found.document["recommended"]} == {"sgd"}
    page = page_of(frame(*lucky_and_solid()), tmp_path, seeds=2)
    assert "No longer the highest AP" in page


def test_unconfirmed_picks_are_called_flattering():
    found = found_in(made_up(40))
    assert "None of this is confirmed with fresh seeds yet" in found.claims
    assert "on one seed of the search" in found.answer
    assert (
        "Not confirmed with fresh seeds yet: AP 0.326 is the best of 31 complete trials, so it is optimistic."
        in found.sureness
    )
    assert not any(each["confirmed"] for each in found.document["recommended"])
    partly = found_in(with_fresh_seeds(made_up(40)).iloc[:41])
    assert "Not all of this is confirmed" in partly.claims
    assert "Not confirmed with fresh seeds yet" in partly.sureness


def test_fewer_seeds_than_planned_are_counted(records):
    found = found_in(records, seeds=5)
    assert "So far, 3 of 5 fresh seeds have finished." in found.claims
    assert "a mean over 3 of 5 fresh seeds" in found.sureness


@pytest.mark.parametrize(
    ("sampler", "words"),
    [("tpe", "by Optuna's TPE"), ("random", "at random"), ("quasi-random", "by a quasi-random plan")],
)
def test_who_chose_is_said_as_it_was(records, sampler, words, tmp_path):
    text = " ".join(page_of(records, tmp_path, sampler=sampler).split())
    assert f"one seed each, chosen {words}" in text
    assert ("TPE" in text) == (sampler == "tpe")


def test_a_fast_pick_with_little_ap_gets_a_warning():
    found = found_in(frame(trial(0, ap=0.4, speed=80), trial(1, ap=0.03, speed=90, num_workers=0)))
    assert "That speed costs AP: it is less than half of the highest, 0.400." in found.claims


def test_speeds_of_a_shared_machine_are_called_that(records):
    shared = found_in(records.assign(concurrent_trials=3))
    assert "of a shared machine" in shared.claims
    assert "of a shared machine" in found_in(records.assign(concurrent_trials=[3, *[1] * (len(records) - 1)])).claims
    assert "Up to 3 trials shared the machine" in shared.sureness
    assert "of a shared machine" not in found_in(records).claims


def test_speeds_of_several_machines_are_not_to_be_compared(records):
    found = found_in(records, hosts=2)
    assert "Trials ran on 2 machines, whose images/s cannot be compared" in found.claims
    assert "shared machine" not in found.claims
    assert "Trials ran on 2 machines: do not compare their images/s." in found.sureness


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
    assert "    dataset, batch_size=8, num_workers=1, prefetch_factor=4,\n    persistent_workers=True\n)" in page


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
    "one": (frame(trial(0)), "Use adam at lr 0.001 with 1 worker and batches of 8: AP 0.300 on one seed of the search"),
    "one failed": (frame(trial(0, status="failed", error="a | b\nc")), "no search trial completed"),
    "all failed": (frame(*(trial(i, status=s) for i, s in enumerate(STATUSES))), "no search trial completed"),
    "all zero": (frame(*(trial(i, ap=0.0) for i in range(12))), "Nothing to recommend: none of the 12 complete"),
    "one zero": (frame(trial(0, ap=0.0)), "Nothing to recommend: the only complete search trial"),
    "all equal": (frame(*(trial(i) for i in range(12))), "Use adam"),
    "no ap": (frame(trial(0, ap=NAN), trial(1, ap=NAN)), "Nothing to recommend"),
    "fresh failed": (frame(trial(0), fresh(trial(0), 0, status="failed", ap=NAN)), "no run with fresh seeds completed"),
    "fresh zero": (frame(trial(0), fresh(trial(0), 0, ap_select=0.0, ap=0.0)), "no pick reached AP 0.02"),
}


@pytest.mark.parametrize("objective", [AP_AND_SPEED, AP_AT_TIME])
@pytest.mark.parametrize("name", ODD)
def test_odd_studies_are_reported_in_words(name, objective, tmp_path, monkeypatch):
    monkeypatch.setattr(findings_write, "as_svg", lambda _: "<svg></svg>")  # once more what the files show
    records, told = ODD[name]
    found = findings_of(records, objective)
    write_findings_report(found, info_of(records, status="unfinished"), tmp_path)
    page = (tmp_path / "report.md").read_text() + (tmp_path / "appendix.md").read_text()
    assert told in found.answer
    assert not re.search(r"\b(nan|inf)\b", page)
    document = json.loads((tmp_path / "result.json").read_text())
    assert document["recommended"] == [] or "Use" in told
    assert bool(found.paste) == bool(document["recommended"])
    files = {path.name for path in tmp_path.glob("*.png")}
    assert files == {chart.file for chart in found.images()}
    for chart in found.images():
        for panel in chart.panels:
            assert len(getattr(panel, "names", ())) or any(len(each.x) for each in panel.series), chart.file


def test_with_ap_at_time_there_is_neither_front_nor_hypervolume(records):
    found = found_in(records, AP_AT_TIME)
    assert "The front of AP and images/s" not in page_titles(found)
    assert "hypervolume.png" not in [image.file for image in found.images()]
    assert found.document["hypervolume"] is None
    assert [each["role"] for each in to_json_safe(found.document)["recommended"]] == ["best AP"]


def test_without_a_speed_ap_at_time_can_still_be_answered(tmp_path):
    page = page_of(frame(trial(0, speed=NAN), trial(1, ap=0.2, speed=NAN)), tmp_path, AP_AT_TIME)
    assert "Use adam at lr 0.001 with 1 worker and batches of 8: AP 0.300 on one seed of the search." in page
    assert "take adam at lr 0.001, 1 worker, batch 8: AP 0.300 in one trial of the search" in " ".join(page.split())


def test_with_ap_at_time_the_figure_sets_the_search_beside_fresh_seeds():
    best = trial(0, ap=0.3)
    records = frame(best, trial(1, ap=0.1), *(fresh(best, n, ap_select=0.2 + 0.01 * n, ap=0.19) for n in range(3)))
    found = found_in(records, AP_AT_TIME)
    (panel,) = found.figure.panels
    assert isinstance(panel, Intervals)
    assert list(panel.names) == ["search, best of 2", "3 fresh seeds, same images", "3 fresh seeds, other images"]
    assert panel.middle == [0.3, pytest.approx(0.21), pytest.approx(0.19)]
    assert math.isnan(panel.low[0])
    assert panel.low[1] < 0.21 < panel.high[1]
    assert "same images: AP 0.210 [" in found.figure.alt
    assert found_in(records.iloc[:2], AP_AT_TIME).figure.file == "history.png"


def test_importances_are_drawn_with_what_chance_gives_pale(whole):
    section = next(section for section in whole.sections if section.title == "What decided")
    chart = next(part for part in section.parts if isinstance(part, Chart))
    shared = chart.panels[0]
    assert set(shared.names) == {"optimizer", "num_workers", "batch_size"}
    assert [series.label for series in shared.series] == ["AP", "images/s"]
    speed = shared.series[1]
    assert shared.names[int(np.argmax(speed.values))] == "batch_size"
    assert not speed.faint[shared.names.index("batch_size")]
    assert any("for images/s, batch_size" in part for part in section.parts if isinstance(part, str))
    told = " ".join(part for part in more_of(whole, "How much each parameter decided") if isinstance(part, str))
    assert "pin_memory (the same value in every trial)" in told
    assert "(fewer than 8 complete trials)" in told


def more_of(found, title):
    return next(section for section in found.appendix if section.title == title).parts


def test_importances_that_chance_gives_too_are_left_to_the_appendix():
    row = {"scope": "all", "importance": 0.5, "chance": 0.9, "n": 30, "why": ""}
    rows = [row | {"objective": "ap", "parameter": name} for name in ("optimizer", "batch_size")]
    found = found_in(made_up(40), importances=pd.DataFrame(rows))
    assert "What decided" not in [section.title for section in found.sections]
    parts = more_of(found, "How much each parameter decided")
    assert "Parameters that matter beyond chance: for AP, none." in parts
    assert any(isinstance(part, Chart) for part in parts)


def test_an_objective_of_which_nothing_is_known_is_not_mentioned():
    row = {"scope": "all", "n": 30, "why": "", "parameter": "optimizer", "chance": 0.1, "importance": 0.5}
    found = found_in(made_up(40), importances=pd.DataFrame([row | {"objective": "images_per_s"}]))
    (section,) = [section for section in found.sections if section.title == "What decided"]
    assert section.parts[0] == "Parameters that matter beyond chance: for images/s, optimizer."


def test_an_optimizer_has_one_look_wherever_it_stands_in_the_study(whole):
    style_indices = {}
    for chart in whole.images():
        for panel in chart.panels:
            for series in getattr(panel, "series", ()):
                if getattr(series, "style_index", None) is not None:
                    assert style_indices.setdefault(series.label, series.style_index) == series.style_index
    assert style_indices["adam"] == 4


def test_the_main_table_is_that_of_the_picks(whole):
    table = whole.main_table()
    assert isinstance(table, Table)
    assert table.columns == ("setting", "best AP", "fastest")
    assert ["workers", "0", "2"] in table.rows
    assert any(row[0] == "AP" and row[1].startswith("0.3") for row in table.rows)


def test_what_a_user_has_named_comes_out_as_it_is(tmp_path):
    odd = "my_*lib*.<b>Lion</b>|x"
    best = trial(0, odd, error="`a` | <i>")
    records = frame(best, trial(1, odd, status="failed", error="<script>alert(1)</script>"))
    found = found_in(records, optimizers=(odd,))
    assert plain(found.answer).startswith(f"Use {odd} at lr 0.001")
    page = page_of(records, tmp_path, optimizers=(odd,))
    assert "<script>" not in page
    assert "<b>" not in page
    assert "<b>" not in (tmp_path / "report.html").read_text()


def test_a_call_to_paste_has_no_setting_that_needs_workers_where_there_are_none():
    settings = {"optimizer": "sgd", "num_workers": 0, "pin_memory": False, "batch_size": 4}
    pick = Pick(("best AP",), "key", settings, "trial", "run", score=0.5, images_per_s=9.0, pinned=False)
    others = {"persistent_workers": True, "prefetch_factor": 4}
    assert loader_call(pick, others) == "DataLoader(dataset, batch_size=4)"
    with_one = replace(pick, settings={**pick.settings, "num_workers": 1})
    assert "persistent_workers=True" in loader_call(with_one, others)


def test_a_speed_that_nobody_knows_is_no_low_score():
    found = found_in(frame(*[trial(index, ap=0.3, speed=math.nan) for index in range(3)]))
    assert found.answer == "Nothing to recommend: the speed of all of the 3 complete search trials is not known."


def test_numbers_are_of_the_search_until_all_picks_are_confirmed(records):
    confirm = records["phase"] == "confirm"
    found = found_in(pd.concat([records[~confirm], records[confirm][:1]]))
    assert "on one seed of the search" in found.answer
    assert found.metrics["fresh_seeds"] == 0
    assert "ap_report" not in found.metrics


@pytest.mark.parametrize(
    ("ended", "said"),
    [((1, 3), ["So far, 1 of 3 fresh seeds have finished."]), ((3, 3), []), ((), ["So far, 0 of 3 fresh seeds have"])],
)
def test_of_unequally_many_fresh_seeds_the_fewest_have_finished(ended, said):
    results = SimpleNamespace(
        all_confirmed=True, fresh=[SimpleNamespace(n=n) for n in ended], seeds=3, hosts=1, shared_machine=False,
        speed_is_noise=False, single=False,
    )  # fmt: skip
    found = claims.trust_sentences(results)
    assert [sentence[: len(each)] for sentence, each in zip(found, said, strict=True)] == said
