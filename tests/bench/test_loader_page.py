"""The page of a loader study whose answer is known: short, narrow, true, and of what is recommended."""

import ast
import json
import math
import re
import shlex
from dataclasses import replace
from functools import cache

import matplotlib.pyplot as plt
import pandas as pd
import pytest
from rich.console import Console
from rich.table import Table as RichTable

from bench.cli.actions.train_settings import resolve
from bench.kinds.loaders.report import figures, forest, page
from bench.kinds.loaders.report.page import loader_findings, study_info
from bench.kinds.loaders.report.result import BLOCKS, SETTLED, TIME
from bench.kinds.loaders.report.sections.main import _table_text
from bench.kinds.loaders.report.tables import MOST_ROWS
from bench.report.command_output import OutputTable
from bench.report.findings import Bullets, Code, Table
from bench.report.findings_result import TERMINAL, FindingsResult
from bench.report.findings_write import figure_of, write_findings_report
from bench.report.style import COLOURS, INK, RC, as_svg
from bench.report.text import plain
from tests.support.loader_cases import CASES, simulated_study
from tests.support.loader_results import (
    large_grid,
    loader_result,
    result_of,
    result_of_sizes,
    several_sizes,
    with_variants,
)
from tests.support.long_tests import long
from tests.support.rebuilt_loaders import rebuild_loaders

MOST_WORDS = 600
FEW = 13
"""Blocks of the studies: enough for looks of which the last settles most."""
KEYS = {
    "study", "kind", "preset", "status", "trials", "failures", "configurations", "verdict", "recommended", "dataloader",
    "bottleneck", "flips_at", "knee", "gain", "within_interval", "largest_batch", "transfers", "limits",
    "report", "spec", "machine", "recommended_by_batch_size", "slices", "ended", "spent_s", "needs",
}  # fmt: skip
"""Of the JSON document, as they have always been."""
MARKUP = "ValueError: <b>*no* __image__</b> | `a`\x1b[31m"


def failed():
    lives, slices = simulated_study(CASES["compute-bound"], blocks=FEW)
    return result_of(lives.assign(status="failed", error=MARKUP), slices)


def of_step(**settings):
    return result_of(*simulated_study(CASES["compute-bound"], blocks=FEW), dataset="own:Data", **settings)


def loading_alone(*workers):
    lives, slices = simulated_study(CASES["loader-bound"], blocks=FEW)
    if workers:
        lives, slices = (each[each["num_workers"].isin(workers)] for each in (lives, slices))
    return result_of(lives, slices[slices["arm"] == "end_to_end"], dataset="own:Data")


def one_block():
    lives, slices = simulated_study(CASES["flips"], blocks=FEW)
    return result_of(lives[lives["block"] == 0], slices[slices["block"] == 0], finished=False)


def own_loader():
    """A loader of one's own in place of 8 workers of the DataLoader."""
    frames = simulated_study(CASES["loader-bound"], blocks=FEW)
    own = [each.assign(own_loader=each["num_workers"].map({8: "mine.fast:make_loader"}).fillna("")) for each in frames]
    return result_of(*own, num_workers=(0, 1, 2, 4), loader="mine.fast:make_loader")


def impossible():
    """Of the configurations of one batch size one trains faster than its arms allow."""
    lives, slices = several_sizes(CASES["flips"], (4, 8), blocks=FEW)
    odd = (slices["num_workers"] == 2) & (slices["arm"] == "end_to_end") & (slices["batch_size"] == 8)
    return result_of(lives, slices.assign(seconds=slices["seconds"].where(~odd, slices["seconds"] / 2)))


OTHERS = {
    "different": lambda: loader_result("different", blocks=FEW),
    "large": lambda: result_of(*large_grid(blocks=FEW), device="cuda"),
    "several": result_of_sizes,
    "several settled": lambda: result_of(*several_sizes(CASES["flips"], (4, 8, 16), blocks=FEW)),
    "prefetch": lambda: result_of(*with_variants([1.3, 1, 1, 1])),
    "persistent": lambda: result_of(*with_variants([1, 1.3, 1, 1])),
    "spawn": lambda: result_of(*with_variants([1, 1, 1.5, 1])),
    "OpenCV's threads": lambda: result_of(*with_variants([1, 1, 1, 1.5])),
    "nothing yet": lambda: result_of(pd.DataFrame(), pd.DataFrame(), finished=False),
    "failed": failed,
    "own step": lambda: of_step(step="own:step"),
    "loading alone": loading_alone,
    "one block": one_block,
    "own loader": own_loader,
    "impossible": impossible,
}
ALL = [*CASES, *OTHERS]


