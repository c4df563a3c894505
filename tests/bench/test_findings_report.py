"""The report of any findings: made up here, of no kind in particular."""

import json
import os
import re
import tomllib
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote
from xml.etree import ElementTree

import cv2
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.text import Text

from bench.cli.print_output import print_output
from bench.report import plot_panel, style
from bench.report.findings import (
    Bars,
    BarSeries,
    Bullets,
    Chart,
    Code,
    DataFile,
    Draw,
    Drawing,
    Findings,
    Intervals,
    Picture,
    Plot,
    Section,
    Series,
    Span,
    Table,
)
from bench.report.findings_figures import chart_figure
from bench.report.findings_result import FindingsResult
from bench.report.findings_write import findings_document, write_findings_report, write_parts
from bench.report.html_page import html
from bench.report.markdown_page import appendix_markdown, main_markdown, short_text
from bench.report.point_names import name_points
from bench.report.study_info import StudyInfo
from bench.report.style import QUIET, as_svg, laid_out, save
from bench.report.text import code, literal

ROOT = Path(__file__).resolve().parents[2]
NAN = float("nan")
JPEG = cv2.imencode(".jpg", np.full((8, 8, 3), 200, np.uint8))[1].tobytes()

PLOT = Plot(
    "images/s",
    "AP",
    [
        Series("adam", [10, 20, 30], [0.3, 0.2, 0.1], Draw.POINTS, style_index=4),
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
        Series("measured", [1, 2, 4], [9, 8, 3], Draw.LINE, style_index=1),
        Series("no result", [3], [0], Draw.CROSSES),
    ],
    spans=[Span(0.5, 2.5, "given")],
    integer="x",
)
BARS = Bars(
    "importance",
    ["lr", "batch_size"],
    [BarSeries("AP", [0.8, 0.2], [False, True]), BarSeries("images/s", [float("nan"), 1.0])],
    faint_label="pale: chance",
)
INTERVALS = Intervals(
    "AP, difference to adam",
    ["adam", "adagrad", "sgd", "adadelta"],
    [0.0, -0.01, -0.05, NAN],
    [NAN, -0.03, -0.08, NAN],
    [NAN, 0.01, -0.02, NAN],
    style_indices=[0, 1, None, 3],
    notes=["AP 0.29", "0.28", "0.24", "no result"],
    line=0.0,
    band=(-0.005, 0.005),
    band_label="treated as equal",
)
FINDINGS = Findings(
    answer="Take **the first**: " + "it is fine. " * 20,
    paste=[Code("python", "x = 1\ny = 2"), Code("", "posebench train --data DIR")],
    sureness="Sure of it: " + "twice measured. " * 12 + "Gaps under 0.01 are [noise](front.csv).",
    figure=Chart("forest.png", "Difference of each to adam", [INTERVALS]),
    sections=[
        Section("", [Table(("pick", "AP"), [["a|b", "0.3"], ["<b>c</b>", "[0.1, 0.2]"]])]),
        Section("The front", [Chart("front.png", "AP against images/s", [PLOT]), "A point for each trial. " * 10]),
    ],
    appendix=[
        Section("More", [Chart("more.png", "steps and bars", [STEPS, BARS]), Bullets(["one " * 40, "two"])]),
        Section("Seen", [Picture("seen.jpg", "people that were found", JPEG)]),
        Section("Drawn", [Drawing("drawn.png", "a drawing", lambda: plt.figure(figsize=(1, 1), layout="none"))]),
    ],
    claims=" ".join(["Every claim."] * 20),
    metrics={"ap": 0.3},
    document={"front": [{"ap": np.float64(0.3), "images_per_s": float("nan")}], "n": np.int64(3)},
    tables_csv={"front.csv": DataFile(pd.DataFrame({"ap": [1 / 3]}), "a row for each trial of the front")},
)


PLAIN = Findings(
    "Take the first.",
    [Section("Drawn", [Drawing("drawn.png", "a drawing", lambda: plt.figure(figsize=(0.1, 0.1), layout="none"))])],
    tables_csv=FINDINGS.tables_csv,
)
"""With little to draw."""

IMAGES = {image.file: "data:image/svg+xml,x" for image in FINDINGS.images()}
FILES = {
    *("report.md", "appendix.md", "report.html", "result.json", "study.toml", "records.csv", "front.csv"),
    *("forest.png", "front.png", "more.png", "seen.jpg", "drawn.png"),
}


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


