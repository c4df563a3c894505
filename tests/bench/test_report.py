"""The report of simulated studies: every number can be found again, every panel says something, no study is too odd."""

import functools
import json
import math
import re
import textwrap
from pathlib import Path

import cv2
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from bench.kinds.optimizers.plan import total_trials
from bench.kinds.optimizers.report.page import optimizer_findings, study_info
from bench.kinds.optimizers.results import analyse
from bench.report import findings_write
from bench.report.findings_result import FindingsResult
from bench.report.findings_write import figure_of, write_findings_report, write_pages
from bench.report.style import series_style
from bench.trials.status import Status
from bench.workloads.protocol import Samples
from tests.support.empty_pictures import empty_figure
from tests.support.tuned_records import tuned

SIX = ["sgd", "nesterov", "adagrad", "adadelta", "adam", "adabound"]
FATES = {
    ("confirm", "sgd", 1003): Status.DIVERGED,
    ("confirm", "adadelta", 1001): Status.FAILED,
    ("tune", "nesterov", 1): Status.OUT_OF_MEMORY,
    ("tune", "adam", 4): Status.DIVERGED,
}
NO_RECORDS = ["trial_id", "phase", "optimizer", "hyperparameters", "seed", "status", "ap", "run_id", "error"]
SHEET = cv2.imencode(".jpg", np.full((30, 40, 3), 200, np.uint8))[1].tobytes()
DOCUMENT = {
    "split": "val",
    "images": [{"id": 7, "file": "images/val2017/7.png", "width": 40, "height": 30}],
    "annotations": [{"image_id": 7, "keypoints": [20.0, 15.0, 2.0] * 17}],
    "predictions": [],
}


@pytest.fixture(scope="session")
def six(make_spec):
    return make_spec(
        optimizers=SIX, trials=5, seeds=2, tunings=3, steps=20, tune_steps=10, evaluations=4, name="six", target=0.3,
        controls=True,
    )  # fmt: skip


def sessions_of(records):
    """One session around all trials, 40 s of data before the first."""
    began, ended = (records[name].min() if len(records) else 0 for name in ("started_ms", "ended_ms"))
    ended = records["ended_ms"].max() if len(records) else ended
    return pd.DataFrame([{"began_ms": began - 60_000, "heard_ms": ended + 15_000, "workers": 1, "data_s": 40.0}])


def result_of(spec, records, curves, samples=None, sessions=None):
    sessions = sessions_of(records) if sessions is None else sessions
    return analyse(spec, records, curves, sessions, machine={"cpu": "a processor"}, samples_of=lambda run_id: samples)


def write_report(result, folder):
    return write_findings_report(optimizer_findings(result), study_info(result), folder)


def both_pages(folder):
    """Main page and appendix."""
    return "\n".join((folder / name).read_text() for name in ("report.md", "appendix.md"))


def pages(result, folder):
    """The report's text alone: no table, no figure."""
    folder.mkdir()
    findings = optimizer_findings(result)
    write_pages(findings, study_info(result), folder, {image.file: "data:," for image in findings.images()})
    return both_pages(folder)


@pytest.fixture(scope="session")
def result(six):
    return result_of(six, *tuned(six, fates=FATES), Samples(DOCUMENT, SHEET))


@pytest.fixture(scope="session")
def folder(result, tmp_path_factory):
    """A report, its figures empty: drawing all of them takes seconds."""
    folder = tmp_path_factory.mktemp("reports") / "six"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(findings_write, "figure_of", empty_figure)
        write_report(result, folder)
    return folder


@pytest.fixture(scope="session")
def text(folder):
    return both_pages(folder)


@pytest.fixture(scope="session")
def records(folder):
    return pd.read_csv(folder / "records.csv")


def section(text, title):
    return re.search(rf"^## {re.escape(title)}$(.*?)(?=^## |\Z)", text, re.MULTILINE | re.DOTALL).group(1)


def table(text, title):
    """The first table of a section: {first cell: {column: cell}}, in order."""
    lines = re.search(r"(?:^\|.*\n)+", section(text, title), re.MULTILINE).group().splitlines()
    header, _, *rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return {row[0]: dict(zip(header, row, strict=True)) for row in rows}


