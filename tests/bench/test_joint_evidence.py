"""Figures and tables of a joint study, of records made by hand: each number of them."""

import json
import math

import pandas as pd
import pytest

from bench.kinds.joint.analysis import front, history, importance_section, pick_tables
from bench.kinds.joint.analysis.picks import NEAR_BEST
from bench.report.findings import Draw
from tests.bench.test_joint_words import BOTH, FAST, GOOD, results_of, seeds_of
from tests.support.joint_records import trial


def test_the_front_has_its_table_and_its_caption():
    odd = trial(2, ap=0.3, speed=70)
    rows = [GOOD, FAST, odd, trial(3, ap=0.01, speed=900), trial(4, status="failed"), trial(5, status="failed")]
    found = results_of(*rows)
    (section,) = front.front_sections(found)
    assert section.parts[1].rows == [
        ["0.400", "80", "adam", "lr 0.001, momentum 0.9", "1", "False", "8", "1 (000aaaaa)"],
        ["0.100", "150", "sgd", "lr 0.001, momentum 0.9", "2", "False", "8", "2 (001bbbbb)"],
    ]
    assert list(front.front_frame(found)["learned"]) == [True, True, False]
    lost = "A point: one search trial, one seed; {} left out. A ring: a pick, at {}. The line is"
    assert front.front_caption(found).startswith(lost.format("2 without a result are", "a trial of the search"))
    assert front.front_caption(results_of(*BOTH, rows[4])).startswith(
        lost.format("1 without a result is", "the mean of its fresh seeds")
    )
    single = results_of(*BOTH, objective="ap-at-time")
    assert front.front_caption(single).endswith("at the mean of its fresh seeds.")
    (section,) = front.front_sections(single)
    assert section.parts[1].endswith(" at equal training time: speed counts only where it raises AP.")


def test_the_figure_of_the_front_has_all_that_was_measured():
    rows = [
        *BOTH,
        trial(2, ap=0.01, speed=140, batch_size=4),
        trial(3, ap=0.3, speed=math.nan),
        trial(4, status="failed"),
    ]
    chart = front.front_chart(results_of(*rows))
    (panel,) = chart.panels
    shown = [(each.label, each.draw, list(each.x), list(each.y), each.style_index) for each in panel.series]
    assert shown == [
        ("learned nothing (AP under 0.02)", Draw.FAINT, [140.0], [0.01], None),
        ("sgd", Draw.POINTS, [150.0], [0.1], 0),
        ("adam", Draw.POINTS, [80.0], [0.4], 1),
        ("front of the search", Draw.FRONT, [80.0, 150.0], [0.4, 0.1], None),
        ("", Draw.POINTS, [80.0], [pytest.approx(0.39)], 1),
        ("", Draw.POINTS, [150.0], [pytest.approx(0.11)], 0),
        ("pick, mean of its fresh seeds", Draw.RINGS, [80.0, 150.0], [pytest.approx(0.39), pytest.approx(0.11)], None),
    ]
    assert (panel.x_label, panel.y_label, panel.zero) == ("images/s of training", "AP (select split)", "y")
    assert panel.series[-1].names == ["best AP:\nadam at lr 0.001", "fastest:\nsgd at lr 0.001"]
    assert chart.alt == (
        "AP against images per second of 3 search trials, 1 of which learned nothing. best AP: adam at lr 0.001, AP "
        "0.390; fastest: sgd at lr 0.001, AP 0.110"
    )
    assert front.front_chart(results_of(trial(0, ap=0.0))) is None


