"""The tables of verbs: what they say of a verb is the verb's own word, and listing them imports none."""

import json
import re
import subprocess
import sys

import pytest

from bench.cli.app import Verbs
from bench.cli.study_verbs import StudyVerbs
from bench.kinds import KINDS

TABLES = [Verbs, StudyVerbs]
WIDE = 1000


@pytest.mark.parametrize(("table", "name"), [(table, name) for table in TABLES for name in table.verbs], ids=str)
def test_the_line_of_a_verb_is_the_first_sentence_of_its_help(table, name):
    group = table(name="group")
    assert group.loaded(name).get_short_help_str(WIDE) == table.verbs[name].line


def test_every_kind_of_study_has_a_verb():
    assert list(StudyVerbs.verbs) == [*KINDS, "new", "resume", "extend", "list", "status"]


LISTED = """
import contextlib, io, json, sys
from bench.cli.app import main
sys.argv = ["posebench", *json.loads(sys.argv[1])]
said = io.StringIO()
try:
    with contextlib.redirect_stdout(said):
        main()
except SystemExit as end:
    assert not end.code
print(json.dumps([name for name in sys.modules if name.startswith("bench.cli.")]))
"""
LIGHT = {f"bench.cli.{name}" for name in ("app", "disk_errors", "exit_codes", "home_paths", "lazy_group")}


@pytest.mark.parametrize(
    ("arguments", "more"), [(["--help"], set()), (["study", "--help"], {"bench.cli.study_verbs"})], ids=str
)
def test_a_list_of_verbs_imports_none_of_them(arguments, more):
    done = subprocess.run(
        [sys.executable, "-c", LISTED, json.dumps(arguments)], capture_output=True, text=True, check=True
    )
    assert {*json.loads(done.stdout)} == LIGHT | more


@pytest.mark.parametrize(
    ("arguments", "near"),
    [(["trian"], "train"), (["study", "optimisers"], "optimizers"), (["data", "chek"], "check")],
    ids=" ".join,
)
def test_a_name_that_is_not_listed_is_refused_and_the_nearest_named(posebench, arguments, near):
    code, _, err = posebench(*arguments)
    assert code == 2
    assert f"No such command '{arguments[-1]}'." in err
    if hasattr(Verbs(name="group"), "suggest_commands"):  # Typers that suggest
        assert f"Did you mean '{near}'?" in err


def test_paths_of_verbs_that_were_loaded_late_begin_at_home_too(posebench, monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    _, _, err = posebench("data", "check", "~/none")
    assert f"{tmp_path}/none: no such folder" in err


@pytest.mark.parametrize("group", ["", "study", "optimizers", "config", "data", "loader", "speed", "weights"])
def test_every_summary_fits_a_line_of_80_columns(posebench, monkeypatch, group):
    monkeypatch.setenv("COLUMNS", "80")
    code, out, _ = posebench(*group.split(), "--help")
    assert code == 0
    lines = out.partition("Commands:\n")[2].splitlines()
    assert all(line.endswith(".") and not line.endswith("...") for line in lines), lines


OPTION = re.compile(r"^  (?:-\w, )?--[\w-]+(?: / --[\w-]+|, --[\w-]+)*(?: \S+| <[^>]*>)?(?:  +(?P<help>\S.*))?$")


@pytest.mark.parametrize("verb", [*Verbs.verbs, *(f"study {name}" for name in StudyVerbs.verbs)])
def test_every_option_is_explained(posebench, monkeypatch, verb):
    monkeypatch.setenv("COLUMNS", "80")
    out = posebench(*verb.split(), "--help")[1]
    options = out.partition("Options:\n")[2].splitlines()
    texts = [(OPTION.match(line), following) for line, following in zip(options, [*options[1:], ""], strict=True)]
    explained = [(match[0], match["help"] or following.strip()) for match, following in texts if match]
    assert explained
    assert [option for option, text in explained if not text or text.startswith("[")] == []