@cache
def result(name):
    return loader_result(name, blocks=FEW) if name in CASES else OTHERS[name]()


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
    blocks = FindingsResult(findings(name), study_info(found)).output("reports/study/report.md").blocks
    tables = [block for block in blocks if isinstance(block, OutputTable)]
    assert len(tables) == (name != "nothing yet")
    assert not any(map(too_wide, tables))
    lines = [line for block in blocks if isinstance(block, str) for line in block.splitlines()]
    assert max(map(len, lines)) <= TERMINAL + 4, "lines to paste stand four columns to the right"


def test_the_widest_table_is_not_too_wide():
    lives, slices = with_variants([1, 1, 1, 1])
    wide = {"pin_memory": True, "own_loader": ""}
    frames = [
        each.assign(**wide, num_workers=12 * each["num_workers"], cv2_threads=each["cv2_threads"].replace(0, 16))
        for each in (
            lives.assign(effective_pin_memory=True, device="cuda"),
            slices.assign(images=1000 * slices["images"]),
        )
    ]
    table = loader_findings(result_of(*frames, device="cuda")).main_table()
    assert "pinned, cv2 threads 16" in [row[1] for row in table.rows]
    assert not too_wide(table)


@pytest.mark.parametrize("name", [name for name in ALL if name != "own loader"])
def test_the_answer_names_what_is_recommended(name):
    found = result(name)
    chosen, said = found.verdict.recommended, plain(findings(name).answer)
    if chosen is None:
        assert said.startswith("Nothing is recommended")
        assert not re.search(r"\b(Use|Keep)\b", said)
        return
    first = said.partition(". ")[0]
    told = re.search(r"(?:Use|Keep PyTorch's default of|best so far) (no|\d+) workers?,? with batches of (\d+)", first)
    assert said.startswith("Not settled") != found.verdict.pick.settled
    assert int(told[1].replace("no", "0")) == chosen["num_workers"]
    assert int(told[2]) == chosen["batch_size"]
    assert ("pinned memory" in first) == chosen["pin_memory"]
    speed = found.verdict.configuration(found.verdict.chosen)["images_per_s"]
    assert float(re.search(r"([\d,.]+) images/s", said)[1].replace(",", "")) == pytest.approx(speed, rel=0.006)


def test_the_answer_says_what_would_settle_it():
    found = result("several")
    for ended, option in ((TIME, "--minutes"), (BLOCKS, "--blocks, under another --name,")):
        assert f"more {option} may settle it" in plain(loader_findings(replace(found, ended=ended)).answer)
    assert "may settle it" not in loader_findings(replace(found, ended="")).answer


@pytest.mark.parametrize("name", [name for name in ALL if name not in ("own step", "loading alone", "own loader")])
def test_the_command_to_paste_trains_with_what_is_recommended(name, posebench, monkeypatch):
    found = result(name)
    chosen = found.verdict.recommended
    pasted = [code.text for code in findings(name).paste if not code.language]
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
    python = [code.text for code in findings(name).paste if code.language == "python"]
    assert len(python) == (chosen is not None and name != "own loader")
    for text in python:
        *before, call = ast.parse(text).body
        assert ast.unparse(before) == ("" if chosen["cv2_threads"] == 1 else "cv2.setNumThreads(0)")
        told = {word.arg: ast.literal_eval(word.value) for word in call.value.keywords}
        told["start_method"] = told.pop("multiprocessing_context", None)
        asked = {"num_workers": 0, "pin_memory": False, "persistent_workers": False, "prefetch_factor": None} | told
        assert asked == {key: value for key, value in chosen.items() if key != "cv2_threads"}


def test_a_training_command_has_each_setting_that_is_no_default():
    settings = {"num_workers": 2, "pin_memory": False, "batch_size": 4, "persistent_workers": True}
    settings |= {"prefetch_factor": None, "start_method": "spawn", "cv2_threads": 1}
    typed = shlex.split(page._training(result("loader-bound"), settings).replace("\\\n", " "))
    options = " ".join(typed[typed.index("--epochs") + 2 :])
    assert options == "--batch-size 4 --num-workers 2 --persistent-workers --start-method spawn"


