"""The report of any findings: made up here, of no kind in particular."""

import json
import os
import tomllib

import cv2
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from matplotlib.text import Text

from bench.report.findings import (
    Bars,
    BarSeries,
    Bullets,
    Chart,
    Code,
    DataFile,
    Draw,
    Findings,
    Plot,
    Section,
    Series,
    Span,
    Table,
)
from bench.report.findings_figures import draw_chart
from bench.report.findings_write import StudyInfo, findings_document, short_text, write_findings_report
from bench.report.point_names import name_points

PLOT = Plot(
    "images/s",
    "AP",
    [
        Series("adam", [10, 20, 30], [0.3, 0.2, 0.1], Draw.POINTS, place=4),
        Series("front", [10, 20, 30], [0.3, 0.2, 0.1], Draw.FRONT),
        Series("pick", [10.0], [0.3], Draw.RINGS, names=["best AP"]),
    ],
    title="all trials",
)
STEPS = Plot(
    "trial",
    "seconds",
    [
        Series("so far", [1, 2, 4], [9, 7, 3], Draw.STEPS, low=[8, 6, 2], high=[10, 8, 4]),
        Series("measured", [1, 2, 4], [9, 8, 3], Draw.LINE, place=1),
        Series("no result", [3], [0], Draw.CROSSES),
    ],
    spans=[Span(0.5, 2.5, "given")],
    whole="x",
)
BARS = Bars(
    "importance",
    ["lr", "batch_size"],
    [BarSeries("AP", [0.8, 0.2], [False, True]), BarSeries("images/s", [float("nan"), 1.0])],
    faint_label="pale: chance",
)
FINDINGS = Findings(
    answer="Take the first. " * 20,
    sections=[
        Section("", [Table(("pick", "AP"), [["a|b", "0.3"]]), Code("python", "x = 1\ny = 2")]),
        Section("The front", [Chart("front.png", "AP against images/s", [PLOT]), "A point for each trial. " * 10]),
        Section("More", [Chart("more.png", "steps and bars", [STEPS, BARS]), Bullets(["one " * 40, "two"])]),
    ],
    document={"front": [{"ap": np.float64(0.3), "images_per_s": float("nan")}], "n": np.int64(3)},
    tables_csv={"front.csv": DataFile(pd.DataFrame({"ap": [1 / 3]}), "a row for each trial of the front")},
)


def study(**changes):
    given = {
        "name": "some-study",
        "kind": "some",
        "preset": "small",
        "status": "complete",
        "trials": {"complete": 3, "out_of_memory": 1, "failed": 0, "recorded": 4, "planned": 4},
        "spec": {"kind": "some", "seeds": 2},
        "settings": {"kind": "some", "seeds": 2, "spaces": {"adam": {"lr": 0.1}}},
        "machine": {"cpu": "a processor"},
        "command": "posebench study some --name some-study-again",
        "records": pd.DataFrame({"trial_id": ["a"], "ap": [0.25]}),
    }
    return StudyInfo(**(given | changes))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("reports") / "some-study"
    assert write_findings_report(FINDINGS, study(), folder) == folder / "report.md"
    return folder


@pytest.fixture(scope="module")
def text(folder):
    return (folder / "report.md").read_text()


def test_every_file_is_there_and_named_on_the_page(folder, text):
    names = {"report.md", "result.json", "study.toml", "records.csv", "front.csv", "front.png", "more.png"}
    assert {path.name for path in folder.iterdir()} == names
    assert all(f"]({name})" in text for name in names - {"report.md"})


def test_the_answer_comes_first_then_the_parts_in_their_order(text):
    places = [
        text.index(part)
        for part in (
            "# some-study",
            "> Take the first.",
            "| pick",
            "```python\nx = 1",
            "## The front",
            "## More",
            "## Again",
        )
    ]
    assert places == sorted(places)
    assert "**Unfinished" not in text


def test_prose_is_wrapped_and_tables_and_code_are_not(text):
    assert all(len(line) <= 112 for line in text.splitlines() if not line.startswith(("|", "!", "`")))
    assert "- one one" in text
    assert "\n  one" in text
    assert r"| a\|b " in text


def test_an_unfinished_study_says_so(tmp_path):
    counts = {"complete": 1, "recorded": 1, "planned": 4}
    page = write_findings_report(FINDINGS, study(status="unfinished", trials=counts), tmp_path).read_text()
    assert "**Unfinished: 1 of 4 trials so far.**" in page


def test_the_json_document_has_the_common_keys_and_the_findings_own(folder):
    document = json.loads((folder / "result.json").read_text())
    assert list(document) == [
        *("study", "kind", "preset", "status", "trials", "failures"),
        *("front", "n", "verdict", "report", "spec", "machine"),
    ]
    assert document["front"] == [{"ap": 0.3, "images_per_s": None}]
    assert document["verdict"] == FINDINGS.answer
    assert document["report"] == (folder / "report.md").as_posix()
    assert document == findings_document(FINDINGS, study(), (folder / "report.md").as_posix())


