"""Numbers, counts, durations and lists as words and as table cells, each at the limits of its rules."""

import math
from dataclasses import replace

import pandas as pd
import pytest

from bench.report import style
from bench.report.cells import (
    interval_cell,
    known,
    markdown_table,
    number_cell,
    p_cell,
    run_cell,
    settings_text,
    speed_text,
)
from bench.report.names import marked, short_names
from bench.report.shown_score import AP, ShownScore
from bench.report.wording import (
    counted,
    duration_text,
    enumerate_items,
    in_one_line,
    loss_text,
    p_text,
    scored_text,
    value_text,
)
from bench.statistics.interval import Interval
from bench.workloads import Score
from tests.support.joint_records import info_of as study_info

NAN = math.nan


def info_of(records, *, status, **changes):
    return replace(study_info(records, status=status), **changes)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"),
        (59.4, "59 s"),
        (59.6, "1 min"),
        (89, "1 min"),
        (91, "2 min"),
        (59.4 * 60, "59 min"),
        (59.6 * 60, "1 h"),
        (3 * 3600, "3 h"),
        (3 * 3600 + 20 * 60, "3 h 20 min"),
        (23 * 3600 + 59 * 60, "23 h 59 min"),
        (24 * 3600, "1 day"),
        (25 * 3600, "1 day 1 h"),
        (47 * 3600, "1 day 23 h"),
        (48 * 3600, "2 days"),
        (52 * 3600, "2 days 4 h"),
    ],
)
def test_a_duration_has_two_units_at_most(seconds, text):
    assert duration_text(seconds) == text


@pytest.mark.parametrize(
    ("p", "alpha", "text"),
    [
        (0.41, 0.0, "= 0.41"),
        (0.1, 0.0, "= 0.10"),
        (0.0999, 0.0, "= 0.100"),
        (0.012, 0.0, "= 0.012"),
        (0.001, 0.0, "= 0.001"),
        (0.0009, 0.0, "< 0.001"),
        (0.0, 0.0, "< 0.001"),
        (0.0501, 0.05, "> 0.05"),
        (0.0501, 0.0, "= 0.050"),
        (0.05, 0.05, "= 0.050"),
        (0.0499, 0.05, "= 0.050"),
        (0.0506, 0.05, "= 0.051"),
    ],
)
def test_a_p_value_is_never_rounded_down_to_the_level(p, alpha, text):
    assert p_text(p, alpha) == text


def test_a_p_value_s_cell_has_no_sign_of_equality():
    assert [p_cell(p) for p in (0.41, 0.0501, 0.0001, NAN, None)] == ["0.41", "> 0.05", "< 0.001", "-", "-"]


def test_lists_and_counts():
    assert enumerate_items(["a"]) == "a"
    assert enumerate_items(["a", "b"]) == "a and b"
    assert enumerate_items(["a", "b", "c"], last="or") == "a, b or c"
    assert [counted(count, "seed") for count in (0, 1, 2)] == ["0 seeds", "1 seed", "2 seeds"]
    assert in_one_line("posebench train \\\n    --lr 1 \\\n    --seed 2") == "posebench train --lr 1 --seed 2"


def test_scores_losses_and_values():
    assert scored_text("adam", 0.52, 0.5014, 0.54) == "adam 0.520 [0.501, 0.540]"
    assert scored_text("adam", 0.52, NAN, NAN) == "adam 0.520"
    assert [loss_text(loss) for loss in (12.3456, 0.000123456, NAN, None)] == ["12.35", "0.0001235", "-", "-"]
    assert value_text([0.9, (0.999, 1)]) == "(0.9, (0.999, 1))"
    assert [value_text(value) for value in (True, False, 0.003149, 3, "original")] == [
        "true",
        "false",
        "0.00315",
        "3",
        "original",
    ]


def test_cells():
    assert number_cell(1234.56, ".1f", " s", scale=0.01) == "12.3 s"
    assert [number_cell(value, ".1f", " s") for value in (None, NAN, math.inf)] == ["-"] * 3
    assert [known(value) for value in (0, -1.5, None, NAN, -math.inf)] == [True, True, False, False, False]
    assert [speed_text(speed) for speed in (9.8149, 98.149, 99.96, 100.4, 9810.3, 123456.7, None)] == [
        "9.81",
        "98.1",
        "100",
        "100",
        "9810",
        "123457",
        "-",
    ]
    assert interval_cell(0.1814, 0.16, 0.2) == "0.181 [0.160, 0.200]"
    assert interval_cell(18.14, 16, 20, ".1f") == "18.1 [16.0, 20.0]"
    assert [interval_cell(0.2, NAN, NAN), interval_cell(None, None, None)] == ["0.200", "-"]
    assert [run_cell("8a1f02c3d4"), run_cell(NAN), run_cell(None)] == ["8a1f02c3", "-", "-"]


def test_a_table_lines_up():
    assert markdown_table(("a", "long"), [["wider", "1"], ["b", "2"]]).split("\n") == [
        "| a     | long |",
        "| ----- | ---- |",
        "| wider | 1    |",
        "| b     | 2    |",
    ]


def test_settings_at_the_border_of_their_range_have_a_star():
    text = '{"lr": 0.00314159, "betas": [0.9, 0.999], "amsgrad": false}'
    assert settings_text(text, ["lr"]) == "lr 0.00314*, betas (0.9, 0.999), amsgrad false"
    assert settings_text("{}", ["lr"]) == "-"