def test_nobody_trains_a_data_set_of_one_s_own_with_us():
    for name in ("own step", "loading alone"):
        assert [code.language for code in findings(name).paste] == ["python"]


def test_threads_of_opencv_are_flagged_where_our_training_has_no_option_for_them():
    """The variant is taken, since the choice that it varies is settled."""
    found = result_of(*with_variants([1, 1, 1, 1.5], case="loader-bound", workers=8))
    assert found.verdict.recommended["cv2_threads"] == 0
    said = loader_findings(found)
    assert said.paste[0].text.startswith("cv2.setNumThreads(0)  # ")
    assert "has no option for OpenCV's threads" in said.sureness
    assert "OpenCV" not in findings("compute-bound").sureness
    (group,) = [group for group in forest.groups(found) if group.title == forest.VARIED]
    assert [row.note for row in group.rows if row.look == forest.USE] == ["use"]
    base = [row for row in forest.groups(found)[0].rows if row.name == "8 workers"]
    assert [row.note for row in base] == ["varied below"]


@pytest.mark.parametrize("name", ALL)
def test_the_figure_has_what_to_use_and_the_defaults_and_few_rows(name):
    found = result(name)
    groups = forest.groups(found)
    assert (findings(name).figure is None) == (not groups) == (found.verdict.recommended is None)
    if not groups:
        return
    assert sum(len(group.rows) for group in groups) <= MOST_ROWS
    sizes = [group for group in groups if group.title != forest.VARIED]
    for group, pick in zip(sizes, found.verdict.picks, strict=True):
        assert group.title == f"batches of {pick.batch_size}{'' if pick.key else ' (no verdict)'}"
        assert [row.images_per_s for row in group.rows] == sorted(
            (row.images_per_s for row in group.rows), reverse=True
        )
        assert max(row.share for row in group.rows) == pytest.approx(100 if pick.key else math.nan, nan_ok=True)
        used = [row for row in group.rows if row.look == forest.USE]
        assert len(used) == (bool(pick.key) and found.used(pick) == pick.key), "else it is a varied setting"
        assert all(row.note == ("use" if pick.settled else "best so far") for row in used)
        assert {row.note for row in group.rows if row.look == forest.UNTOLD} <= {"open"}
    assert sum("(default)" in row.name for group in sizes for row in group.rows) == len(sizes)
    shown = [row.name for group in groups for row in group.rows]
    assert all(row in findings(name).figure.alt for row in shown)


def test_what_is_far_slower_is_an_arrow_and_what_is_near_has_the_room():
    with plt.rc_context(RC):
        figure = forest.forest(result("loader-bound"))
    (axis,) = figure.get_axes()
    assert axis.get_xlim()[0] > 80
    (group,) = forest.groups(result("loader-bound"))
    far = [f"{forest.LEFT} {row.share:.0f} %" for row in group.rows if row.share < 60]
    assert len(far) == 4
    assert [text.get_text() for text in axis.texts if text.get_text().startswith(forest.LEFT)] == far
    with plt.rc_context(RC):
        figure = forest.forest(result("OpenCV's threads"))
    assert f"150 % {forest.RIGHT}" in [text.get_text() for text in figure.get_axes()[0].texts]
    assert forest._limits([forest.Row("", 95.0, 20.0, 300.0, 1.0, forest.UNTOLD, "open")], 3) == pytest.approx(
        (45, 155)
    )


def test_the_legend_does_not_say_of_a_slower_varied_setting_that_it_loses_more_than_the_margin():
    found = result_of(*with_variants([1, 0.97, 1, 1], case="balanced", workers=2))
    assert found.verdict.variants[1].standing == "slower"
    with plt.rc_context(RC):
        figure = forest.forest(found)
    told = [each.get_text() for legend in figure.legends for each in legend.get_texts()]
    assert "slower (not varied: by more than 3 %)" in told
    assert "(a varied setting: by any amount)" in _table_text(found)


