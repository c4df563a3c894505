"""Study files as editors write them, and `~` wherever a path is given."""

import codecs
from pathlib import Path

import pytest

from bench.cli.home_paths import expand_home
from bench.settings.layers import checked_setting, read_study_file, setting_layers
from posemodel.errors import SettingsError

TEXT = 'kind = "x"\ndata = "näher"\n'


def given(path, **layers):
    preset = path.with_name("preset.toml")
    preset.write_text("")
    return setting_layers(
        "x", ("data", "table"), preset="p", preset_file=preset, study_file=path,
        environ=layers.get("environ", {}), command_line=layers.get("command_line", {}),
    )  # fmt: skip


@pytest.mark.parametrize(
    "content",
    [
        TEXT.encode(),
        codecs.BOM_UTF8 + TEXT.encode(),
        codecs.BOM_UTF8 + TEXT.replace("\n", "\r\n").encode(),
        TEXT.replace("\n", "\r\n").encode(),
    ],
)
def test_a_mark_and_ends_of_lines_are_no_matter(tmp_path, content):
    (tmp_path / "a.toml").write_bytes(content)
    assert read_study_file(tmp_path / "a.toml", "x", ["data"]) == {"data": "näher"}
    assert str(given(tmp_path / "a.toml")[1]["data"][1]) == f"file {tmp_path}/a.toml:2"


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le"])
def test_other_encodings_are_named(tmp_path, encoding):
    (tmp_path / "a.toml").write_bytes(TEXT.encode(encoding))
    with pytest.raises(SettingsError, match=r"a\.toml:1: is UTF-(16|32) text.*Save the file as UTF-8\."):
        read_study_file(tmp_path / "a.toml", "x", ["data"])


def test_a_file_in_latin_1_is_told_with_its_line(tmp_path):
    (tmp_path / "a.toml").write_bytes(TEXT.encode("latin-1"))
    with pytest.raises(SettingsError, match=r"a\.toml:2: .*not UTF-8"):
        read_study_file(tmp_path / "a.toml", "x", ["data"])


def test_home_in_every_layer(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", "/home/me")
    path = tmp_path / "a.toml"
    path.write_text('data = "~/coco"\n[table]\nweights = "~/w"\nlist = ["~/a", "b~/c", "~", 3]\n')
    layers = given(path, environ={"POSEBENCH_DATA": "~/env"}, command_line={"data": Path("~/typed")})
    assert layers[1]["data"][0] == "/home/me/coco"
    assert layers[1]["table"][0] == {"weights": "/home/me/w", "list": ["/home/me/a", "b~/c", "/home/me", 3]}
    assert layers[2]["data"][0] == "/home/me/env"
    assert layers[3]["data"][0] == Path("/home/me/typed")


def test_paths_of_the_command_line(monkeypatch):
    monkeypatch.setenv("HOME", "/home/me")
    assert expand_home(Path("~/x")) == Path("/home/me/x")
    assert expand_home([Path("~/x"), Path("a/~")]) == [Path("/home/me/x"), Path("a/~")]
    assert expand_home("~/x") == "~/x", "a text is no path"
    assert expand_home(Path("~nobody-of-this-name/x")) == Path("~nobody-of-this-name/x")


@pytest.mark.parametrize(
    ("command", "said"),
    [
        (("train", "--steps", "2", "--data=~/gone"), "/gone: no such folder"),
        (("data", "check", "~/gone"), "/gone: no such folder"),
        (("eval", "--data=~/gone", "--oracle"), "/gone: no such folder"),
        (("study", "optimizers", "--preset", "smoke", "--data=~/gone", "--dry-run"), "/gone: no such folder"),
        (("study", "loaders", "--preset", "smoke", "--data=~/gone", "--dry-run"), "/gone: no such folder"),
        (("study", "joint", "--preset", "smoke", "--data=~/gone", "--dry-run"), "/gone: no such folder"),
    ],
)
def test_every_verb_goes_home(posebench, monkeypatch, hermetic, command, said):
    monkeypatch.setenv("HOME", str(hermetic / "home"))
    code, _, err = posebench(*command)
    assert code in (1, 2)
    assert f"{hermetic}/home{said}" in err


def test_report_and_out_go_home(posebench, monkeypatch, hermetic):
    monkeypatch.setenv("HOME", str(hermetic / "home"))
    code, _, err = posebench("data", "synth", "--images", "3", "~/made")
    assert code == 0, err
    assert (hermetic / "home" / "made" / "annotations").is_dir()


def test_a_folder_whose_name_is_no_utf_8_is_told_before_anything_runs():
    path = Path("M\udcfcller")
    with pytest.raises(
        SettingsError, match=r"data: has a file name that is not UTF-8: rename it, or .*from: command line"
    ):
        checked_setting(Path, "data", path, "command line")
    for name in ("M\u00fcller \u263a", "a\ttab"):
        assert checked_setting(Path, "data", name, "command line").value == Path(name)