def test_the_history_has_the_best_so_far():
    rows = [
        trial(0, ap=0.01, speed=90),
        trial(1, status="failed"),
        trial(2, "sgd", ap=0.2, speed=70),
        trial(3, speed=60),
    ]
    found = results_of(*rows, fixed=2)
    chart = history.history_chart(found)
    scores, speeds = ([(each.label, list(each.x), list(each.y)) for each in panel.series] for panel in chart.panels)
    assert scores == [
        ("best so far", [3.0, 4.0], [0.2, 0.3]),
        ("sgd", [3.0], [0.2]),
        ("adam", [1.0, 4.0], [0.01, 0.3]),
        ("no result", [2.0], [0.0]),
    ]
    assert speeds[0] == ("best so far", [3.0, 4.0], [70.0, 70.0])
    assert [(each.low, each.high) for each in chart.panels[0].spans] == [(0.5, 2.5)]
    assert [(panel.integer, panel.zero) for panel in chart.panels] == [("x", "y"), ("x", "y")]
    table = history.history_frame(found)
    assert table["number"].tolist() == [1, 2, 3, 4]
    assert table["best_ap"].tolist() == [0.0, 0.0, 0.2, 0.3]
    assert table["best_images_per_s"].tolist() == [0.0, 0.0, 70.0, 70.0]
    assert table["hypervolume"].tolist() == pytest.approx([0.0, 0.0, 14.0, 20.0])
    (section,) = history.history_section(found)
    assert section.parts[1].startswith(
        "The line: the best so far, of trials that learned something (AP 0.02 or more). Crosses: trials without a "
        "result. The study fixed the first 2 trials (shaded); the others were chosen by Optuna's TPE. Points: "
    )
    assert len(section.parts) == 4
    assert len(history.history_section(results_of(trial(0, ap=0.0)))[0].parts) == 2, "there is no area yet"
    assert " The study fixed the first trial (shaded);" in history._fixed_text(results_of(GOOD, fixed=1))
    assert history._fixed_text(results_of(GOOD)) == ""


def test_importances_are_told_by_scope_and_reason():
    def row(parameter, importance, chance, *, scope="all", objective="ap", why="", n=9):
        found = {"parameter": parameter, "importance": importance, "chance": chance, "scope": scope}
        return found | {"objective": objective, "why": why, "n": n}

    rows = [
        row("lr", 0.5, 0.4, scope="sgd", n=5),
        row("momentum", 0.5, 0.5, scope="sgd", n=5),
        row("num_workers", 0.3, 0.4),
        row("batch_size", 0.7, 0.4),
        row("batch_size", 0.2, 0.4, objective="images_per_s"),
        *(row(name, math.nan, math.nan, why="too few", scope="adam") for name in ("lr", "eps")),
        row("pin_memory", math.nan, math.nan, why="the same"),
        row("pin_memory", math.nan, math.nan, why="the same", objective="images_per_s"),
    ]
    found = results_of(*BOTH, importances=pd.DataFrame(rows))
    (section,) = importance_section.decided_section(found)
    assert section.parts[0] == (
        "Parameters that matter beyond chance: for AP, lr of sgd and batch_size; for images/s, none."
    )
    chart = section.parts[1]
    shared, own = chart.panels
    assert (shared.title, own.title) == ("all optimizers (9 trials)", "sgd (5 trials)")
    assert shared.names == ["num_workers", "batch_size"]
    assert [(each.label, [*map(str, each.values)], each.faint) for each in shared.series] == [
        ("AP", ["0.3", "0.7"], [True, False]),
        ("images/s", ["nan", "0.2"], [True, True]),
    ]
    assert [each.faint for each in own.series] == [[False, True]]
    (text,) = importance_section.importance_section(found).parts
    assert text.endswith(" Left out: lr and eps of adam (too few) and pin_memory (the same).")
    single = results_of(*BOTH, importances=pd.DataFrame(rows), objective="ap-at-time")
    assert importance_section.decided_section(single)[0].parts[0].endswith("chance: for AP, lr of sgd and batch_size.")
    nothing = results_of(*BOTH, importances=pd.DataFrame(rows[5:]))
    assert importance_section.decided_section(nothing) == []
    assert importance_section.importance_section(nothing).parts == ["Not known: the same and too few."]
    assert importance_section.importance_section(results_of(GOOD)).parts == ["Not known: no trial has completed."]


