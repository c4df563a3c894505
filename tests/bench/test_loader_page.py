"""The page of a loader study whose answer is known: short, narrow, true, and of what is recommended."""

import ast
import json
import re
import shlex
from functools import cache

import pandas as pd
import pytest
from rich.console import Console
from rich.table import Table as RichTable

from bench.cli.actions.train_settings import resolve
from bench.kinds.loaders.report import figures
from bench.kinds.loaders.report.page import loader_findings, study_info
from bench.kinds.loaders.report.tables import MOST_ROWS
from bench.report.findings import Bullets, Code, Table
from bench.report.findings_result import TERMINAL, FindingsResult
from bench.report.findings_write import figure_of, write_findings_report
from bench.report.shown import ShownTable
from bench.report.style import COLOURS, INK, as_svg
from bench.report.text import plain
from tests.support.commands import ROOT
from tests.support.loader_cases import CASES, simulated_rows
from tests.support.loader_results import (
    as_measured,
    large_grid,
    loader_result,
    result_of,
    with_variants,
)
from tests.support.rebuilt_loaders import rebuild_loaders

MOST_WORDS = 600
KEYS = {
    "study", "kind", "preset", "status", "trials", "failures", "configurations", "verdict", "recommended", "dataloader",
    "bottleneck", "flips_at", "knee", "gain", "noise", "within_interval", "largest_batch", "transfers", "limits",
    "report", "spec", "machine",
}  # fmt: skip
"""Of the JSON document, as they have always been."""
MARKUP = "ValueError: <b>*no* __image__</b> | `a`\x1b[31m"


def failed():
    rows = as_measured(simulated_rows(CASES["compute-bound"]))
    return result_of(rows.assign(status="failed", error=MARKUP))


def of_step(**settings):
    return result_of(as_measured(simulated_rows(CASES["compute-bound"])), dataset="own:Data", **settings)


def loading_alone():
    rows = as_measured(simulated_rows(CASES["loader-bound"]))
    return result_of(rows[rows["arm"] == "end_to_end"], dataset="own:Data")


def one_repeat():
    rows = as_measured(simulated_rows(CASES["flips"]))
    return result_of(rows[rows["block"] == 0], left=3)


OTHERS = {
    "different": lambda: loader_result("different"),
    "large": lambda: result_of(large_grid(accelerated=True), device="cuda"),
    "prefetch": lambda: result_of(with_variants([1.3, 1, 1, 1])),
    "persistent": lambda: result_of(with_variants([1, 1.3, 1, 1])),
    "spawn": lambda: result_of(with_variants([1, 1, 1.5, 1])),
    "OpenCV's threads": lambda: result_of(with_variants([1, 1, 1, 1.5])),
    "nothing yet": lambda: result_of(pd.DataFrame(), left=3),
    "failed": failed,
    "own step": lambda: of_step(step="own:step"),
    "loading alone": loading_alone,
    "one repeat": one_repeat,
}
ALL = [*CASES, *OTHERS]


@cache
def result(name):
    return loader_result(name) if name in CASES else OTHERS[name]()


@cache
def findings(name):
    return loader_findings(result(name))


def main_page(found):
    """Every part of the first screen and the main page that is read."""
    yield from (found.answer, *found.paste, found.sureness)
    for section in found.sections:
        yield from (section.title, *section.parts)


def words(part):
    match part:
        case str():
            return plain(part).split()
        case Code(_, text):
            return text.split()
        case Bullets(items):
            return [word for item in items for word in plain(item).split()]
        case Table(columns, rows):
            return [word for cell in (*columns, *(cell for row in rows for cell in row)) for word in cell.split()]
    return []


@pytest.mark.parametrize("name", ALL)
def test_the_main_page_is_short(name):
    found = findings(name)
    assert sum(len(words(part)) for part in main_page(found)) <= MOST_WORDS
    assert len(re.findall(r"[.!?](?= |$)", plain(found.answer))) <= 3


def too_wide(table):
    """Whether a terminal folds a cell of it, or is wider than it may be."""
    shown = RichTable(*table.columns, title_justify="left")
    for row in table.rows:
        shown.add_row(*row)
    return Console().measure(shown).minimum > TERMINAL or Console(width=400).measure(shown).maximum > TERMINAL