def counted_ap(confirm):
    return confirm["ap"].where(confirm["status"] == "complete", 0.0)


def crossing(points, target):
    """Seconds at which a curve from 0 at 0 first reaches the target, between its evaluations."""
    before = (0.0, 0.0)
    for place, ap in sorted(points):
        if ap >= target:
            return before[0] + (target - before[1]) / (ap - before[1]) * (place - before[0])
        before = (place, ap)
    return math.inf


def test_the_main_table_follows_from_the_records_alone(text, records, folder):
    records = records[records["control_of"].isna()]
    confirm = records[records["phase"] == "confirm"].assign(counted=counted_ap)
    curves = pd.read_csv(folder / "curves.csv")
    found = table(text, "Each optimizer in full")
    shown = table(text, "Result")
    by = {"index": "optimizer", "columns": "tuning", "values": "counted"}
    means, lowest = (confirm.pivot_table(**by, aggfunc=what) for what in ("mean", "min"))
    order = means.mean(axis=1).sort_values(ascending=False)
    assert list(found) == list(order.index)
    assert list(shown) == list(found)
    assert all(shown[name][column] == found[name][column] for name in shown for column in ("AP [95 %]", "collapsed"))
    assert "AP 0.3, a target set beforehand" in " ".join(text.split())
    faults = ["failed", "out_of_memory", "timed_out"]
    for name, cells in found.items():
        own = confirm[confirm["optimizer"] == name]
        fails = own[own["status"].isin(faults)]["tuning"].tolist()
        collapsed = [tuning for tuning in range(3) if lowest.loc[name, tuning] < 0.02 and tuning not in fails]
        learned = means.loc[name].drop(collapsed)
        assert cells["AP [95 %]"].startswith(f"{learned.mean():.3f}")
        assert ("[" in cells["AP [95 %]"]) == (not collapsed and not fails)
        assert cells["over all"] == f"{order[name]:.3f}"
        assert (cells["tunings"], cells["collapsed"], cells["n"]) == ("3", f"{len(collapsed)} of 3", "6")
        tune = records[(records["optimizer"] == name) & (records["phase"] == "tune")]
        assert cells["failed"] == f"{len(fails)} + {tune['status'].isin(faults).sum()}"
        times = []
        for trial in own.itertuples():
            points = curves[curves["trial_id"] == trial.trial_id][["train_seconds", "ap"]].itertuples(index=False)
            times.append(crossing(map(tuple, points), 0.3) if trial.status == "complete" else math.inf)
        assert cells["reached"] == f"{sum(map(math.isfinite, times))} of 6"
        median = np.median(times)
        assert cells["time to target"] == (f"{median:.0f} s" if math.isfinite(median) else "-")
    assert {cells["collapsed"] for cells in found.values()} == {"0 of 3", "1 of 3"}
    assert {cells["failed"] for cells in found.values()} == {"0 + 0", "1 + 0", "0 + 3"}
    assert any(cells["time to target"] != "-" for cells in found.values())


def test_the_cost_table_follows_from_the_records_alone(text, records):
    found = table(text, "What each optimizer cost")
    records = records[records["control_of"].isna()].reset_index()
    seconds = (records["ended_ms"] - records["started_ms"]) / 1000
    for name, cells in found.items():
        own = records[records["optimizer"] == name]
        timed = own[(own["phase"] == "confirm") & (own["status"] == "complete")]
        assert cells["images/s"] == f"{timed['images_per_s'].median():.1f}"
        assert cells["step (ms)"] == f"{timed['optimizer_step_ms'].median():.2f}"
        assert cells["state (MB)"] == f"{timed['optimizer_state_bytes'].median() / 1e6:.1f}"
        assert cells["training (s)"] == f"{timed['train_seconds'].median():.1f}"
        assert cells["evaluation (s)"] == f"{timed['eval_seconds'].median():.1f}"
        assert cells["n"] == str(len(timed))
        assert cells["share of time"] == f"{100 * seconds[own.index].sum() / seconds.sum():.1f} %"
    assert sum(float(cells["share of time"].removesuffix(" %")) for cells in found.values()) == pytest.approx(
        100, abs=1
    )


