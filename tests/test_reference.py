"""The pages of docs/reference say what the declarations say: python -m tests.support.reference --write makes them."""

import re
import shlex
import typing

import pytest
import typer
from markdown_it import MarkdownIt
from typer.models import OptionInfo

from bench.cli.app import VERBS
from bench.cli.study_verbs import VERBS as STUDY_VERBS
from bench.kinds import KINDS, study_spec
from posemodel.config import TrainSettings
from tests.support.reference.__main__ import FOLDER, PAGES, main
from tests.support.reference.command_line import Command, command_tree, flags, parameters
from tests.support.reference.markdown import anchor, cell, prose, table

ROOT = FOLDER.parents[1]
MARKDOWN = MarkdownIt("commonmark").enable("table")


@pytest.mark.parametrize("name", PAGES)
def test_a_page_is_current(name):
    shown = (FOLDER / name).read_text(encoding="utf-8")
    assert shown == PAGES[name](), "python -m tests.support.reference --write makes it again"


def test_every_verb_option_and_setting_is_on_a_page():
    commands, studies, training = ((FOLDER / name).read_text(encoding="utf-8") for name in PAGES)
    for verb in [*VERBS, *(f"study {name}" for name in STUDY_VERBS)]:
        assert f"\n## posebench {verb}" in commands
    for kind in KINDS:
        section = studies.partition(f"\n## {kind}\n")[2].partition("\n## ")[0]
        assert [name for name in study_spec(kind).declarations() if f"| `{name}`" not in section] == []
    assert [name for name in TrainSettings.model_fields if f"| `{name}` |" not in training] == []
    assert "| `--lr`, `--learning-rate` |" in commands


@pytest.mark.parametrize("name", PAGES)
def test_a_table_has_as_many_cells_in_each_row_as_columns(name):
    widths: list[int] = []
    for token in MARKDOWN.parse((FOLDER / name).read_text(encoding="utf-8")):
        if token.type == "table_open":
            widths = []
        elif token.type == "tr_open":
            widths.append(0)
        elif token.type in ("th_open", "td_open"):
            widths[-1] += 1
        elif token.type == "table_close":
            assert len(set(widths)) == 1, token.map


@pytest.mark.parametrize(
    "text",
    ["<float range>", "a|b", "*all* of [this](x)", "_2 and __init__", "~/x or ~y~", "C:\\n", "`a <b>` < c", "``w``"],
)
def test_text_is_shown_as_it_is(text):
    (rendered,) = (
        token
        for token in MARKDOWN.parse(table(["a", "b"], [["x", prose(text)]]))
        if token.type == "inline" and token.content not in "abx"
    )
    shown = "".join(child.content for child in rendered.children or ())
    assert shown == text.replace("`", "")
    assert {child.type for child in rendered.children or ()} <= {"text", "code_inline", "text_special"}


def test_a_cell_is_one_line_and_a_column_of_nothing_is_left_out():
    assert cell("a\n b|c") == "a b\\|c"
    assert table(["a", "b"], [["x", ""]]) == "| a |\n| --- |\n| x |"
    assert anchor("posebench study new") == "posebench-study-new"


def test_the_options_of_a_command_are_those_of_its_function():
    def run(one: typing.Annotated[int, typer.Option("--one", "-o", min=1, help="First.")] = 3) -> None: ...

    tree = command_tree()
    train = next(each for each in tree.verbs if each.name == "posebench train")
    names = [name for name, *_ in parameters(train)]
    assert names.index("data") < names.index("steps")
    ((name, kind, declared, default),) = parameters(Command(("x",), "", run))
    assert (name, kind, declared.help, default) == ("one", int, "First.", 3)


def test_the_command_names_what_is_out_of_date_and_writes_it(tmp_path, capsys):
    assert main([], tmp_path) == 1
    assert capsys.readouterr().out.splitlines() == [f"{name}: out of date" for name in PAGES]
    assert main(["--write"], tmp_path) == 0
    assert main([], tmp_path) == 0
    assert (tmp_path / "command-line.md").read_text() == (FOLDER / "command-line.md").read_text()


def commands_shown():
    """Every `posebench ...` of a block of code in README and the guides, with the page that shows it."""
    for page in [ROOT / "README.md", *sorted((ROOT / "docs" / "guide").glob("*.md"))]:
        for block in re.findall(r"^```\n(.*?)^```", page.read_text(encoding="utf-8"), re.M | re.S):
            for line in block.replace("\\\n", " ").splitlines():
                if line.startswith("posebench "):
                    yield page.name, shlex.split(line, comments=True)[1:]


def leaf_of(words):
    """The command of typed words, and those that follow its name."""
    command = command_tree()
    while command.verbs and words and not words[0].startswith("-"):
        command = next(each for each in command.verbs if each.path[-1] == words[0])
        words = words[1:]
    return command, words


def test_the_guides_use_options_that_exist():
    faults, seen = [], set()
    for page, words in commands_shown():
        command, rest = leaf_of(words)
        seen.add(command.name)
        known = {"--help"}.union(
            *(flags(name, each) for name, _, each, _ in parameters(command) if isinstance(each, OptionInfo))
        )
        faults += [
            (page, command.name, word) for word in rest if word.startswith("--") and word.split("=")[0] not in known
        ]
    assert faults == []
    assert len(seen) > 20
