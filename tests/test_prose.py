"""Every figure of README and docs agrees with the file that its marker names, or the page says why no file holds it.

python -m tests.support.prose [--write]
"""

import json

import pytest

from tests.support.prose.__main__ import ROOT, main, prose, read
from tests.support.prose.markers import faults, written
from tests.support.prose.pages import Page

SUMMARY = """\
name,ap_mean,ap_low,ap_high,bytes,tuning_sd
adam,0.29176,0.2757,0.3078,5507472,0.005
sgd,0.22649,0.21,,2753632,
"""
SEEDS = "optimizer,ap\nadam,0.2956\nadam,0.2936\nsgd,0.233\nsgd,0.221\n"
SPEED = {
    "results": [{"name": "a step", "ratio": 1.0314, "parts_ms": {"forward": 12.28, "back ward": 25.77}, "low": None}],
    "proofs": {"worlds[flat]": {"false": 0.002}, "worlds[one in 20 %]": {"false": 0.004}, "other": {"false": 0.5}},
}
ADAM = "<!-- from reports/summary.csv name=adam: ap_mean -->"


@pytest.fixture
def root(tmp_path):
    (tmp_path / "reports").mkdir()
    (tmp_path / "reports" / "summary.csv").write_text(SUMMARY)
    (tmp_path / "reports" / "seeds.csv").write_text(SEEDS)
    (tmp_path / "reports" / "speed.json").write_text(json.dumps(SPEED))
    (tmp_path / "small.toml").write_text("steps = 900\n[pose]\nsize = 160\n")
    return tmp_path


@pytest.fixture
def said(root):
    """What is wrong with a page, a line each."""

    def say(text, *, guarded=True):
        return [f"{fault.line}: {fault.message}" for fault in faults(Page(text), root, guarded=guarded)]

    return say


@pytest.mark.parametrize("file", [*prose()], ids=lambda file: file.relative_to(ROOT).as_posix())
def test_the_figures_of_a_page_are_those_of_their_sources(file):
    found = [f"{file.relative_to(ROOT)}:{fault.line}: {fault.message}" for fault in read(file)[1]]
    assert not found, "\n".join([*found, "see tests/support/prose; --write writes what the sources say"])


def test_a_wrong_figure_of_the_readme_is_seen():
    text = (ROOT / "README.md").read_text()
    low = next(part for part in text.split("Adam, AP ")[1].split() if part.startswith("["))
    wrong = text.replace(low, "[0.999,", 1)
    assert any("says 0.999, reports/optimizers-cpu/summary.csv" in fault.message for fault in faults(Page(wrong), ROOT))