def test_where_the_time_went_follows_from_the_records_and_the_session(text, records, folder):
    found = table(text, "Where the time went")
    wall = (records["ended_ms"].max() - records["started_ms"].min()) / 1000 + 75
    parts = {
        "training": records["train_seconds"].sum(),
        "evaluation": records["eval_seconds"].sum(),
        "generating data": 40.0,
    }
    parts["the rest"] = wall - sum(parts.values())
    assert list(found) == [*parts, "all"]
    for name, seconds in (parts | {"all": wall}).items():
        expected = {"part": name, "min": f"{seconds / 60:.1f}", "share": f"{100 * seconds / wall:.1f} %"}
        assert found[name] == expected
    document = json.loads((folder / "result.json").read_text())["time"]
    assert document == pytest.approx(
        {
            "wall_s": wall,
            "train_s": parts["training"],
            "eval_s": parts["evaluation"],
            "data_s": 40.0,
            "other_s": parts["the rest"],
            "overhead_share": parts["the rest"] / wall,
        }
    )


def test_a_study_of_an_earlier_version_says_that_its_time_was_not_recorded(six, tmp_path):
    sessions = sessions_of(tuned(six)[0]).iloc[:0]
    result = result_of(six, *tuned(six), sessions=sessions)
    text = pages(result, tmp_path / "old")
    assert "Not known" in section(text, "Where the time went")
    assert json.loads((tmp_path / "old" / "result.json").read_text())["time"] is None


@pytest.mark.parametrize(
    "broken",
    ["curves.csv", "study.toml", "seeds.png", "samples.jpg", "result.json", "appendix.md", "report.html", "report.md"],
)
def test_a_file_that_cannot_be_finished_stays_as_it_was(result, plain_figures, tmp_path, monkeypatch, broken):
    write_report(result, tmp_path / "report")
    before = {path.name: path.read_bytes() for path in (tmp_path / "report").iterdir()}
    replace = Path.replace

    def refuse(path, target):
        if Path(target).name == broken:
            raise OSError("no space left")
        return replace(path, target)

    monkeypatch.setattr(Path, "replace", refuse)
    with pytest.raises(OSError, match="no space left"):
        write_report(result, tmp_path / "report")
    plt.close("all")
    after = {path.name: path.read_bytes() for path in (tmp_path / "report").iterdir()}
    assert all(after[name] == before[name] for name in after)
    assert set(before) - set(after) <= {"samples.json", "samples.jpg"}


def test_settings_are_those_of_the_finalist_that_scored_best_on_select(text, records):
    confirm = records[(records["phase"] == "confirm") & records["control_of"].isna()]
    on_select = confirm["ap_select"].where(confirm["status"] == "complete", 0.0)
    tune = records[(records["phase"] == "tune") & (records["status"] == "complete")]
    for name, cells in table(text, "Settings").items():
        own = confirm["optimizer"] == name
        tuning = on_select[own].groupby(confirm["tuning"][own]).mean().idxmax()
        finalist = confirm[own & (confirm["tuning"] == tuning)].iloc[0]
        assert f"lr {json.loads(finalist['hyperparameters'])['lr']:.3g}" in cells["settings"]
        best = tune[(tune["optimizer"] == name) & (tune["tuning"] == tuning)]["ap"].max()
        assert cells["AP when tuned"] == f"{best:.3f}"


def test_every_finalist_is_listed_with_its_confirm_trials(text, folder):
    row = r"^\| (\w+) +\| (\d)( \(shown\))? +\| [^|]+\| [-.\d]+ +\| ([\d. ]+?)( \(collapsed\))? +\|$"
    rows = re.findall(row, text, re.MULTILINE)
    assert len(rows) == 18
    assert [arrow for *_, arrow, _, _ in rows].count(" (shown)") == 6
    assert sum(bool(collapsed) for *_, collapsed in rows) == 1
    document = json.loads((folder / "result.json").read_text())
    listed = {(name, int(number)): scores.split() for name, number, _, scores, _ in rows}
    for row in document["optimizers"]:
        assert row["settings"] in [each["settings"] for each in row["finalists"]]
        for each in row["finalists"]:
            assert listed[row["name"], each["tuning"] + 1] == [f"{score:.3f}" for score in each["scores"]]