@pytest.mark.parametrize("name", ALL)
def test_a_terminal_of_80_columns_holds_the_first_screen(name):
    found = result(name)
    blocks = FindingsResult(loader_findings(found), study_info(found)).shown("reports/study/report.md").blocks
    tables = [block for block in blocks if isinstance(block, ShownTable)]
    assert len(tables) == (name != "nothing yet")
    assert not any(map(too_wide, tables))
    lines = [line for block in blocks if isinstance(block, str) for line in block.splitlines()]
    assert max(map(len, lines)) <= TERMINAL + 4, "lines to paste stand four columns to the right"


def test_the_widest_table_is_not_too_wide():
    rows = with_variants([1, 1, 1, 1]).assign(pin_memory=True, effective_pin_memory=True, device="cuda")
    rows["images_per_s"] *= 1000
    rows["num_workers"] *= 12
    rows["cv2_threads"] = rows["cv2_threads"].replace(0, 16)
    table = loader_findings(result_of(rows, device="cuda", batch_size=(4,), num_workers=(0, 12))).main_table()
    assert "pinned, cv2 threads 16" in [row[2] for row in table.rows]
    assert not too_wide(table)


@pytest.mark.parametrize("name", ALL)
def test_the_answer_names_what_is_recommended(name):
    found = result(name)
    chosen, said = found.verdict.recommended, plain(loader_findings(found).answer)
    if chosen is None:
        assert said.startswith("Nothing is recommended")
        assert not re.search(r"\b(Use|Keep)\b", said)
        return
    told = re.match(r"(?:Use|Keep PyTorch's default) \(?(no|\d+) workers?\)? with batches of (\d+)", said)
    assert int(told[1].replace("no", "0")) == chosen["num_workers"]
    assert int(told[2]) == chosen["batch_size"]
    first = said.partition(".")[0]
    assert ("pinned memory" in first) == chosen["pin_memory"]
    assert ("persistent workers" in first) == chosen["persistent_workers"]
    assert ("prefetch_factor" in first) == (chosen["prefetch_factor"] is not None)
    assert ("start method" in first) == (chosen["start_method"] is not None)
    speed = found.verdict.configuration(found.verdict.chosen)["images_per_s"]
    assert float(re.search(r"([\d,.]+) images/s", said)[1].replace(",", "")) == pytest.approx(speed, rel=0.006)


LIMITS = {
    "loader-bound": "Loading is the limit: training waits for data 81 % of the time, and more than 8 workers may help.",
    "compute-bound": "The network is the limit, not the loader.",
    "balanced": "neither alone is the limit.",
    "memory-bound": "Memory is the limit: training waits for data 90 % of the time, and more workers did not fit.",
    "noisy": "The machine was noisy (15 %): measure again on a quiet one.",
    "own step": "The step is the limit, not the loader.",
    "loading alone": "No step was given, so only loading was measured; more than 8 workers may help.",
    "different": "or say that they are random by design (--random-samples).",
    "nothing yet": "Nothing is recommended yet: no configuration has been measured.",
}


@pytest.mark.parametrize("name", LIMITS)
def test_the_answer_says_what_limits_it_or_why_there_is_none(name):
    assert plain(findings(name).answer).endswith(LIMITS[name])


def test_a_gain_is_claimed_only_where_it_is_sure():
    faster = findings("loader-bound")
    assert "7.6 times PyTorch's default" in faster.answer
    assert "7.3 to 7.7 times the default in 5 blocks" in faster.sureness
    assert faster.metrics["gain"] == pytest.approx(7.63, abs=0.01)
    assert faster.metrics["gain_low"] < faster.metrics["gain"] < faster.metrics["gain_high"]
    once = findings("one repeat")
    assert "2.6 times PyTorch's default in one repeat." in once.answer
    assert "one repeat has no interval" in once.sureness
    assert "gain_low" not in once.metrics
    rows = as_measured(simulated_rows(CASES["flips"]))
    rows.loc[(rows["num_workers"] == 0) & (rows["arm"] == "end_to_end"), "images_per_s"] *= 2.4
    unsure = result_of(rows[rows["num_workers"].isin((0, 2, 4))], noise=0.02)
    assert unsure.verdict.recommended["num_workers"] == 2
    assert "times PyTorch's default" in loader_findings(unsure).answer
    rows.loc[(rows["num_workers"] == 0) & (rows["arm"] == "end_to_end"), "images_per_s"] *= 1.1
    kept = loader_findings(result_of(rows[rows["num_workers"].isin((0, 2, 4))], noise=0.02))
    assert kept.answer.startswith("Keep PyTorch's default of no workers, with batches of 4: ")
    assert "and nothing tried is reliably faster." in kept.answer
    assert kept.metrics["num_workers"] == 0