@pytest.mark.parametrize(
    "text",
    [
        f"Adam has AP 0.292 {ADAM}, the best.",
        f"Adam has AP 0.29{ADAM}.",
        f"Of 3 tunings AP 0.3\n{ADAM}\n",
        f"- Adam: 0.292\n  {ADAM}\n- SGD: none\n",
        "0.292 [0.276, 0.308]<!-- from reports/summary.csv name=adam: ap_mean, ap_low, ap_high -->",
        "0.292 at 900 steps, 0.226<!-- from reports/summary.csv name=adam: ap_mean, _; name=sgd: ap_mean -->",
        "0.292, then 900<!-- from reports/summary.csv name=adam: ap_mean; small.toml: steps --> steps",
        "0.226 to 0.292<!-- from reports/summary.csv: min(ap_mean), max(ap_mean) --> of 2<!-- from reports/seeds.csv\n"
        "     optimizer!=adam: count() -->",
        "5,507,472 bytes, 5.5 MB<!-- from reports/summary.csv name=adam: bytes, bytes / 1e6 -->",
        "0.296 0.294, apart by 0.001<!-- from reports/seeds.csv optimizer=adam: each(ap), sd(ap) -->",
        "12.3 + 25.8 = 38 ms<!-- from reports/speed.json results name=\"a step\" parts_ms: forward, 'back ward',\n"
        '     forward + "back ward" -->',
        'its ratio 1.03, forward 12.3<!-- from reports/speed.json results name="a *": ratio, parts_ms.forward -->',
        'at most 0.4 %<!-- from reports/speed.json proofs * key="worlds*": max(false) * 100 -->',
        'at most 0.4 %<!-- from reports/speed.json proofs * key!="other|*flat]": false * 100 -->',
        "+0.29, 5,500,000<!-- from reports/summary.csv name=adam: ap_mean, round(bytes, -5) -->",
        "size 160<!-- from small.toml pose: size -->",
    ],
)
def test_a_figure_that_agrees_with_its_source(said, text):
    assert said(text) == []


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (f"Adam\nhas 0.291 {ADAM}", "2: the page says 0.291, reports/summary.csv name=adam says 0.292 (ap_mean: "),
        (f"AP 0.2 {ADAM}", "says 0.3 "),
        (f"AP -0.292 {ADAM}", "says 0.292 "),
        ("5,507,473<!-- from reports/summary.csv name=adam: bytes -->", "says 5,507,472 "),
        ("0.2 %<!-- from reports/speed.json proofs worlds[flat]: false -->", "says 0.0 "),
        (f"AP 0.3 {ADAM.replace('summary', 'summaries')}", "there is no file reports/summaries.csv"),
        (f"AP 0.3 {ADAM.replace('csv', 'md')}", "is no file of .csv, .json, .toml"),
        (f"AP 0.3 {ADAM.replace('ap_mean', 'ap_median')}", "no column ap_median among name, ap_mean, ap_low"),
        (f"AP 0.3 {ADAM.replace('=adam', '=radam')}", "name=radam leads nowhere among adam, sgd"),
        (f"AP 0.3 {ADAM.replace(' name=adam', '')}", "ap_mean: 2 rows, not one"),
        (f"AP 0.3 {ADAM.replace(': ', ' ')}", "`:` is missing"),
        (f"AP 0.3 {ADAM.replace('ap_mean', 'ap mean')}", "'ap mean' names no columns"),
        (f"AP 0.3 {ADAM.replace('ap_mean', 'open(ap_mean)')}", "open(ap_mean) is no column"),
        (f"AP 0.3 {ADAM.replace('ap_mean', 'sd(ap_mean)')}", "sd(ap_mean): stdev requires at least two data points"),
        (f"AP 0.3 {ADAM.replace('ap_mean', 'ap_mean / 0')}", "ap_mean / 0: float division by zero"),
        (f"AP 0.3 {ADAM.replace('ap_mean', 'name')}", "name is 'adam', no number"),
        (f"AP 0.3 {ADAM.replace('adam: ap_mean', 'sgd: ap_high')}", "ap_high is '', no number"),
        ('AP 0.3 <!-- from reports/speed.json results name="a step": low -->', "low is None, no number"),
        ("AP 0.3 <!-- from reports/speed.json proofs flat: false -->", "flat leads nowhere among worlds[flat]"),
        (f"AP 0.3 {ADAM.replace('ap_mean', 'ap_mean, ap_low')}", "names 2, the numbers here are 0.3"),
        (f"none in `0.292` or [this](0.292) {ADAM}", "names 1, the numbers here are none"),
        (f"0.292 {ADAM} and{ADAM}", "names 1, the numbers here are none"),
        (f"AP 0.292\n{ADAM} and more", "2: a marker stands after its numbers"),
        (f"AP 0.292\n{ADAM}\nand more", "2: a marker stands after its numbers"),
        (f"AP of 3\n\n{ADAM}\n\n", "3: a marker stands after its numbers"),
        ("AP of 3\n<!-- table from reports/summary.csv: AP = ap_mean -->", "2: a marker of a table stands above it"),
        (f"{ADAM}\n| AP |\n| --- |\n| 3 |\n", "1: above a table: `table from`"),
    ],
)  # fmt: skip
def test_what_is_said_of_a_figure_that_does_not_agree(said, text, expected):
    found = said(text, guarded=False)
    assert len(found) == 1, found
    assert expected in found[0]


TABLE = """\
MARKER
| optimizer | AP [95 %] | state |
| --- | --- | --- |
| [Adam](x.md) | **0.292** [0.276, 0.308] | 5.5 MB |
| `sgd` | 0.226 | none |
"""


@pytest.mark.parametrize(
    ("marker", "expected"),
    [
        ('row "Adam" from reports/summary.csv name=adam: ap_mean, ap_low, ap_high, bytes / 1e6', []),
        ('row "Adam" from reports/summary.csv name=adam: ap_mean, ap_low', ["names 2, the numbers here are 0.292 0"]),
        ('row "adam" from reports/summary.csv name=adam: ap_mean', ["names 1, the numbers here are none"]),
        ('column "state" from reports/summary.csv name=adam: bytes / 1e6', []),
        ('column "AP [95 %]" from reports/summary.csv name=adam: ap_mean, ap_low, ap_high; name=sgd: ap_mean', []),
        ('column "AP" from reports/summary.csv name=adam: ap_mean', ["names 1, the numbers here are none"]),
        ('column "state" from reports/summary.csv name=sgd: bytes / 1e6', ["4: the page says 5.5, ", "says 2.8"]),
        ("table from reports/summary.csv name={optimizer}: state = tuning_sd", ["name=Adam leads nowhere"]),
        ("table from reports/summary.csv name={optimizer}: AP = ap_mean", ["has not one column AP: optimizer, AP"]),
    ],
)  # fmt: skip
def test_a_row_or_a_column_of_a_table(said, marker, expected):
    found = said(TABLE.replace("MARKER", f"<!-- {marker} -->"), guarded=False)
    assert len(found) == bool(expected), found
    assert all(each in found[0] for each in expected)