def test_each_figure_is_traced_to_its_runs(text, records, folder):
    records = records[records["control_of"].isna()]
    confirm = records[records["phase"] == "confirm"].sort_values(["tuning", "seed"])
    for name, cells in table(text, "Where each number comes from").items():
        own = confirm[confirm["optimizer"] == name]
        assert cells["confirmed by"].replace("`", "").split() == [run[:8] for run in own["run_id"]]
        tuned = records[(records["phase"] == "tune") & (records["optimizer"] == name)]
        assert any(run.startswith(cells["tuned by"].strip("`")) for run in tuned["run_id"])
    seeds = pd.read_csv(folder / "seeds.csv")
    assert set(seeds["run_id"]) == set(confirm["run_id"])
    summary = pd.read_csv(folder / "summary.csv").set_index("name")
    means = seeds.groupby("optimizer")["ap_counted"].mean()
    assert all(math.isclose(summary.loc[name, "score_mean"], means[name], abs_tol=1e-12) for name in SIX)
    assert len(json.loads(summary.loc["sgd", "finalists"])) == 3
    assert set(summary["tune_run_id"]) <= set(records["run_id"])


def test_all_that_is_linked_is_there_and_nothing_else(text, folder):
    linked = set(re.findall(r"\]\(([^)]+)\)", text))
    assert linked == {path.name for path in folder.iterdir()}


def test_it_reads_well_in_a_terminal(text):
    prose = [line for line in text.splitlines() if not line.startswith(("|", "!", "- `", "posebench", "    --"))]
    assert max(map(len, prose)) <= 112  # a quotation's mark goes before the line
    for block in re.findall(r"(?:^\|.*\n)+", text, re.MULTILINE):
        assert len({len(line) for line in block.splitlines()}) == 1
        assert max(map(len, block.splitlines())) <= 110
    assert "nan" not in text.lower().replace("nanosecond", "")


def test_failures_are_named(text):
    failed = section(text, "Trials that failed")
    assert "RuntimeError: the dog ate it" in failed
    assert failed.count("- `") == 4
    assert "4 diverged" in section(text, "What it ran on")
    words = " ".join(section(text, "What was run").split())
    assert "6 optimizers, each tuned 3 times independently: 5 tune trials of up to 10 steps" in words
    assert "2 fresh confirm seeds of 20 steps for each tuning" in words


def test_the_same_result_gives_the_same_bytes(result, folder, plain_figures):
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    write_report(result, folder)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_the_same_figure_has_the_same_bytes(result, tmp_path):
    """As a file, and within the page."""
    chart = next(image for image in optimizer_findings(result).images() if image.file == "seeds.png")
    written = [(findings_write._write_image(chart, tmp_path), (tmp_path / chart.file).read_bytes()) for _ in range(2)]
    assert written[0] == written[1]
    assert len(written[0][1]) > 10_000


@pytest.mark.long
def test_all_figures_have_the_same_bytes_and_are_small(result, tmp_path):
    reports = [tmp_path / name for name in ("one", "other")]
    for report in reports:
        write_report(result, report)
    one, other = ({path.name: path.read_bytes() for path in report.iterdir()} for report in reports)
    assert one == other
    assert sum(map(len, one.values())) < 3e6


def test_a_budget_that_is_too_small_is_said_and_nothing_is_ranked(six, tmp_path):
    """Four of six under 0.05; the others well above."""
    records, curves = tuned(six)
    weak = records["optimizer"].isin(SIX[:4])
    records.loc[weak, "ap"] *= 0.05
    result = result_of(six, records, curves)
    assert not result.analysis.comparable
    text = pages(result, tmp_path / "report")
    words = " ".join(text.replace("\n> ", " ").split())
    assert "The budget is too small to compare: 4 of 6 optimizers have a mean AP under 0.05." in words
    assert "In the study's order: the budget is too small to compare." in words
    assert list(table(text, "Result")) == SIX
    assert {cells["time to target"] for cells in table(text, "Result").values()} == {"-"}
    assert "Best first" not in words
    records.loc[records["optimizer"] == SIX[3], "ap"] = 0.3
    assert result_of(six, records, curves).analysis.comparable