@pytest.fixture(scope="module")
def more(folder):
    return (folder / "appendix.md").read_text()


@pytest.fixture(scope="module")
def page(folder):
    return (folder / "report.html").read_text()


def in_order(text, *parts):
    places = [text.index(part) for part in parts]
    assert places == sorted(places)


def test_every_file_is_there_and_named_on_a_page(folder, text, more):
    assert {path.name for path in folder.iterdir()} == FILES
    assert all(f"]({name})" in text + more for name in FILES)


def test_the_first_screen_comes_first_then_the_parts_in_their_order(text):
    in_order(
        text,
        *("# some-study\n\n> Take **the first**: it is fine.", "```python\nx = 1\ny = 2\n```", "```\nposebench train"),
        *("Sure of it:", "![Difference of each to adam](forest.png)", "| pick", "## The front", "](front.png)"),
        "Everything else: [appendix.md](appendix.md).",
    )
    assert "**Unfinished" not in text


def test_the_appendix_begins_with_every_claim_and_ends_with_where_it_comes_from(more):
    in_order(
        more,
        *(
            "# some-study: appendix",
            "## Every claim",
            "Every claim. Every claim.",
            "## More",
            "](more.png)",
            "- one one",
        ),
        *("## Seen", "](seen.jpg)", "## Drawn", "## What it ran on", "a processor", "## Files", "## Run it again"),
        "posebench study some --name some-study-again",
    )
    short = Findings("Nothing yet.", [])
    assert "Every claim" not in appendix_markdown(short, study())
    assert short.verdict == "Nothing yet."


def test_prose_is_wrapped_and_tables_and_code_are_not(text, more):
    lines = (text + more).splitlines()
    assert all(len(line) <= 112 for line in lines if not line.startswith(("|", "!", "`")))
    assert "\n  one" in more
    assert r"| a\|b " in text


def test_cells_alt_texts_and_titles_show_marks_as_they_are(text):
    assert "&lt;b>c&lt;/b>" in text
    found = Findings("x", [Section("*a* <b>", [Chart("a.png", "b](c) <i>", [PLOT])])])
    page = main_markdown(found, study(name="not-*this*"))
    assert "## \\*a\\* &lt;b>" in page
    assert "![b\\](c) &lt;i>](a.png)" in page
    assert "# not-\\*this\\*" in page


def test_lines_to_paste_end_where_they_should_and_do_nothing_to_a_terminal():
    odd = Findings("x", [], paste=[Code("python", "a = '```'\n\x1b[31mb = 2")])
    assert "````python\na = '```'\n\\x1b[31mb = 2\n````" in main_markdown(odd, study())
    assert "\x1b" not in html(odd, study(), {})
    assert not any("\x1b" in block for block in FindingsResult(odd, study()).output("x").blocks)


def test_an_unfinished_study_says_so_everywhere():
    unfinished = study(status="unfinished", trials={"complete": 1, "recorded": 1, "planned": 4})
    assert main_markdown(FINDINGS, unfinished).startswith("# some-study\n\n**Unfinished: 1 of 4 trials so far.** What")
    assert "<strong>Unfinished: 1 of 4 trials so far.</strong>" in html(FINDINGS, unfinished, IMAGES)
    shown = FindingsResult(FINDINGS, unfinished).output("x/report.md")
    assert shown.blocks[0] == "Unfinished: 1 of 4 trials so far. What follows may change."
    assert "Unfinished: 1 point so far." in main_markdown(
        FINDINGS, study(status="unfinished", trials={"recorded": 1}, noun="point")
    )


def test_the_json_document_has_the_common_keys_and_the_findings_own(folder):
    document = json.loads((folder / "result.json").read_text())
    assert list(document) == [
        *("study", "kind", "preset", "status", "trials", "failures"),
        *("front", "n", "answer", "sureness", "verdict", "report", "files", "spec", "machine"),
    ]
    assert document["front"] == [{"ap": 0.3, "images_per_s": None}]
    assert document["answer"].startswith("Take the first: it is fine.")
    assert document["sureness"].endswith("Gaps under 0.01 are noise.")
    assert document["verdict"] == FINDINGS.claims
    assert document["report"] == (folder / "report.md").as_posix()
    assert document == findings_document(FINDINGS, study(), (folder / "report.md").as_posix())