def test_training_is_what_the_knee_fits_and_the_rest_is_said():
    with plt.rc_context(RC):
        figure = figures.knee(result("several"))
    for axis in figure.get_axes():
        lines = {line.get_label(): line for line in axis.get_lines()}
        assert lines["training"].get_linewidth() > 1.5 * max(
            line.get_linewidth() for label, line in lines.items() if label != "training"
        )
        assert lines["training"].get_zorder() == max(line.get_zorder() for line in lines.values())
        assert 1.2 < axis.get_ylim()[1] / max(lines["training"].get_ydata()) < 1.7
        assert max(lines["loading alone"].get_ydata()) > axis.get_ylim()[1]
        assert [text.get_text().partition(":")[0] for text in axis.texts] == ["↑ loading alone"]


def test_each_batch_size_has_a_choice_of_its_own():
    found = result("several")
    page = findings("several")
    table = page.main_table()
    assert [row[0] for row in table.rows] == ["4", "8", "16"]
    document = page.document["recommended_by_batch_size"]
    for row, told, pick in zip(table.rows, document, found.verdict.picks, strict=True):
        assert row[1] == "2 workers"
        assert told["recommended"] == pick.recommended
        assert told["images_per_s"] == found.verdict.configuration(pick.key)["images_per_s"]
        assert len(told["open"]) == len(pick.open)
        assert f"DataLoader(dataset, batch_size={pick.batch_size}, num_workers=2)" == told["dataloader"]
    assert len(findings("compute-bound").document["recommended_by_batch_size"]) == 1
    assert findings("compute-bound").main_table().columns[0] == "workers"


def test_what_was_disturbed_is_named_with_the_remedy():
    found = result("impossible")
    assert [bool(pick.key) for pick in found.verdict.picks] == [True, False]
    page = loader_findings(found)
    assert page.main_table().rows[1] == ["8", "-", "-", "-", "disturbed"]
    cells = [row[3] for row in page.sections[1].parts[0].rows if row[1] == "8"]
    assert sorted(cells) == ["-", "-", "-", "-", "disturbed"], "a share of what is impossible says nothing"
    told = " ".join(part for part in page.appendix[0].parts if isinstance(part, str))
    assert "Disturbed: 2 workers, batch 8." in told
    assert "end other programs" in told
    assert page.document["recommended_by_batch_size"][1]["recommended"] is None


def test_a_loader_of_one_s_own_has_its_name():
    found = result("own loader")
    page = findings("own loader")
    assert found.verdict.configuration(found.verdict.chosen)["own_loader"] == "mine.fast:make_loader"
    assert "make_loader" in [cell for row in page.main_table().rows for cell in row]
    assert "mine.fast:make\\_loader" in main_text(page) or "mine.fast:make_loader" in main_text(page)
    assert "make_loader" in page.figure.alt
    assert page.document["recommended_by_batch_size"][0]["own_loader"] == "mine.fast:make_loader"
    assert not page.paste


def main_text(page):
    return " ".join(part for section in page.sections for part in section.parts if isinstance(part, str))


def test_of_many_configurations_the_fastest_are_shown_and_all_are_kept():
    found = result("large")
    assert len(found.configurations) == 56
    page = loader_findings(found)
    assert sum(len(group.rows) for group in forest.groups(found)) == 12
    table = page.sections[1].parts[0]
    assert len(table.rows) == 12
    assert "44 more in the appendix." in main_text(page)
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
    assert not figures.has_heat_map(result_of(*several_sizes(CASES["balanced"], (4, 8), blocks=FEW))), (
        "the forest shows all of it"
    )
    assert not figures.has_waits(loading_alone(1))
    assert not figures.has_knee(loading_alone(1))


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
    grid = [line for axis in figure.get_axes() for line in (*axis.get_xgridlines(), *axis.get_ygridlines())]
    assert not any(line.get_visible() for line in grid)


@pytest.mark.parametrize("name", ["memory-bound", "different", "failed", "nothing yet", "large"])
def test_the_json_document_has_the_keys_that_it_has_always_had(name):
    found = result(name)
    document = FindingsResult(findings(name), study_info(found)).document("report.md")
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
    lives, slices = simulated_study(CASES["compute-bound"], blocks=FEW)
    bus = lives["num_workers"] == 8
    for status, doubtful in (("bus_error", True), ("skipped", False)):
        ended = lives.assign(status=lives["status"].mask(bus, status), error="why")
        assert has_faults(result_of(ended, slices)) == doubtful