def test_repeats_that_differ_more_than_settings_recommend_nothing():
    rows = as_measured(simulated_rows(CASES["flips"]))
    rows = rows[rows["block"] < 2]
    rows.loc[rows["block"] == 1, "images_per_s"] /= 20
    found = result_of(rows)
    assert found.verdict.recommended is not None
    said = loader_findings(found)
    assert said.answer.startswith(
        "Nothing can be recommended: repeats of one setting differ by more than settings do ("
    )
    assert not said.paste
    assert "recommended" not in said.figure.panels[0].notes


def test_shared_cores_are_named_where_workers_only_cut_the_waiting():
    rows = as_measured(simulated_rows(CASES["flips"]))
    end = rows["arm"] == "end_to_end"
    rows.loc[end, "images_per_s"] = 31.0 + 0.1 * rows.loc[end, "block"]
    found = result_of(rows)
    assert (found.verdict.recommended["num_workers"], found.verdict.bottleneck) == (0, "loader-bound")
    said = loader_findings(found)
    assert "Workers cut the waiting but not the total time: they share the cores with training." in said.answer
    assert "Workers cut the waiting but not the total time" in said.claims


@pytest.mark.parametrize("name", [name for name in ALL if name not in ("own step", "loading alone")])
def test_the_command_to_paste_trains_with_what_is_recommended(name, posebench, monkeypatch):
    found = result(name)
    chosen = found.verdict.recommended
    pasted = [code.text for code in loader_findings(found).paste if not code.language]
    if chosen is None or chosen["cv2_threads"] != 1:
        assert not pasted
        return
    (command,) = pasted
    typed = shlex.split(command.replace("\\\n", " "))
    assert typed[:2] == ["posebench", "train"]
    asked = []
    monkeypatch.setattr("bench.cli.actions.train.train_network", lambda *given: asked.append(resolve(*given)))
    assert posebench(*typed[1:])[0] == 0
    settings = asked[0].settings
    assert settings.loader.model_dump() == {key: value for key, value in chosen.items() if key != "cv2_threads"}
    assert (settings.network, settings.size, settings.data) == (found.spec.network, found.spec.size, found.spec.data)


@pytest.mark.parametrize("name", ALL)
def test_the_call_to_paste_is_python_and_has_the_settings(name):
    found = result(name)
    chosen = found.verdict.recommended
    python = [code.text for code in loader_findings(found).paste if code.language == "python"]
    assert len(python) == (chosen is not None)
    for text in python:
        *before, call = ast.parse(text).body
        assert ast.unparse(before) == ("" if chosen["cv2_threads"] == 1 else "cv2.setNumThreads(0)")
        told = {word.arg: ast.literal_eval(word.value) for word in call.value.keywords}
        told["start_method"] = told.pop("multiprocessing_context", None)
        asked = {"num_workers": 0, "pin_memory": False, "persistent_workers": False, "prefetch_factor": None} | told
        assert asked == {key: value for key, value in chosen.items() if key != "cv2_threads"}


def test_nobody_trains_a_data_set_of_one_s_own_with_us():
    for name in ("own step", "loading alone"):
        assert [code.language for code in findings(name).paste] == ["python"]


def test_threads_of_opencv_are_flagged_where_our_training_has_no_option_for_them():
    found = findings("OpenCV's threads")
    assert "cv2.setNumThreads(0)" in found.answer
    assert found.paste[0].text.startswith("cv2.setNumThreads(0)  # ")
    assert "has no option for OpenCV's threads" in found.sureness
    assert "OpenCV" not in findings("compute-bound").sureness