def test_the_sheet_is_drawn_from_the_images_while_they_are_there(make_spec, plain_figures, tmp_path):
    data = tmp_path / "people"
    (data / "images" / "val2017").mkdir(parents=True)
    cv2.imwrite(str(data / "images" / "val2017" / "7.png"), np.full((30, 40, 3), 50, np.uint8))
    spec = make_spec(data=data, name="two")
    for samples, section_there in ((Samples(DOCUMENT, None), True), (Samples(DOCUMENT, SHEET), True), (None, False)):
        result = result_of(spec, *tuned(spec), samples)
        write_report(result, tmp_path / "report")
        text = both_pages(tmp_path / "report")
        assert ("## Sample images" in text) == section_there
        assert (tmp_path / "report" / "samples.jpg").exists() == section_there
        assert (tmp_path / "report" / "samples.json").exists() == section_there
        if section_there:
            drawn = cv2.imread(str(tmp_path / "report" / "samples.jpg"))
            assert drawn.shape == (300, 400, 3)
            assert np.median(drawn) == pytest.approx(50, abs=2)


def test_without_the_images_the_sheet_is_the_one_that_the_trial_drew(folder, text, records):
    assert (folder / "samples.jpg").read_bytes() == SHEET
    assert json.loads((folder / "samples.json").read_text()) == DOCUMENT
    words = " ".join(section(text, "Sample images").split())
    leader = next(iter(table(text, "Result")))
    first = records[(records["optimizer"] == leader) & (records["phase"] == "confirm")].sort_values("seed").iloc[0]
    assert f"Predicted by {leader} with seed 1001 (AP {first['ap']:.3f}" in words
    assert f"`{first['run_id'][:8]}`" in words


def test_samples_are_those_of_the_first_seed_that_left_some(six):
    records, curves = tuned(six)
    confirm = records["phase"] == "confirm"
    records.loc[confirm & (records["optimizer"] == "adagrad"), "ap"] = 0.9
    records.loc[confirm & (records["optimizer"] == "adagrad") & (records["seed"] == 1001), "status"] = "diverged"
    asked = []

    def samples_of(run_id):
        asked.append(run_id)
        return Samples(DOCUMENT, None) if len(asked) == 2 else None

    found = analyse(six, records, curves, sessions_of(records), machine={}, samples_of=samples_of).leader_samples
    assert (found.optimizer, found.seed, found.gain) == ("adagrad", 1003, 0.9)  # 1001 diverged, 1002 has none
    assert asked[-1] == found.run_id
    assert len(asked) == 2


def odd_studies(make_spec):
    """Name, spec, records, curves of studies that leave figures with little to draw."""
    six = make_spec(optimizers=SIX, trials=2, seeds=1, tunings=2, evaluations=2, name="odd")
    one = make_spec(optimizers=["adam"], trials=1, seeds=1, tunings=1, name="odd", steps=1)
    yield "nothing", six, pd.DataFrame(columns=NO_RECORDS), pd.DataFrame(columns=["trial_id", "ap", "val_loss"])
    yield "tuned", six, *tuned(six, confirm=False)
    yield "zero", six, *tuned(six, scale=0.0)
    yield "one", one, *tuned(one)
    fates = dict.fromkeys((("confirm", name, seed) for name in SIX for seed in (1001, 1002)), Status.DIVERGED)
    yield "diverged", six, *tuned(six, fates=fates)
    fates = dict.fromkeys((("tune", name, number) for name in SIX for number in range(2)), Status.FAILED)
    yield "untuned", six, *tuned(six, fates=fates)


@functools.cache
def by_name(make_spec):
    return {name: study for name, *study in odd_studies(make_spec)}