def test_the_table_of_the_picks_has_a_column_for_each():
    lines = {GOOD["trial_id"]: "torch.optim.Adam(p)", FAST["trial_id"]: "torch.optim.SGD(p)"}
    found = results_of(*BOTH, optimizer_lines=lines)
    table = pick_tables._main_table(found)
    assert table.columns == ("setting", "best AP", "fastest")
    assert table.rows == [
        ["optimizer", "adam", "sgd"],
        ["learning rate", "0.001", "0.001"],
        ["workers", "1", "2"],
        ["batch size", "8", "8"],
        ["fresh seeds", "2", "2"],
        ["AP", "0.390", "0.110"],
        ["AP, 95 %", "0.263 to 0.517", "0.000 to 0.237"],
        ["AP, report split", "0.380", "0.100"],
        ["images/s", "80", "150"],
        ["images/s, 95 %", "80 to 80", "150 to 150"],
        ["AP in the search", "0.400", "0.100"],
        ["images/s there", "80", "150"],
    ]
    assert pick_tables._main_table(results_of(GOOD)).columns == ("setting", "recommended")
    assert [row[0] for row in pick_tables._main_table(results_of(GOOD)).rows[4:]] == [
        "AP in the search",
        "images/s there",
    ]
    single = [GOOD, FAST, *seeds_of(GOOD, 0.4), *seeds_of(FAST, 0.1)]
    names = [row[0] for row in pick_tables._main_table(results_of(*single)).rows]
    assert "AP, 95 %" not in names, "of one seed each"
    wide = pick_tables._wide_table(found)
    assert wide.rows[0] == [
        "best AP and fastest within 2 % of it", "adam at lr 0.001, 1 worker, batch 8", "0.400", "0.390 [0.263, 0.517]",
        "2", "0.380 [0.253, 0.507]", "80", "80 [80, 80]",
    ]  # fmt: skip
    assert [section.title for section in pick_tables.other_sections(found)] == ["To paste: fastest"]


def test_the_documents_of_the_picks_have_their_numbers():
    lines = {GOOD["trial_id"]: "torch.optim.Adam(p)", FAST["trial_id"]: "torch.optim.SGD(p)"}
    found = results_of(*BOTH, optimizer_lines=lines)
    first = pick_tables.pick_documents(found)[0]
    assert (first["trial_id"], first["searched"]) == ("search-0", {"ap": 0.4, "score": 0.4, "images_per_s": 80.0})
    assert (first["fresh"]["n"], first["fresh"]["failed"], first["learned"]) == (2, 0, True)
    assert {name: each["mean"] for name, each in first["fresh"].items() if isinstance(each, dict)} == pytest.approx(
        {"ap_select": 0.39, "score_select": 0.39, "ap": 0.38, "score": 0.38, "images_per_s": 80.0}
    )
    assert first["fresh"]["ap"]["low"] == pytest.approx(0.253, abs=0.001)
    assert first["fresh"]["ap"]["high"] == pytest.approx(0.507, abs=0.001)
    recommended = pick_tables.recommended_documents(found)
    assert [(each["role"], each["trial_id"], each["confirmed"]) for each in recommended] == [
        ("best AP", "search-0", True),
        (NEAR_BEST, "search-0", True),
        ("fastest", "search-1", True),
    ]
    table = pick_tables.picks_frame(found)
    row = table.iloc[0]
    assert (row["roles"], row["trial_id"], row["n"], row["failed"]) == (f"best AP; {NEAR_BEST}", "search-0", 2, 0)
    assert json.loads(row["settings"])["optimizer"] == "adam"
    numbers = row[["searched_ap", "searched_images_per_s", "fresh_ap_select", "fresh_ap", "fresh_images_per_s"]]
    assert numbers.astype(float).tolist() == pytest.approx([0.4, 80.0, 0.39, 0.38, 80.0])
    assert row["fresh_ap_low"] < row["fresh_ap"] < row["fresh_ap_high"]


def test_pinned_memory_has_a_row_where_it_had_an_effect():
    pinned = {"pin_memory": True, "effective_pin_memory": True}
    rows = [GOOD | pinned, FAST | {"effective_pin_memory": None}]
    found = results_of(*rows)
    assert ["pinned memory", "yes", "no"] in pick_tables._main_table(found).rows
    assert (found.pinned, found.asked_to_pin) == (True, True)
    idle = results_of(GOOD | {"pin_memory": True}, FAST | {"pin_memory": None})
    assert (idle.pinned, idle.asked_to_pin) == (False, True)
    assert (results_of(*BOTH).pinned, results_of(*BOTH).asked_to_pin) == (False, False)