def test_a_table_by_the_names_in_its_rows(said):
    table = "| optimizer | AP | spread |\n| --- | --- | --- |\n| `adam` | 0.292 | 0.005 |\n| sgd | 0.227 | none |\n"
    marker = "<!-- table from reports/summary.csv name={optimizer}: AP = ap_mean; spread = tuning_sd -->\n"
    assert said(marker + table.replace("0.227", "0.226")) == []
    assert said(marker + table) == [
        "5: the page says 0.227, reports/summary.csv name=sgd says 0.226 (ap_mean: 0.22649)"
    ]
    assert "no number" in said(marker + table.replace("none", "0.004"), guarded=False)[-1]
    assert "ap_mean names 1, the cell has 0" in said(marker + table.replace("0.292", "-"))[0]
    assert "name=radam leads nowhere" in said(marker + table.replace("adam", "radam"))[0]
    flat = "| family | share |\n| --- | --- |\n| one in 20 % | 0.4 % |\n"
    assert said(f'<!-- table from reports/speed.json proofs "worlds[{{family}}]": share = false * 100 -->\n{flat}') == [
        "4: 20: neither `<!-- from FILE ...: COLUMN -->` nor `<!-- no source: ... -->`"
    ]


@pytest.mark.parametrize(
    "text",
    [
        "AP 0.292", "95 % of them", "it takes 27 min", "in 12 s", "121 images/s", "8 MB", "1.4", "3 times", "-0.8",
        "# A heading of 0.5", "- an item: 5 %", "| a |\n| --- |\n| 0.5 |", "0.292<!-- a comment: 0.292 -->",
        "0.292 <!-- no source: 0.29 is a setting -->", "0.292\n\n0.5 <!-- no source: 0.292 and 0.5 are settings -->",
        f"0.292, 0.292 {ADAM}", "0.292, 5 <!-- from small.toml: _ -->",
    ],
)  # fmt: skip
def test_a_figure_that_looks_measured_needs_a_source(said, text):
    assert len(said(text)) == 1
    assert "neither" in said(text)[0]
    assert said(text, guarded=False) == []


@pytest.mark.parametrize(
    "text",
    [
        "3 tunings of 16 trials at 368 px", "`0.292` and `5 %`", "```\n0.292\n```", "text\n\n    v = 0.9 * v\n\ntext",
        "[a page](docs/0.5.md), https://example.org/1.5", "at most <= 1.6", "Python >= 3.11, version 0.1",
        "0.5.1", "bf16, 1e-4", f"`{ADAM}` is a marker", "0.292 <!-- no source: 0.292 is a setting -->",
        "0.292 and 5 % <!-- no source: all numbers are settings -->",
        "<!-- no source: 0.5 is a setting -->\n| a 0.5 |\n| --- |\n| 0.5 |",
    ],
)  # fmt: skip
def test_what_needs_no_source(said, text):
    assert said(text) == []


def test_what_the_sources_say_is_written(root):
    text = f"1,234,567 bytes<!-- from reports/summary.csv name=adam: bytes -->, `0.1`, AP +0.10 of 3 {ADAM[:-4]}, _ -->"
    page = Page(text)
    found = faults(page, root)
    assert [fault.should_be for fault in found] == ["5,507,472", "+0.29"]
    assert written(page, found) == text.replace("1,234,567", "5,507,472").replace("+0.10", "+0.29")
    assert faults(Page(written(page, found)), root) == []


def test_the_command_prints_what_is_wrong_and_writes_what_can_be_written(root, capsys):
    (root / "docs").mkdir()
    readme, log = root / "README.md", root / "docs" / "decisions.md"
    readme.write_text(f"AP 0.1 {ADAM}\n\n0.5 s\n")
    log.write_text(f"0.5 s\n\nAP 0.4 {ADAM}\n")
    assert main([], root) == 1
    assert capsys.readouterr().out.splitlines() == [
        "README.md:1: the page says 0.1, reports/summary.csv name=adam says 0.3 (ap_mean: 0.29176)",
        "README.md:3: 0.5: neither `<!-- from FILE ...: COLUMN -->` nor `<!-- no source: ... -->`",
        "docs/decisions.md:3: the page says 0.4, reports/summary.csv name=adam says 0.3 (ap_mean: 0.29176)",
    ]
    assert main(["--write"], root) == 1
    assert readme.read_text() == f"AP 0.3 {ADAM}\n\n0.5 s\n"
    assert log.read_text() == f"0.5 s\n\nAP 0.3 {ADAM}\n"
    readme.write_text(f"AP 0.1 {ADAM}\n")
    assert main(["--write"], root) == 0
    assert main([], root) == 0
