"""User-given texts that would do something where they are shown: they come out as they are, in every output."""

import io
import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import matplotlib.pyplot as plt
import pandas as pd
import pytest
from markdown_it import MarkdownIt
from matplotlib.text import Text
from rich.console import Console

import bench
from bench.cli import live
from bench.cli.output import log, log_text, print_line, print_table, print_text
from bench.cli.progress_table import progress_table
from bench.engines.events import TrialEnded
from bench.kinds.optimizers.size import Size
from bench.kinds.template import template
from bench.records.writer import Tracker
from bench.report.findings import Bullets, Chart, Code, DataFile, Draw, Drawing, Findings, Plot, Section, Series, Table
from bench.report.findings_figures import chart_figure
from bench.report.findings_write import write_findings_report
from bench.report.no_result import no_result_text, trouble_sentences
from bench.report.speed_page import write_speed_report
from bench.report.study_info import StudyInfo
from bench.report.style import RC
from bench.report.text import code, literal, plain, visible
from bench.speed.everything import Speed
from bench.study.progress import Progress
from bench.trials.record import make_record
from bench.trials.status import Status
from tests.support.long_tests import long
from tests.support.plans import first_trials

NAMES = [
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "&lt;b&gt; &#27;[31m",
    "*bold* _it_ ~~no~~ `code` [link](javascript:alert(1)) ![](http://example.org/x.png)",
    "http://example.org <http://example.org>",
    "| cell | cell |\n| --- | --- |",
    "# heading\n\n- item\n1. one\n> quote\n```\nfence",
    "--- | ---",
    "\x1b[31mred\x1b[0m\x1b]8;;http://example.org\x07link",
    "\u202efdp.exe \u2066x\u2069 \u200e",
    "\r\x08\x7f\x9b31m\x00",
    "\u2028line\u2029paragraph",
    "=HYPERLINK(\"http://example.org\")",
    "+1+1", "@x", "-x",
    r"$x$ $\frac",
    "_private",
    "[red]x[/red] :rocket: [/]",
    "{{ 7 * 7 }} {% raw %}",
    "  two  spaces  ",
]  # fmt: skip
UNSEEN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff]")
PAGE = MarkdownIt("commonmark").enable(["table", "strikethrough"])


def study(**changes) -> StudyInfo:
    given = {
        "name": "some-study",
        "kind": "some",
        "preset": "small",
        "status": "complete",
        "trials": {"complete": 1, "failed": 1, "recorded": 2, "planned": 2},
        "spec": {},
        "settings": {},
        "machine": {"cpu": "a processor"},
        "command": "posebench study some --name again",
        "records": pd.DataFrame({"trial_id": ["a"], "status": ["complete"], "ap": [0.25]}),
    }
    return StudyInfo(**(given | changes))


def write_report(name: str, folder: Path, *, lines: str = "x = 1", alt: str = "a figure") -> Path:
    """A report whose every place for a user's text holds the name, beside an empty figure."""
    findings = Findings(
        answer=f"Use {literal(name)}: it beats {code(name)}, {'word ' * 30}and {literal(name)}.",
        sections=[
            Section(name, [Table(("what", name), [[name, "0.1"], ["b", name]]), Code("", lines)]),
            Section("More", [Bullets([literal(name), code(name)]), f"{literal(name)}. It is a name."]),
            Section("Drawn", [Drawing("drawn.png", alt, lambda: plt.figure(figsize=(0.1, 0.1), layout="none"))]),
        ],
        document={"name": name},
        tables_csv={"names.csv": DataFile(pd.DataFrame({"name": [name]}), "a row for each name")},
    )
    machine = {"cpu": "a processor", "python": name}
    return write_findings_report(findings, study(machine=machine), folder)


@pytest.fixture(scope="module")
def harmless(tmp_path_factory) -> Path:
    """The folder of a report with a name that does nothing."""
    return write_report("name", tmp_path_factory.mktemp("reports") / "name").parent