@pytest.mark.parametrize("name", ALL)
def test_the_figure_has_the_recommendation_and_the_defaults_and_few_rows(name):
    found = result(name)
    figure = loader_findings(found).figure
    if found.verdict.recommended is None:
        assert figure is None
        return
    (panel,) = figure.panels
    assert 1 <= len(panel.names) <= MOST_ROWS
    assert list(panel.middle) == sorted(panel.middle, reverse=True)
    notes = list(panel.notes)
    (at,) = [row for row, note in enumerate(notes) if note.startswith("recommended")]
    assert panel.places[at] is not None
    assert sum(place is not None for place in panel.places) == 1
    chosen = found.verdict.recommended
    assert panel.names[at].startswith(f"{chosen['num_workers']} worker")
    assert f"batch {chosen['batch_size']}" in panel.names[at]
    assert sum("PyTorch's default" in note for note in notes) == 1
    assert notes.count("cannot be told apart") <= len(found.verdict.tied)
    assert panel.names[at] in figure.alt


def test_of_many_configurations_the_fastest_are_shown_and_all_are_kept():
    found = result("large")
    assert len(found.configurations) == 56
    page = loader_findings(found)
    panel = page.figure.panels[0]
    assert panel.title == "12 of 56 configurations, the fastest first"
    assert panel.notes[-1] == "PyTorch's default workers"
    assert len(page.main_table().rows) == 12
    assert "44 more in the appendix." in " ".join(part for part in page.sections[0].parts if isinstance(part, str))
    assert len(page.appendix[0].parts[0].rows) == len(page.tables_csv["configurations.csv"].frame) == 56


@pytest.mark.parametrize("name", ["large", "memory-bound", "noisy", "prefetch"])
def test_figures_are_drawn_and_have_units(name):
    found = findings(name)
    assert found.images()
    for image in found.images():
        for axis in figure_of(image).get_axes():
            if axis.get_visible() and axis.axison:
                assert axis.has_data(), image.file
                assert axis.get_xlabel(), image.file


def test_what_has_nothing_to_show_has_no_figure():
    for name in ("failed", "nothing yet"):
        assert findings(name).images() == []
    assert [image.file for image in findings("different").images()] == ["batch-sizes.png"]
    assert not figures.has_heat_map(result("compute-bound")), "one batch size: the curve says it all"
    assert not figures.has_waits(loading_alone_of_one_worker())
    assert not figures.has_knee(loading_alone_of_one_worker())


def loading_alone_of_one_worker():
    rows = as_measured(simulated_rows(CASES["loader-bound"]))
    return result_of(rows[(rows["arm"] == "end_to_end") & (rows["num_workers"] == 1)], dataset="own:Data")


def test_numbers_on_the_map_can_be_read_on_a_light_and_on_a_dark_page():
    """Its cells keep their colours there: their text must keep its own, which ink and white would not."""
    figure = figures.heat_map(result("large"))
    shown = [text for axis in figure.get_axes() for text in axis.texts if text.get_text()]
    colours = {text.get_color().lower() for text in shown}
    assert colours == {figures.ON_LIGHT, figures.ON_DARK}
    assert not colours & {INK.lower(), "#ffffff", *(colour.lower() for colour in COLOURS)}
    svg = as_svg(figure)
    assert figures.ON_LIGHT in svg
    assert figures.ON_DARK in svg


@pytest.mark.parametrize("name", ["memory-bound", "different", "failed", "nothing yet", "large"])
def test_the_json_document_has_the_keys_that_it_has_always_had(name):
    found = result(name)
    document = FindingsResult(loader_findings(found), study_info(found)).document("report.md")
    assert set(document) >= KEYS
    assert document["recommended"] == found.verdict.recommended
    assert document["dataloader"] == found.verdict.call
    assert len(document["configurations"]) == len(found.configurations)
    json.dumps(document, allow_nan=False)