class Read(HTMLParser):
    """What a page is made of."""

    VOID = ("meta", "img", "br", "hr", "link", "input")

    def __init__(self, page):
        super().__init__()
        self.tags, self.open, self.text = [], [], ""
        self.feed(page)
        self.close()
        assert not self.open

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag, f"{tag} is closed inside another"

    def handle_data(self, data):
        if "style" not in self.open:
            self.text += data

    def all(self, name):
        return [attributes for tag, attributes in self.tags if tag == name]


def test_the_html_is_whole_and_holds_the_same_in_one_file(page, text, more):
    assert page.startswith("<!DOCTYPE html>")
    read = Read(page)
    (root,) = read.all("html")
    assert root["lang"] == "en"
    assert len(read.all("h1")) == 1
    shown = " ".join(read.text.split())
    in_order(
        shown,
        *("some study · a processor some-study", "Take the first: it is fine.", "x = 1 y = 2", "posebench train"),
        *(
            "Sure of it:",
            "a|b",
            "<b>c</b>",
            "The front",
            "A point for each trial.",
            "Appendix",
            "Every claim",
            "one one",
        ),
        *("What it ran on", "Files", "Run it again"),
    )
    assert [image["alt"] for image in read.all("img")] == [image.alt for image in FINDINGS.images()]


def test_the_html_loads_nothing_and_runs_nothing(page):
    read = Read(page)
    assert not {tag for tag, _ in read.tags} & {"script", "link", "iframe", "object", "embed", "base", "form"}
    assert not any(name.startswith("on") for _, attributes in read.tags for name in attributes)
    assert all(image["src"].startswith(("data:image/svg+xml,", "data:image/jpeg;base64,")) for image in read.all("img"))
    addresses = [link["href"] for link in read.all("a")]
    assert addresses
    assert not [each for each in addresses if ":" in each or each.startswith("/")]
    style = page[page.index("<style>") : page.index("</style>")]
    assert "url(" not in style
    assert "@import" not in style
    (policy,) = [each["content"] for each in read.all("meta") if "http-equiv" in each]
    assert policy == "default-src 'none'; img-src data:; style-src 'unsafe-inline'"


def test_tables_and_figures_of_the_html_scroll_in_themselves_and_can_be_reached_by_keys(page):
    for tag in ("table", "img"):
        for place in re.finditer(f"<{tag}[ >]", page):
            holder = page[: place.start()].rpartition("<")[2]
            assert holder.startswith('div class="scroll" role="group" aria-label="'), holder
            assert 'tabindex="0"' in holder
    assert len(re.findall('<th scope="col">', page)) >= 2
    assert len(re.findall('<th scope="row">', page)) >= 2


def test_the_figures_of_the_html_follow_light_and_dark(page):
    svgs = [
        unquote(image["src"].partition(",")[2])
        for image in Read(page).all("img")
        if image["src"].startswith("data:image/svg+xml,")
    ]
    assert len(svgs) == 4
    for svg in svgs:
        drawn = ElementTree.fromstring(svg)
        own = drawn.find("{http://www.w3.org/2000/svg}style").text
        assert "prefers-color-scheme:dark" in own
        body = svg.replace(own, "")
        assert "<script" not in body
        assert not re.findall(r"(?:href|src)=\"(?!#)", body)
        used = {found.lower() for found in re.findall(r"#[0-9a-fA-F]{6}\b", body)}
        assert used <= {"#b0b0b0", QUIET.lower()}, "others would not be seen on a dark page"
        assert len(re.findall(r"var\(--c\d+\)", body)) >= 1 or drawn.get("width") == "72pt"


def test_odd_names_are_harmless_in_the_html():
    odd = "<script>alert(1)</script>\x1b[31m\u202e"
    info = study(name=odd, machine={"cpu": odd, "gpu": odd}, command=f"posebench {odd}")
    found = Findings(
        literal(odd),
        [Section(odd, [Table((odd,), [[odd]]), literal(odd), Bullets([code(odd)]), Code("", odd)])],
        sureness=literal(odd),
        figure=Chart("a.png", odd, [PLOT]),
    )
    page = html(found, info, {"a.png": "data:image/svg+xml,x"})
    read = Read(page)
    assert not read.all("script")
    assert "\u202e" not in page
    assert read.text.count("alert(1)") >= 10
    assert read.all("img")[0]["alt"].startswith("<script>alert(1)</script>")