@pytest.mark.parametrize("name", ["nothing", "tuned", "zero", "one", "diverged", "untuned"])
def test_no_panel_is_empty_and_every_axis_is_labelled(name, make_spec):
    spec, records, curves = by_name(make_spec)[name]
    result = result_of(spec, records, curves)
    shown = {image.file: figure_of(image) for image in optimizer_findings(result).images()}
    every = {"seeds.png", "learning-curves.png", "validation-loss.png", "learning-rate.png", "cost.png"}
    expected = {
        "nothing": set(),
        "tuned": {"learning-rate.png"},
        "zero": {"validation-loss.png"},
        "one": every,
        "diverged": {"learning-rate.png", "validation-loss.png"},
        "untuned": {*every, "differences.png"},
    }
    assert {*shown} == expected[name]
    for figure in shown.values():
        for axis in (axis for axis in figure.axes if axis.axison):
            points = [line for line in axis.lines if len(line.get_xdata())]
            points += [marks for marks in axis.collections if len(marks.get_offsets())]
            assert points, f"{name}: an empty panel"
            if axis.get_subplotspec().is_last_row():
                assert axis.get_xlabel()
            if axis.get_subplotspec().is_first_col():
                names = [label.get_text() for label in axis.get_yticklabels()]
                assert axis.get_ylabel() or {*names} <= {*spec.optimizers}
        plt.close(figure)


@pytest.mark.parametrize("name", ["nothing", "one"])
def test_a_report_is_made_of_next_to_nothing(name, make_spec, tmp_path):
    spec, records, curves = by_name(make_spec)[name]
    write_report(result_of(spec, records, curves), tmp_path / "report")
    text = both_pages(tmp_path / "report")
    words = " ".join(text.split())
    if name == "nothing":
        assert f"**Unfinished: 0 of {total_trials(spec)} trials so far.**" in text
        assert "nothing to compare yet" in words
    else:
        assert "1 optimizer, each tuned 1 time independently: 1 tune trial of" in words
        assert "1 fresh confirm seed of 1 step" in words
        assert "1 optimizers" not in words
        assert "1 seeds" not in words
        assert list(table(text, "Result")) == ["adam"]


def test_pairs_follow_from_the_seeds_alone(text, folder):
    rows = pd.read_csv(folder / "seeds.csv")
    seeds = rows.pivot_table(index="seed", columns="optimizer", values="ap_counted")
    found = table(text, "Every pair")
    assert len(found) == 15
    order = list(table(text, "Result"))
    unsteady = {*rows[rows["ap_counted"] < 0.02]["optimizer"]}
    assert unsteady == {"sgd", "adadelta"}
    for pair, cells in found.items():
        a, b = pair.split(" - ")
        assert order.index(a) < order.index(b)
        differences = seeds[a] - seeds[b]
        assert cells["difference [95 %]"].startswith(f"{differences.mean():+.3f}")
        assert ("[" in cells["difference [95 %]"]) == (not unsteady & {a, b})
        assert cells["wins"] == f"{((differences > 0) + 0.5 * (differences == 0)).mean():.2f}"
        assert cells["tunings"] == "3"
        assert cells["better"] in ("-", a)
    comparisons = pd.read_csv(folder / "comparisons.csv")
    claims = comparisons["better"].notna()
    assert claims.any()
    assert sum(cells["better"] != "-" for cells in found.values()) == claims.sum()
    document = json.loads((folder / "result.json").read_text())
    losers = {row["b" if row["better"] == "a" else "a"] for row in comparisons[claims].to_dict("records")}
    assert document["best"] == sorted({*SIX} - losers)
    assert (document["tunings"], document["seeds"]) == (3, 2)


def test_controls_stand_apart(text, folder, records):
    found = table(text, "Against their own untuned limits")
    confirm = records[records["phase"] == "confirm"].assign(counted=counted_ap)
    limit = confirm[confirm["control_of"] == "adabound"]
    own = confirm[confirm["optimizer"] == "adabound"]
    assert list(found) == ["adabound"]
    assert found["adabound"]["AP of its untuned limit [95 %]"].startswith(f"{limit['counted'].mean():.3f} [")
    assert found["adabound"]["difference [95 %]"].startswith(
        f"{own['counted'].mean() - limit['counted'].mean():+.3f} ["
    )
    settings = json.loads(limit["hyperparameters"].iloc[0])
    said = " ".join(section(text, "Against their own untuned limits").split())
    assert f"untuned SGD with momentum {settings['momentum']:.3g} at lr {settings['lr']:.3g}" in said
    assert "not corrected" in said
    for title in (
        "Result",
        "Each optimizer in full",
        "Every pair",
        "What each optimizer cost",
        "Where each number comes from",
    ):
        assert "(limit)" not in section(text, title)
    assert pd.read_csv(folder / "controls.csv")["name"].tolist() == ["adabound (limit)"]