def test_faults_and_samples_that_differ_make_a_result_doubtful():
    def has_faults(found):
        return FindingsResult(loader_findings(found), study_info(found)).has_faults

    assert not has_faults(result("compute-bound"))
    assert has_faults(result("memory-bound"))
    assert has_faults(result("different"))
    rows = as_measured(simulated_rows(CASES["compute-bound"]))
    bus = rows["num_workers"] == 8
    assert has_faults(result_of(rows.assign(status=rows["status"].mask(bus, "bus_error"), error="/dev/shm is full")))
    skipped = rows.assign(status=rows["status"].mask(bus, "skipped"), error="would need too much")
    assert not has_faults(result_of(skipped))


def test_the_search_for_the_largest_batch_is_no_failure():
    found = result("compute-bound")
    rows = found.rows.assign(status=found.rows["status"].mask(found.rows["phase"] == "largest", "out_of_memory"))
    again = result_of(rows, largest={"largest": 16, "limited": True, "ended": ""})
    shown = FindingsResult(loader_findings(again), study_info(again))
    assert not shown.has_faults
    assert shown.document("report.md")["failures"] == []
    assert len(loader_findings(again).tables_csv["measurements.csv"].frame) == len(rows)


def test_an_error_of_any_content_is_harmless(tmp_path):
    found = failed()
    write_findings_report(loader_findings(found), study_info(found), tmp_path)
    page, html = (tmp_path / "report.md").read_text(), (tmp_path / "report.html").read_text()
    assert "Nothing is recommended. All 55 measurements failed: 55 times" in " ".join(page.replace("\n> ", " ").split())
    assert "<b>" not in html
    assert "\x1b" not in page + html
    assert "&lt;b&gt;*no* __image__&lt;/b&gt;" in html
    appendix = (tmp_path / "appendix.md").read_text()
    assert r"\*no\*" in appendix
    assert "| 0 workers, batch 4 | loader     | failed |" in appendix


def test_combinations_that_are_still_to_come_are_counted():
    rows = as_measured(simulated_rows(CASES["compute-bound"]))
    begun = result_of(rows[rows["num_workers"] < 2], num_workers=(0, 1, 2, 4), left=5)
    assert begun.unmeasured == 2
    assert "2 combinations not measured yet." in loader_findings(begun).sureness
    assert "not measured yet" not in findings("compute-bound").sureness


@pytest.mark.parametrize("name", ["loaders-cpu", "loaders-gpu"])
def test_a_shipped_report_can_be_made_from_its_own_files(name, tmp_path, monkeypatch):
    monkeypatch.setattr("bench.report.findings_write.as_svg", lambda _: "<svg></svg>")
    shipped = ROOT / "reports" / name
    before = json.loads((shipped / "result.json").read_text())
    rebuild_loaders(shipped, tmp_path / "once")
    document = json.loads((tmp_path / "once" / "result.json").read_text())
    for key in ("recommended", "dataloader", "bottleneck", "flips_at", "knee", "trials", "status", "within_interval"):
        assert document[key] == before[key], key
    speeds = [[each["images_per_s"] for each in found["configurations"]] for found in (before, document)]
    assert speeds[0] == pytest.approx(speeds[1], nan_ok=True)
    rebuild_loaders(tmp_path / "once", tmp_path / "twice")
    for path in (tmp_path / "once").iterdir():
        if path.name != "result.json":
            assert path.read_bytes() == (tmp_path / "twice" / path.name).read_bytes(), path.name


def test_one_repeat_tells_nothing_of_chance_and_a_failed_default_was_measured():
    rows = as_measured(simulated_rows(CASES["loader-bound"]))
    assert "slower by more than the machine's noise." in loader_findings(result_of(rows[rows["block"] == 0])).sureness
    default = (rows["num_workers"] == 0) & (rows["arm"] == "end_to_end")
    failed = rows.assign(status=rows["status"].mask(default, "failed"), error="x")
    failed["images_per_s"] = failed["images_per_s"].mask(default)
    assert "PyTorch's default has no result at this batch size." in loader_findings(result_of(failed)).sureness


def test_on_a_noisy_machine_nothing_is_said_of_more_workers():
    rows = as_measured(simulated_rows(CASES["loader-bound"]))
    assert "more than 8 workers may help" in loader_findings(result_of(rows)).answer
    assert "more than 8 workers" not in loader_findings(result_of(rows, noise=0.5)).answer