def test_tables_are_unrounded_and_settings_can_be_read_again(folder):
    assert pd.read_csv(folder / "front.csv")["ap"][0] == 1 / 3
    assert pd.read_csv(folder / "records.csv")["ap"][0] == 0.25
    assert tomllib.loads((folder / "study.toml").read_text()) == study().settings


def test_the_short_text_is_the_answer_and_the_first_table():
    short = short_text(FINDINGS)
    assert short.startswith(FINDINGS.answer)
    assert "| pick" in short
    assert "report/report.md" in short
    assert "|" not in short_text(Findings("Nothing yet.", []))


def test_the_same_findings_give_the_same_bytes(folder, tmp_path):
    write_findings_report(FINDINGS, study(), tmp_path)
    for path in folder.iterdir():
        if path.name not in ("report.md", "result.json"):
            assert path.read_bytes() == (tmp_path / path.name).read_bytes(), path.name


def test_report_md_is_written_last_and_leftovers_go(tmp_path):
    (tmp_path / "front.png.part").write_bytes(b"half")
    write_findings_report(FINDINGS, study(), tmp_path)
    assert not list(tmp_path.glob("*.part"))
    newest = max(tmp_path.iterdir(), key=os.path.getmtime)
    assert newest.name == "report.md"


def test_a_failure_leaves_the_old_page(tmp_path):
    write_findings_report(FINDINGS, study(), tmp_path)
    before = (tmp_path / "report.md").read_bytes()
    with pytest.raises(TypeError):
        write_findings_report(Findings("New.", [], document={"odd": object()}), study(), tmp_path)
    assert (tmp_path / "report.md").read_bytes() == before


def dark(path):
    """Share of pixels that are not white."""
    return float((cv2.imread(str(path)).min(axis=2) < 250).mean())


@pytest.mark.parametrize(
    "panel",
    [
        Plot("x", "y", [], note="nothing measured"),
        Plot("x", "y", [Series("empty", [], [], Draw.FRONT)]),
        Plot("x", "y", [Series("one", [5.0], [0.0], Draw.FRONT), Series("", [5.0], [0.0], Draw.POINTS)]),
        Plot("x", "y", [Series("two", [0.1, 100.0], [1.0, 2.0], Draw.LINE)], log="x", zero=""),
        Plot("x", "y", [Series("one", [3.0], [2.0], Draw.LINE)], log="xy", zero=""),
        Bars("share", [], []),
        Bars("share", ["a"], [BarSeries("b", [float("nan")])], note="none"),
        Bars("share", ["a"], [BarSeries("b", [0.0])]),
    ],
)
@pytest.mark.filterwarnings("error")
def test_odd_panels_are_drawn(panel, tmp_path):
    draw_chart(Chart("odd.png", "", [panel]), tmp_path / "odd.png")
    assert dark(tmp_path / "odd.png") > 0.001


def test_no_figure_stays_open(tmp_path):
    draw_chart(Chart("front.png", "", [PLOT, STEPS, BARS, BARS]), tmp_path / "front.png")
    assert not plt.get_fignums()


def boxes(axis):
    axis.figure.draw_without_rendering()
    return [Text.get_window_extent(name) for name in axis.texts]


def named(places, names, covered):
    figure, axis = plt.subplots(figsize=(10, 5))
    axis.set(xlim=(0, 10), ylim=(0, 1))
    name_points(axis, places, names, np.array(covered, dtype=float).reshape(-1, 2))
    found = boxes(axis)
    inside = axis.get_window_extent()
    points = axis.transData.transform(np.array(covered, dtype=float).reshape(-1, 2))
    plt.close(figure)
    return found, inside, points


@pytest.mark.parametrize("seed", range(5))
def test_names_cover_no_point_no_name_and_no_edge(seed):
    random = np.random.default_rng(seed)
    covered = np.column_stack([random.uniform(0, 10, 25), random.uniform(0, 1, 25)])
    places = [tuple(covered[0]), tuple(covered[0] + 0.01), (9.95, 0.98)]
    found, inside, points = named(places, ["best AP", "fastest within 2 % of it", "fastest"], covered)
    for place, box in enumerate(found):
        text_box = box.padded(-1)
        assert not any(text_box.contains(*point) for point in points)
        assert not any(text_box.overlaps(other) for other in found[place + 1 :])
        assert inside.x0 <= box.x1
        assert text_box.x1 <= inside.x1
        assert text_box.y1 <= inside.y1


def test_a_name_stands_beside_its_point_where_there_is_room():
    (box,), _, points = named([(5, 0.5)], ["best"], [(5, 0.5)])
    distance = np.hypot(*(np.array([box.x0, box.y0]) - points[0]))
    assert distance < 40