def test_tables_are_unrounded_and_settings_can_be_read_again(folder):
    assert pd.read_csv(folder / "front.csv")["ap"][0] == 1 / 3
    assert pd.read_csv(folder / "records.csv")["ap"][0] == 0.25
    assert tomllib.loads((folder / "study.toml").read_text()) == study().settings


def test_the_short_text_is_the_first_screen_and_the_first_table():
    short = short_text(FINDINGS, study())
    in_order(short, "Take **the first**", "x = 1", "posebench train", "Sure of it", "| pick", "report/report.html")
    assert "|" not in short_text(Findings("Nothing yet.", []), study())


def test_a_terminal_shows_the_first_screen_in_80_columns(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    shown = FindingsResult(FINDINGS, study()).output("reports/some-study/report.md")
    print_output(shown)
    out = capsys.readouterr().out
    assert max(map(len, out.splitlines())) <= 80
    in_order(
        out,
        *("pick", "a|b", "Take the first: it is fine.", "    x = 1\n    y = 2", "    posebench train", "Sure of it:"),
        *("Report: reports/some-study/report.md", "Page: reports/some-study/report.html"),
    )
    print_output(shown, as_json=True)
    assert json.loads(capsys.readouterr().out) == FindingsResult(FINDINGS, study()).document(
        "reports/some-study/report.md"
    )


def test_the_same_findings_give_the_same_bytes(folder, tmp_path):
    write_findings_report(FINDINGS, study(), tmp_path)
    for path in folder.iterdir():
        if path.name != "result.json":  # names its folder
            assert path.read_bytes() == (tmp_path / path.name).read_bytes(), path.name


def test_the_pages_templates_are_in_the_package():
    """Of an installed suite too: what is no module must be named to setuptools."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["package-data"]
    named = {path for pattern in settings["bench"] for path in (ROOT / "bench").glob(pattern)}
    others = {path for path in (ROOT / "bench").rglob("*") if path.is_file() and path.suffix not in (".py", ".pyc")}
    assert others == named


def test_report_md_is_written_last_and_leftovers_go(tmp_path):
    (tmp_path / "front.png.part").write_bytes(b"half")
    write_findings_report(PLAIN, study(), tmp_path)
    assert not list(tmp_path.glob("*.part"))
    newest = max(tmp_path.iterdir(), key=os.path.getmtime)
    assert newest.name == "report.md"


def test_a_failure_leaves_the_old_page(tmp_path):
    write_findings_report(PLAIN, study(), tmp_path)
    before = (tmp_path / "report.md").read_bytes()
    with pytest.raises(TypeError):
        write_findings_report(Findings("New.", [], document={"odd": object()}), study(), tmp_path)
    assert (tmp_path / "report.md").read_bytes() == before


def test_a_panel_without_anything_has_a_text_and_no_scale():
    figure, axis = plt.subplots()
    style.nothing_to_show(axis, "no trial was recorded")
    ticks, texts = [*axis.get_xticks(), *axis.get_yticks()], [text.get_text() for text in axis.texts]
    plt.close(figure)
    assert (ticks, texts) == ([], ["no trial was recorded"])


def test_names_do_not_cover_the_points_of_a_series():
    figure, axis = plt.subplots()
    covered = plot_panel._covered(axis, Series("points", [1.0, 2.0], [0.5, 0.25], Draw.POINTS))
    plt.close(figure)
    assert covered == [(1.0, 0.5), (2.0, 0.25)]


@pytest.mark.parametrize("draw, y, worst", [(Draw.FRONT, [0.3, 0.2, 0.1], 0), (Draw.LOW_FRONT, [0.1, 0.2, 0.3], 1)])
def test_a_front_is_shaded_on_the_side_of_what_is_worse(draw, y, worst):
    """Of a score that is minimised, what lies above the front is worse."""
    figure, axis = plt.subplots()
    axis.set_xlim(0, 40)
    axis.set_ylim(0, 1)
    across, up = plot_panel._edge(axis, Series("front", [10, 20, 30], y, draw))
    plt.close(figure)
    assert across == [0, 10, 20, 30, 30]
    assert up == [y[0], *y, worst]


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
        INTERVALS,
        Intervals("x", [], [], [], []),
        Intervals("x", ["none"], [NAN], [NAN], [NAN], zero=True),
        Intervals("x", ["all", "equal"], [0.3, 0.3], [0.3, 0.3], [0.3, 0.3], zero=True),
        Intervals("x", ["no middle", "half"], [NAN, 0.2], [0.1, NAN], [0.3, 0.3], line=0.5, band=(0.4, 0.6)),
        Intervals(
            "x", ["a name that is " * 6], [1e-9], [-1e9], [1e9], notes=["a note that is " * 6], style_indices=[70]
        ),
        Intervals("x", ["infinite"], [float("inf")], [float("-inf")], [float("inf")]),
        Plot("x", "y", [Series("faint", [1.0, 2.0], [0.0, 0.0], Draw.FAINT)]),
        Intervals("x\x1b[31m", ["\u202e\x07", ""], [0.1, 0.2], [0, 0], [1, 1], notes=["\x1b", ""], title="\x00"),
        Plot("x", "y", [Series("\x1b[31m" + "long" * 40, [1.0], [1.0], Draw.RINGS, names=["\x07\nb"])], title="\x1b"),
        Bars("x", ["\x1b[0m" * 20], [BarSeries("\x07", [0.5])], title="\u202e"),
        Plot("$x$", "_y", [Series("$a$ <b>", [1.0], [1.0], Draw.POINTS), Series("_b", [1.0], [1.0], Draw.LINE)]),
    ],
)
@pytest.mark.filterwarnings("error")
def test_odd_panels_are_drawn(panel, tmp_path, monkeypatch):
    monkeypatch.setattr(style, "DPI", 40)
    figure = chart_figure(Chart("odd.png", "", [panel]))
    assert "<svg" in as_svg(figure)
    save(figure, tmp_path / "odd.png")
    assert dark(tmp_path / "odd.png") > 0.001


def test_a_note_of_two_lines_has_two_and_no_name_or_note_is_cut_off():
    long = "AP 0.255, p = 0.45, too unstable to place\n1 of 3 tunings collapsed: no interval"
    names = ["adam", "a name of which the line is too long for one line"]
    figure = chart_figure(
        Chart("a.png", "", [Intervals("x", names, [0.1, 0.2], [0, 0], [1, 1], notes=["short", long])])
    )
    figure.draw_without_rendering()
    (axis,) = figure.axes
    assert [text.get_text() for text in axis.texts] == ["short", long]
    shown = [*axis.texts, *axis.get_yticklabels()]
    boxes = [text.get_window_extent() for text in shown]
    assert all(box.x0 >= 0 and box.x1 <= figure.bbox.x1 for box in boxes)
    assert not any(one.overlaps(other) for place, one in enumerate(boxes) for other in boxes[place + 1 :])
    assert axis.get_window_extent().width > 0.25 * figure.bbox.width
    plt.close(figure)


POINTS, NAMED = (Series("s", [1.0], [1.0], Draw.POINTS, names=names) for names in ((), ["a"]))


@pytest.mark.parametrize(
    ("panels", "size"),
    [
        ([Plot("x", "y", [POINTS])], (7.5, 4.6)),
        ([Plot("x", "y", [POINTS, NAMED])], (7.5, 5.8)),
        ([Plot("x", "y", [POINTS])] * 2, (10.0, 4.6)),
        ([Plot("x", "y", [POINTS])] * 4, (10.0, 8.8)),
        ([Bars("x", ["a"], [BarSeries("s", [1.0])])], (10.0, 1.92)),
        ([Bars("x", [*"abcde"], [BarSeries("s", [1.0] * 5)] * 2)], (10.0, 4.0)),
        ([Bars("x", [*"abcde"], [BarSeries("s", [1.0] * 5)]), Bars("x", ["a"], [BarSeries("s", [1.0])])], (10.0, 2.7)),
        ([Intervals("x", ["a"], [1.0], [0.0], [2.0])], (7.5, 2.32)),
        ([Intervals("x", [*"abcd"], [1.0] * 4, [0.0] * 4, [2.0] * 4)], (7.5, 3.24)),
        ([Intervals("x", [*"ab"], [1.0] * 2, [0.0] * 2, [2.0] * 2, notes=["a", "a\nb\nc"])], (7.5, 2.54)),
        ([Intervals("x", ["a"], [1.0], [0.0], [2.0])] * 2, (10.0, 2.32)),
    ],
)
def test_a_figure_has_room_for_its_rows_bars_and_names(panels, size):
    figure = chart_figure(Chart("a.png", "", panels))
    assert tuple(figure.get_size_inches()) == pytest.approx(size)
    plt.close(figure)


@pytest.mark.parametrize(
    ("limits", "ticks", "minor"),
    [
        ((1, 100), [1, 2, 5, 10, 20, 50, 100], True),
        ((0.5, 4), [0.5, 1, 2], True),
        ((10, 60), [10, 20, 30, 40, 50, 60], False),
        ((10, 61), [10, 20, 50], True),
    ],
)
def test_a_logarithmic_axis_has_plain_numbers_at_1_2_and_5_or_evenly(limits, ticks, minor):
    figure, axis = plt.subplots()
    axis.set_xscale("log")
    axis.set_xlim(*limits)
    style.log_ticks(axis.xaxis)
    low, high = limits
    shown = [at for at in axis.xaxis.get_majorticklocs() if low <= at * (1 + 1e-9) and at <= high * (1 + 1e-9)]
    assert shown == pytest.approx(ticks)
    formatted = axis.xaxis.get_major_formatter()
    assert [formatted(at) for at in shown] == [f"{at:g}" for at in ticks]
    assert (len(axis.xaxis.get_minorticklocs()) > 0) == minor
    assert not any(label.get_text() for label in axis.xaxis.get_ticklabels(minor=True))
    style.decade_ticks(axis.xaxis)
    formatted = axis.xaxis.get_major_formatter()
    assert [formatted(at) for at in (1e-12, 0.001, 1, 10)] == ["10⁻¹²", "10⁻³", "10⁰", "10¹"]
    plt.close(figure)


def test_both_files_of_a_figure_have_one_layout_and_each_is_drawn_once(tmp_path, monkeypatch):
    def drawn():
        figure, axis = plt.subplots(figsize=(4, 2))
        axis.set(xlabel="steps", ylabel="a long label\nof two lines", ylim=(0, 100_000))
        return figure, axis

    with plt.rc_context(style.RC):
        figure, axis = drawn()
        figure.savefig(tmp_path / "plain.png", dpi=style.DPI)
        wanted, loose = axis.get_position().bounds, drawn()[1].get_position().bounds
        assert wanted != loose
        figure, axis = drawn()
        done = []
        for owner, name in ((ConstrainedLayoutEngine, "execute"), (Figure, "draw")):
            act = getattr(owner, name)
            monkeypatch.setattr(owner, name, lambda *given, act=act: done.append(act.__name__) or act(*given))
        with laid_out(figure):
            save(figure, tmp_path / "figure.png")
            svg = as_svg(figure)
        assert axis.get_position().bounds == wanted
        assert len(done) == 3, "the layout, and two files"
    left, bottom, width, height = wanted
    panel = re.search(r'<g id="patch_2">\s*<path d="M ([\d.]+) ([\d.]+) \s*L ([\d.]+)', svg)
    assert [float(each) for each in panel.groups()] == pytest.approx(
        [72 * 4 * left, 72 * 2 * (1 - bottom), 72 * 4 * (left + width)]
    )
    assert height > 0.5


def test_no_figure_stays_open(tmp_path):
    before = plt.get_fignums()  # other tests may have left some
    one_of_each = Findings("x", [], figure=FINDINGS.figure, appendix=FINDINGS.appendix[1:])
    assert len(one_of_each.images()) == 3
    write_parts(one_of_each, study(), tmp_path)
    assert plt.get_fignums() == before


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


@pytest.mark.parametrize(
    "before",
    [
        '{"files": [1, null, ["a"], "mine.md", "../mine.csv", "folder.csv", "a\\u0000.csv", "\\ud800.csv"]}',
        '{"files": {"mine.csv": 1}}',
        '{"files": "mine.csv"}',
        '{"files": null}',
        "[" * 100_000,
        "3",
    ],
)
def test_a_result_that_somebody_has_edited_costs_no_file_and_no_report(before, tmp_path):
    folder = tmp_path / "report"
    (folder / "folder.csv").mkdir(parents=True)
    own = [folder / "mine.csv", folder / "mine.md", tmp_path / "mine.csv"]
    for file in own:
        file.write_text("mine")
    (folder / "result.json").write_text(before)
    write_findings_report(PLAIN, study(), folder)
    assert [file.read_text() for file in own] == ["mine"] * 3
    assert json.loads((folder / "result.json").read_text())["study"] == "some-study"