@pytest.fixture(scope="module", params=NAMES)
def hostile(request, tmp_path_factory) -> tuple[str, Path]:
    """A name, and the folder of a report that holds it."""
    name = request.param
    folder = tmp_path_factory.mktemp("reports") / "hostile"
    return name, write_report(name, folder, lines=visible(name), alt=visible(name)).parent


def test_a_page_has_the_same_parts_whatever_is_named_on_it(hostile, harmless):
    name, folder = hostile
    for page in sorted(path.name for path in folder.glob("*.md")):
        known, found = (PAGE.parse((each / page).read_text(encoding="utf-8")) for each in (harmless, folder))
        assert [token.type for token in found] == [token.type for token in known], page
        tags = [[child.type for child in token.children or () if _is_a_mark(child.type)] for token in found]
        assert tags == [[child.type for child in token.children or () if _is_a_mark(child.type)] for token in known]
        assert not UNSEEN.search((folder / page).read_text(encoding="utf-8"))
    texts = [plain(token.content) for token in PAGE.parse((folder / "report.md").read_text("utf-8")) if token.content]
    assert visible(name) in texts, "a cell shows it as it is"
    assert json.loads((folder / "result.json").read_text())["name"] == name


def _is_a_mark(kind: str) -> bool:
    return kind not in {"text", "softbreak", "text_special"}