def test_equal_steps_are_in_a_table_and_in_the_json(text, folder):
    document = json.loads((folder / "result.json").read_text())
    rows = {row["name"]: row for row in document["optimizers"]}
    views = table(text, "At equal steps")
    assert list(views) == list(table(text, "Result"))
    for name, cells in views.items():
        assert list(cells) == ["optimizer", "AP at 20 steps [95 %]"]
        assert cells["AP at 20 steps [95 %]"].startswith(f"{rows[name]['ap_at_equal_steps']:.3f}")
    assert "ap_at_equal_seconds" not in rows["adam"]


def test_the_json_says_all_that_another_machine_needs(result, folder):
    document = json.loads((folder / "result.json").read_text())
    assert document["spec"] == json.loads(json.dumps(result.spec.identity()))
    assert document["machine"] == {"cpu": "a processor"}
    (first, *others) = document["comparisons"]
    assert len(others) == 14
    keys = {"a", "b", "n", "difference", "low", "high", "p", "p_adjusted", "probability_of_improvement", "better"}
    assert keys <= set(first)
    row = next(row for row in document["optimizers"] if row["name"] == "sgd")
    assert (row["n"], row["tunings"], row["collapsed"]) == (6, 3, 1)
    assert [row["collapsed_low"], row["collapsed_high"]] == pytest.approx([0.0084, 0.9057], abs=1e-4)
    assert [each["collapsed"] for each in row["finalists"]] == [False, True, False]
    assert row["ap_low"] is None
    (control,) = document["controls"]
    assert control["control_of"] == "adabound"
    assert set(control["settings"]) == {"lr", "momentum"}
    assert control["sentence"].startswith("adabound 0.")
    assert document["trials"]["pruned"] == 0


def test_a_half_finished_study_says_so_first(six, tmp_path):
    records, curves = tuned(six)
    half = pd.concat([rows.iloc[:11] for _, rows in records.groupby("phase", sort=False)])
    result = result_of(six, half, curves[curves["trial_id"].isin(half["trial_id"])])
    lines = pages(result, tmp_path / "half").splitlines()
    assert lines[2].startswith(f"**Unfinished: 22 of {total_trials(six)} trials so far.** What follows may change.")
    assert lines[4].startswith("> No choice can be made yet: the highest score so far, AP 0.")
    words = " ".join(section("\n".join(lines), "Every claim").split())
    assert "One tuning each so far, so the variation between tunings is unknown: no claim is possible." in words
    assert re.search(r"Not all tunings are complete: (\w+ 1, ){3}\w+ 1, adabound 0 and adam 0 of 3\.", words)


def test_a_study_until_decided_tells_its_looks(six, tmp_path):
    spec = six.model_copy(update={"until_decided": True})
    text = pages(result_of(spec, *tuned(spec)), tmp_path / "looks")
    words = " ".join(section(text, "Every pair").split())
    assert "exceeds 0.01, by which" in words
    assert "compared after several numbers of tunings, each time at a stricter level than 0.05 (0.0124 at 3)" in words
    assert "*Better* where p is at most its look's level." in words


LONG = ["adam", "torch.optim.RAdam", "tests.support.toy_optimizer.SignSGD", "a.package.Lion", "another.package.Lion"]