ERROR = ShownScore(Score("val_error", "minimize", low=0, high=10, chance=8), "rows")


def test_a_score_s_floor_is_a_share_of_its_range_better_than_chance():
    assert (AP.floor, AP.least) == pytest.approx((0.02, 0.02))
    assert [AP.has_learned(ap) for ap in (0.0, 0.0199, 0.02, 0.5, NAN)] == [False, False, True, True, False]
    assert ERROR.floor == pytest.approx(8 - 0.02 * ERROR.score.scale)
    assert [ERROR.has_learned(error) for error in (9.0, 8.0, ERROR.floor + 0.01, ERROR.floor - 0.01)] == [
        *[False] * 3,
        True,
    ]
    assert ERROR.above_chance(7.0) == ERROR.value_of(7.0) == 1.0


def test_a_score_s_words():
    assert (AP.name, AP.title, AP.best, AP.column, AP.select_column) == ("AP", "AP", "highest", "ap", "ap_select")
    assert (AP.speed, AP.speed_subject, AP.side_of_floor, AP.below_floor) == (
        "images/s",
        "Images/s",
        "under",
        "AP under 0.02",
    )
    assert (AP.chance_text, AP.failure_text) == ("AP 0", "AP 0")
    assert (AP.is_ap, ERROR.is_ap) == (True, False)
    assert (ERROR.name, ERROR.title, ERROR.best, ERROR.side_of_floor) == ("val_error", "Val_error", "lowest", "over")
    assert ERROR.chance_text == "val_error 8"
    assert AP.document() == {"name": "ap", "direction": "maximize"}
    assert (AP.line({"ap": 0.12345}), AP.line({"val_loss": 1.0})) == ("AP 0.123", "")
    assert AP.speed_line({"images_per_s": 118.34}) == "118.3 images/s"
    assert AP.speed_line({}) == AP.speed_line({"images_per_s": 0.0}) == ""


def test_a_score_has_as_many_decimals_as_its_range_asks_for():
    percent, wide = (ShownScore(Score("accuracy", high=high), "rows") for high in (100, 1e6))
    assert [each.text(12.3456) for each in (AP, percent, wide)] == ["12.346", "12.3", "12"]
    assert (AP.cell(None), AP.text(NAN), AP.difference(0.1), AP.difference(-0.1)) == ("-", "-", "+0.100", "-0.100")
    assert AP.interval(Interval(0.3, 0.2, 0.4, 3, 0.95, "student_t")) == "0.300 [0.200, 0.400]"
    clipped = AP.clipped(Interval(0.3, -0.2, 1.4, 3, 0.95, "student_t"))
    assert (clipped.low, clipped.high) == (0.0, 1.0)


def test_a_text_is_cut_where_it_is_too_long():
    assert [style.shortened(text, 4) for text in ("abc", "abcd", "abcde")] == ["abc", "abcd", "abc…"]


def test_the_first_64_of_a_study_differ_in_colour_and_marker():
    looks = [style.series_style(index) for index in range(64)]
    assert len({(look["color"], look["marker"]) for look in looks}) == 64
    assert len({look["color"] for look in looks[:8]}) == len({look["marker"] for look in looks[:8]}) == 8
    assert style.series_style(64) == looks[0]
    assert style.series_style(None) == {"color": style.INK, "marker": "o"}


@pytest.mark.parametrize(
    ("lengths", "room", "columns"),
    [
        ([1, 1, 1], 30, 3),
        ([1, 1, 1], 29, 2),
        ([11, 1, 1], 30, 2),
        ([21, 1, 1], 40, 2),
        ([21, 1, 1], 39, 1),
        ([50], 10, 1),
        ([], 10, 1),
        ([1, 1, 1, 1, 1], 40, 3),
    ],
)
def test_a_legend_has_as_many_columns_as_fit(lengths, room, columns):
    """Each column needs nine characters besides its longest label; columns are filled one after the other."""
    assert style._legend_columns(lengths, room) == columns


@pytest.mark.parametrize(
    ("status", "trials", "remaining"),
    [
        ("complete", {"recorded": 4, "planned": 10}, 0),
        ("unfinished", {"recorded": 4, "planned": 10}, 6),
        ("unfinished", {"recorded": 4, "planned": 4}, 1),
        ("unfinished", {"recorded": 4}, 1),
    ],
)
def test_a_study_that_has_not_ended_has_a_trial_left_at_least(status, trials, remaining):
    assert info_of(pd.DataFrame(), status=status, trials=trials).remaining == remaining


@pytest.mark.parametrize(
    ("machine", "device"),
    [({"gpu": "H200", "cpu": "x"}, "H200"), ({"gpu": "none", "cpu": "x"}, "x"), ({"cpu": "x"}, "x"), ({}, "")],
)
def test_a_study_s_device_is_its_gpu_or_else_its_processor(machine, device):
    assert info_of(pd.DataFrame(), status="complete", machine=machine).device == device


def test_short_names_are_the_shortest_endings_that_are_one_s_own():
    names = ["torch.optim.RAdam", "radam", "a.b.Lion", "my.SAM(my.Lion)", "sgd", "sgd"]
    assert short_names(names) == {
        "torch.optim.RAdam": "optim.RAdam",
        "radam": "radam",
        "a.b.Lion": "Lion",
        "my.SAM(my.Lion)": "SAM(Lion)",
        "sgd": "sgd",
    }
    assert marked({"a.b": "b", "c": "c"}, ["c"]) == {"a.b": "b", "c": "c†"}
