"""`posebench study new`: the file that it writes says what is so, runs as it is, and is never written over another."""

import re
import tomllib

import pytest

from bench.kinds import KINDS, study_kind, study_spec
from bench.kinds.template import literal, template
from bench.settings.layers import read_study_file
from bench.settings.presets import kinds, presets
from posemodel.errors import SettingsError
from posemodel.network import NETWORKS
from tests.support.asked import prepared, resolved

EXCLUDE_EACH_OTHER = {"tune_seconds": ("tune_steps", "steps"), "seconds": ("tune_steps", "steps")}


@pytest.fixture(scope="module", params=KINDS)
def kind(request):
    return request.param


@pytest.fixture(scope="module")
def written(kind, tmp_path_factory):
    path = tmp_path_factory.mktemp(kind) / "mine.toml"
    path.write_text(template(kind, file="mine.toml"), encoding="utf-8")
    return path


def commented(text):
    """Of each setting of a written file: its comment in one line, and whether it is commented out."""
    found = {}
    for block in re.split(r"\n\n(?=# )", text)[1:]:
        lines = block.splitlines()
        comment = " ".join(line[2:] for line in lines if line.startswith("# "))
        first = next(line for line in lines if not line.startswith("# "))
        name = re.match(r"#?\[*(\w+)", first)[1]
        assert name not in found
        found[name] = (comment, first.startswith("#"))
    return found


def test_every_kind_is_described():
    assert {*KINDS} == {*kinds()}
    for kind in KINDS:
        for name, setting in study_spec(kind).declarations().items():
            assert setting.meaning.endswith("."), f"{name} has no meaning in full sentences"


def test_every_network_is_named(written):
    found = commented(written.read_text())
    comment, _ = found.get("network") or found["networks"]
    assert all(f'"{name}"' in comment for name in NETWORKS)


def test_every_setting_is_there_with_its_default_and_that_of_each_preset(kind, written):
    described = study_spec(kind).declarations()
    found = commented(written.read_text())
    assert set(found) == set(described)
    shipped = {n: tomllib.loads(path.read_text()) for n, path in presets(kind).items()}
    for name, (comment, _) in found.items():
        assert comment.startswith(described[name].meaning)
        default = re.search(r"Default: (.+?)\.(?: Presets: |$)", comment)[1]
        known = described[name].default
        assert (None if default == "none" else tomllib.loads(f"x = {default}")["x"]) == (
            list(known) if isinstance(known, tuple) else known
        )
        in_presets = {preset: document[name] for preset, document in shipped.items() if name in document}
        values = ", ".join(f"{preset} {literal(value)}" for preset, value in in_presets.items())
        alike = len(in_presets) == len(shipped) and len({*map(repr, in_presets.values())}) == 1
        expected = f"all {literal(next(iter(in_presets.values())))}" if alike else values
        assert comment.endswith(f" Presets: {expected}." if in_presets else f"Default: {default}.")


def test_it_is_a_study_file_as_it_is(kind, written):
    declared = study_spec(kind).declarations()
    document = read_study_file(written, kind, declared)
    assert set(document) == {name for name, (_, out) in commented(written.read_text()).items() if not out}


def test_what_is_commented_out_is_valid_too(kind, written):
    declared = study_spec(kind).declarations()
    document = tomllib.loads(written.read_text())
    lines = [line for line in written.read_text().splitlines() if re.match(r"#\w", line)]
    assert {line[1:].split(" = ")[0] for line in lines} == set(declared) - set(document)
    for line in lines:
        name = line[1:].split(" = ")[0]
        text = written.read_text().replace(f"\n{line}\n", f"\n{line[1:]}\n")
        for other in EXCLUDE_EACH_OTHER.get(name, ()):
            text = re.sub(rf"(?m)^{other} = .*$", "", text)
        path = written.with_name("uncommented.toml")
        path.write_text(text, encoding="utf-8")
        found = resolved(kind, study_file=path, preset="full")[name]
        assert found.origin.startswith(f"file {path}:")
        assert found.value is not None


@pytest.mark.parametrize("preset", ["full", "small", "smoke"])
def test_its_study_is_the_full_preset_s_whichever_preset_it_is_run_over(kind, written, preset, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    full, own = (prepared(kind, {}, *asked).spec for asked in ((None, "full"), (written, preset)))
    assert own.model_copy(update={"name": full.name, "preset": "full"}) == full


@pytest.mark.parametrize(("kind", "preset"), [(kind, preset) for kind in KINDS for preset in presets(kind)])
def test_the_file_of_every_preset_runs_as_it_is(kind, preset, tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text(template(kind, file="mine.toml", preset=preset), encoding="utf-8")
    own, shipped = resolved(kind, study_file=path, preset=preset), resolved(kind, preset=preset)
    assert {name: each.value for name, each in own.items() if name != "spaces"} == {
        name: each.value for name, each in shipped.items() if name != "spaces"
    } | _spelled_out(kind, shipped)


def _spelled_out(kind, settings):
    derived = ("spaces", "own_schedules")
    return {name: value for name, value in study_kind(kind).implicit_values(settings).items() if name not in derived}


def test_the_values_of_another_preset_can_be_asked_for(tmp_path, posebench):
    code, out, err = posebench("study", "new", "optimizers", "--preset", "smoke", tmp_path / "small.toml")
    assert (code, err) == (0, "")
    assert out.endswith(f"then run: posebench study optimizers --study {tmp_path / 'small.toml'}\n")
    assert tomllib.loads((tmp_path / "small.toml").read_text())["trials"] == 2


def test_config_show_shows_the_file_s_kind_and_values(posebench):
    posebench("study", "new", "loaders", "mine.toml")
    code, out, _ = posebench("config", "show", "--study", "mine.toml")
    assert code == 0
    assert re.search(r"kind .* loaders .* file mine.toml:\d+ ", out)
    assert re.search(r"blocks .* 19 .* file mine.toml:\d+ ", out)


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("loader", "KIND loader: there is no such kind. Did you mean loaders? There are: optimizers, loaders"),
        ("xyzzy", "KIND xyzzy: there is no such kind. There are: optimizers, loaders"),
    ],
)
def test_an_unknown_kind_names_the_nearest_and_all(tmp_path, posebench, kind, message):
    code, _, err = posebench("study", "new", kind, tmp_path / "x.toml")
    assert code == 2
    assert message in err
    assert not (tmp_path / "x.toml").exists()


def test_nothing_is_overwritten_and_a_folder_must_be_there(tmp_path, posebench):
    file = tmp_path / "mine.toml"
    file.write_text("mine")
    code, _, err = posebench("study", "new", "loaders", file)
    assert (code, file.read_text()) == (2, "mine")
    assert f"{file}: exists; it is not overwritten. Give another name." in err
    code, _, err = posebench("study", "new", "loaders", tmp_path / "no" / "mine.toml")
    assert code == 2
    assert "cannot be written (No such file or directory). Give a name in an existing, writable folder." in err


def test_an_unknown_preset_names_the_nearest(kind):
    with pytest.raises(SettingsError, match="Did you mean smoke"):
        template(kind, file="x.toml", preset="smoek")