def test_long_names_are_shortened_and_explained_once(make_spec, tmp_path, monkeypatch):
    spec = make_spec(optimizers=["adam"], trials=2, seeds=2, name="long")
    spaces = {name: {"lr": {"log": [1e-5, 1e-1]}, "betas": {"value": [0.9, 0.99]}} for name in LONG}
    spec = spec.model_copy(update={"optimizers": tuple(LONG), "spaces": spaces})
    records, curves = tuned(spec)
    texts = [json.dumps(json.loads(text) | {"betas": [0.9, 0.99]}) for text in records["hyperparameters"]]
    records = records.assign(implementation="torch.optim.RAdam (foreach)", hyperparameters=texts)
    text = pages(result_of(spec, records, curves), tmp_path / "long")
    short = ["adam", "RAdam", "SignSGD", "a.package.Lion", "another.package.Lion"]
    assert set(table(text, "Result")) == set(short)
    assert table(text, "Settings")["RAdam"]["settings"].startswith("betas (0.9, 0.99), lr ")
    named = table(text, "What was run")
    assert named["SignSGD"]["full name"] == "tests.support.toy_optimizer.SignSGD"
    assert named["RAdam"]["implementation"] == "torch.optim.RAdam (foreach)"
    assert text.count("tests.support.toy_optimizer.SignSGD") == 1


def test_a_budget_in_seconds_and_a_pruner_are_named(make_spec, tmp_path):
    spec = make_spec(optimizers=["adam", "sgd"], tunings=3, trials=3, seeds=3, name="timed")
    budget = {"steps": None, "tune_steps": None, "seconds": 60.0, "tune_seconds": 20.0, "pruner": "median"}
    spec = spec.model_copy(update=budget)
    result = result_of(spec, *tuned(spec, fates={("tune", "adam", 2): Status.PRUNED}))
    text = pages(result, tmp_path / "timed")
    words = " ".join(text.split())
    assert "tune trials of up to 20 seconds of training" in words
    assert "confirm seeds of 60 seconds of training" in words
    assert len(table(text, "At equal steps, at equal time")["adam"]) == 3, "AP at equal time as well"
    assert "ap_at_equal_seconds" in json.loads((tmp_path / "timed" / "result.json").read_text())["optimizers"][0]
    assert "**Tune trials were ended early**: 3 of 18, by Optuna's median pruner" in words
    assert "start fast" in words
    assert table(text, "Each optimizer in full")["adam"]["failed"] == "0 + 0"
    assert result.trials()["pruned"] == 3


def test_sixty_four_optimizers_can_be_told_apart():
    looks = [tuple(series_style(place).items()) for place in range(64)]
    assert len(set(looks)) == 64


def test_the_study_s_page_in_mlflow_begins_with_the_answer(result):
    found = FindingsResult(optimizer_findings(result), study_info(result)).short_text
    assert found.startswith(f"**{result.analysis.headline}**")
    assert "| adam" in found
    assert len(found) < 8000
    assert textwrap.dedent(found) == found


def test_a_constant_schedule_has_no_unread_end(make_spec, tmp_path):
    spec = make_spec(optimizers=["adam", "sgd"], trials=2, seeds=2, name="flat")
    texts = {}
    for schedule in ("cosine", "constant"):
        own = spec.model_copy(update={"schedule": schedule})
        texts[schedule] = " ".join(pages(result_of(own, *tuned(own)), tmp_path / schedule).split())
    assert "Under the cosine schedule, a run read before its end" in texts["cosine"]
    assert "At equal steps" in texts["constant"]
    assert "schedule, a run read before its end" not in texts["constant"]


def test_where_no_confirm_trial_has_a_result_the_headline_says_why(make_spec):
    spec = make_spec(optimizers=["adam", "sgd"], trials=2, seeds=2, tunings=1, name="none")
    records, curves = tuned(spec)
    records.loc[records["phase"] == "confirm", "status"] = "diverged"
    found = result_of(spec, records, curves).analysis
    assert found.headline.startswith("All 4 confirm trials diverged")
    assert found.verdict.startswith("All 4 confirm trials diverged")


@pytest.mark.parametrize(("highest", "said"), [(2.0, 2.0), (2.001, 2.0005), (2.01, None)])
def test_the_reference_loss_is_that_of_all_confirm_trials_or_none(make_spec, highest, said):
    spec = make_spec(optimizers=["adam"], trials=2, seeds=2, tunings=1, name="reference")
    records, curves = tuned(spec)
    confirm = records["phase"] == "confirm"
    assert confirm.sum() == 2
    records.loc[~confirm, "reference_loss"] = 9.0
    records.loc[confirm, "reference_loss"] = [2.0, highest]
    assert result_of(spec, records, curves).reference_loss == (None if said is None else pytest.approx(said))