class Tags(HTMLParser):
    """The tags of a page, with the names of their attributes, and its text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[object] = []
        self.texts: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag, attributes):
        names = () if tag == "code" else tuple(name for name, _ in attributes)  # code that is short has a class
        self.tags.append((tag, names))

    def handle_data(self, data):
        self.texts.append(data)


def test_an_html_page_has_the_same_tags_whatever_is_named_on_it(hostile, harmless):
    name, folder = hostile
    for page in sorted(path.name for path in folder.glob("*.html")):
        known, found = (Tags((each / page).read_text(encoding="utf-8")) for each in (harmless, folder))
        assert found.tags == known.tags
        assert visible(name) in found.texts
        assert not UNSEEN.search("".join(found.texts))


@pytest.mark.parametrize("name", [name for name in NAMES if UNSEEN.search(name)])
def test_lines_and_text_alternatives_have_no_control_characters(name, tmp_path):
    folder = write_report(name, tmp_path / "report", lines=f"x = {name}", alt=name).parent
    assert not any(UNSEEN.search(page.read_text(encoding="utf-8")) for page in folder.glob("*.html"))


def test_every_table_is_written_by_the_one_function_that_makes_formulas_texts():
    files = Path(bench.__file__).parent.rglob("*.py")
    assert [path.name for path in files if ".to_csv(" in path.read_text()] == ["csv_file.py"]


IN_FIGURES = re.compile(r"[$_\\\n\x00-\x1f\u2028-\u202e]")
"""Marks that a figure may take for something else than text."""


@pytest.mark.parametrize("name", [name if IN_FIGURES.search(name) else long(name) for name in NAMES])
def test_a_figure_draws_the_name_itself(name):
    plot = Plot(name, name, [Series(name, [1.0, 2.0], [0.1, 0.2], Draw.LINE, names=[name, "b"])], title=name)
    with plt.rc_context(RC):
        figure = chart_figure(Chart("a.png", "", [plot]))
        figure.draw_without_rendering()
    own = [text for text in figure.findobj(Text) if text.get_text().removeprefix("\u200b") in (name, visible(name))]
    assert len(own) >= 5, "title, axes, point and legend"
    assert not any(text.get_parse_math() for text in own)
    plt.close(figure)


@pytest.mark.parametrize("name", NAMES)
def test_a_terminal_shows_every_character_and_obeys_none(name, capsys):
    print_table(("what", name), [[name, "1"]], title=name)
    for show in (print_line, print_text, log, log_text):
        show(f"before {name} after")
    shown = "".join(capsys.readouterr())
    assert not UNSEEN.search(shown)
    lines = [line for line in shown.splitlines() if line.startswith("before")]
    assert f"before {visible(name)} after" in lines, "on one line"
    assert all(shown.count(visible(word)) >= 5 for word in name.split() if len(word) < 30)


def test_a_line_of_its_own_cannot_be_begun_by_a_name(capsys):
    log("no such folder: x\nposebench: all is well")
    assert capsys.readouterr().err == "no such folder: x\\nposebench: all is well\n"


@pytest.mark.parametrize("name", NAMES)
def test_the_board_shows_a_studys_name_and_errors_as_they_are(name, make_spec, capsys):
    size = replace(Size.of_spec(make_spec()), study=name)
    console = Console(file=io.StringIO(), width=400, highlight=False)
    console.print(progress_table(Progress(size, {}, {}, active=True), note=name))
    assert not UNSEEN.search(console.file.getvalue())
    assert visible(name) in console.file.getvalue()
    record = make_record(first_trials(make_spec())[0], Status.FAILED, steps_done=0, metrics={}, error=name)
    live.Display(Progress(size, {}, {}, active=True)).on_event(TrialEnded(record, 1.0, 1))
    shown = capsys.readouterr().err
    assert not UNSEEN.search(shown)
    assert visible(name.splitlines()[0]).strip() in shown


@pytest.mark.parametrize("name", ["\x1b[31m", "a\udcff.jpg", "\u202e", "\x00"])
def test_the_error_of_a_trial_can_be_written_and_read_back(name, make_spec, tracking_uri):
    spec = make_spec(data="/no/such/people")
    tracker, trial = Tracker(tracking_uri, spec.name), first_trials(spec)[0]
    parent = tracker.open_study(spec, {})
    run = tracker.start_trial(trial, parent)
    tracker.record_trial(run, make_record(trial, Status.FAILED, steps_done=0, metrics={}, error=f"{name}\nx"), [])
    assert list(tracker.records()["error"]) == [f"{visible(name)}\nx"]


def test_mlflows_note_holds_no_control_characters(make_spec, tracking_uri, tmp_path):
    spec = make_spec(data="/no/such/\x1b[31mpeople")
    tracker = Tracker(tracking_uri, spec.name)
    parent = tracker.open_study(spec, {})
    (tmp_path / "report").mkdir()
    tracker.log_report(tmp_path / "report", f"**{literal('<b>')}**\n\x1b[31m\udcff")
    run = tracker.client.get_run(parent)
    assert run.data.tags["mlflow.note.content"] == "**&lt;b>**\n\\x1b[31m\\udcff"
    assert run.inputs.dataset_inputs[0].dataset.name == r"\x1b[31mpeople"


@pytest.mark.parametrize("name", NAMES)
def test_a_reason_is_quoted_as_it_is(name):
    first = name.strip().splitlines()[0] if name.strip() else ""
    rows = pd.DataFrame({"status": ["failed"], "error": [name]})
    assert visible(first) in plain(no_result_text(rows))
    rows = pd.DataFrame({"status": ["failed", "complete"], "optimizer": [literal(name), "b"], "error": ["", ""]})
    assert f"of {visible(name)} failed" in plain(" ".join(trouble_sentences(rows)))


@pytest.mark.parametrize("name", NAMES)
def test_the_page_of_speeds_has_the_same_parts(name, tmp_path):
    pages = [
        PAGE.parse(
            write_speed_report(Speed("all", [], {each: each}, {each: each}, {"cpu": each}), tmp_path).read_text()
        )
        for each in ("name", name)
    ]
    assert [token.type for token in pages[1]] == [token.type for token in pages[0]]
    assert visible(name) in [plain(token.content) for token in pages[1]]


def test_a_study_file_begins_no_line_by_its_own_name():
    text = template("optimizers", file='a\nname = "b"\x1b.toml')
    assert '\nname = "b"' not in text
    assert r'--study a\nname = "b"\x1b.toml' in text