def test_the_search_for_the_largest_batch_is_no_failure():
    found = result("compute-bound")
    lives = found.processes.assign(
        status=found.processes["status"].mask(found.processes["phase"] == "largest", "out_of_memory")
    )
    again = result_of(lives, found.slices, largest={"largest": 16, "limited": True, "ended": ""})
    shown = FindingsResult(loader_findings(again), study_info(again))
    assert not shown.has_faults
    assert shown.document("report.md")["failures"] == []
    assert len(loader_findings(again).tables_csv["measurements.csv"].frame) == len(lives)


def test_an_error_of_any_content_is_harmless(tmp_path):
    found = failed()
    write_findings_report(loader_findings(found), study_info(found), tmp_path)
    page, html = (tmp_path / "report.md").read_text(), (tmp_path / "report.html").read_text()
    count = len(found.processes)
    assert f"Nothing is recommended. All {count} measurements failed: {count} times" in " ".join(
        page.replace("\n> ", " ").split()
    )
    assert "<b>" not in html
    assert "\x1b" not in page + html
    assert "&lt;b&gt;*no* __image__&lt;/b&gt;" in html
    appendix = (tmp_path / "appendix.md").read_text()
    assert r"\*no\*" in appendix
    assert "| 0 workers, batch 4 | failed |" in appendix


def test_combinations_that_are_still_to_come_are_counted():
    frames = [each[each["num_workers"] < 2] for each in simulated_study(CASES["compute-bound"], blocks=FEW)]
    begun = result_of(*frames, num_workers=(0, 1, 2, 4), finished=False)
    assert begun.unmeasured == 2
    assert "2 combinations not measured yet." in loader_findings(begun).sureness
    assert "not measured yet" not in findings("compute-bound").sureness


def how_text(found):
    (section,) = [section for section in loader_findings(found).appendix if section.title == "How it was measured"]
    return plain(" ".join(part for part in section.parts if isinstance(part, str)))


def test_slices_that_were_dropped_are_counted_and_said():
    found = result("noisy")
    dropped = found.verdict.dropped
    assert 0 < dropped < found.verdict.slices
    assert f"{found.verdict.slices} slices were measured; {dropped} of them were dropped" in how_text(found)
    assert findings("noisy").document["slices"] == {"measured": found.verdict.slices, "dropped": dropped}
    frame = findings("noisy").tables_csv["slices.csv"].frame
    assert len(frame) == len(found.slices)


@pytest.mark.parametrize(
    ("ended", "said"),
    [
        (SETTLED, "The measuring ended after 7 min, with all choices settled."),
        (TIME, "The measuring ended at its time limit ("),
        (BLOCKS, "The measuring ended at its largest number of blocks"),
    ],
)
def test_it_is_said_what_ended_the_measuring_and_what_it_did_not_settle(ended, said):
    found = replace(result("several"), ended=ended)
    text = how_text(found)
    assert said in text
    assert "Not settled: the choice for batches of 4, 8 and 16." in text
    assert "analysed after 4 and 6 blocks" in text
    assert loader_findings(found).document["ended"] == ended


def test_ratios_that_are_known_to_the_asked_share_are_counted():
    found = result("prefetch")

    def known(interval):
        return replace(found, spec=found.spec.model_copy(update={"interval": interval})).known_ratios

    assert known(0.9) == (8, 8)
    assert known(1e-6) == (0, 8)
    assert result("different").known_ratios == (0, 0)
    reached, of = found.known_ratios
    assert findings("prefetch").document["within_interval"] == {"reached": reached, "of": of}


@pytest.mark.parametrize("name", ["several settled", long("memory-bound"), long("own loader")])
def test_a_report_can_be_made_from_its_own_files(name, tmp_path, monkeypatch):
    monkeypatch.setattr("bench.report.findings_write.as_svg", lambda _: "<svg></svg>")
    monkeypatch.setattr("bench.report.style.DPI", 30)
    found = result(name)
    write_findings_report(findings(name), study_info(found), tmp_path / "first")
    rebuild_loaders(tmp_path / "first", tmp_path / "again")
    before, after = (json.loads((tmp_path / run / "result.json").read_text()) for run in ("first", "again"))
    for key in KEYS - {"report", "spec"}:
        assert after[key] == before[key], key
    for path in (tmp_path / "first").iterdir():
        if path.name not in ("result.json", "study.toml"):
            assert path.read_bytes() == (tmp_path / "again" / path.name).read_bytes(), path.name
