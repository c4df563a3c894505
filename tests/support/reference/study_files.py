"""Write the reference page of the settings of study files, kind by kind, from the specifications."""

from collections.abc import Mapping
from functools import cache
from typing import Any

from pydantic import TypeAdapter

from bench.kinds import KINDS, study_spec
from bench.kinds.template import SCHEMAS, allowed_values, literal
from bench.settings.declarations import Declaration
from bench.settings.layers import ENVIRONMENT_PREFIX, read_study_file
from bench.settings.presets import presets
from bench.study.settings import StudyRequest, resolve
from tests.support.reference.markdown import code, page, prose, table


def study_files() -> str:
    """The page of all kinds' settings."""
    introduction = (
        'A study file is TOML: `kind = "NAME"` and the settings of that kind. `posebench study new KIND FILE` writes '
        "one with every setting and its meaning; `posebench config show --study FILE` prints each value and where it "
        "came from."
    )
    layers = (
        "A setting is taken from the command line, else from the environment, else from the study file, else from the "
        "preset, else it has its default. The variable of the setting `tune_steps` is "
        f"`{ENVIRONMENT_PREFIX}TUNE_STEPS`, its option is `--tune-steps`; an option of another name is below the "
        "setting's."
    )
    kinds = "Kinds: " + " · ".join(f"[`{kind}`](#{kind})" for kind in KINDS) + "."
    return page("Settings of study files", introduction, layers, kinds, *(_kind(kind) for kind in KINDS))


def _kind(kind: str) -> str:
    spec = study_spec(kind)
    given = in_every_preset(kind)
    settings = [
        [
            _named(name, setting),
            setting_values(name, setting),
            setting_default(name, setting, given),
            prose(setting.meaning),
        ]
        for name, setting in spec.declarations().items()
    ]
    documents = _preset_documents(kind)
    names = [name for name in spec.declarations() if any(name in document for document in documents.values())]
    values = [
        [code(name), *(code(literal(document[name])) if name in document else "" for document in documents.values())]
        for name in names
    ]
    return "\n\n".join(
        [
            f"## {kind}",
            f"{prose(spec.question())} Run it with [`posebench study {kind}`](command-line.md#posebench-study-{kind}).",
            table(["setting", "value", "default", "meaning"], settings),
            f"The presets of `{kind}` give:",
            table(["setting", *documents], values),
        ]
    )


def _named(name: str, setting: Declaration) -> str:
    flags = ", ".join(map(code, setting.flag.names))
    return f"{code(name)}<br>{flags}" if flags else code(name)


def setting_values(name: str, setting: Declaration) -> str:
    """What a setting may be, in words."""
    return prose(allowed_values(SCHEMAS.get(name) or TypeAdapter(setting.type).json_schema()))


def setting_default(name: str, setting: Declaration, given: frozenset[str]) -> str:
    """A setting's default; ``given``: settings that every preset gives."""
    if setting.default is not None:
        return code(literal(setting.default))
    return "the preset's" if name in given else "none"


@cache
def _preset_documents(kind: str) -> Mapping[str, Mapping[str, Any]]:
    found = {}
    for preset, path in presets(kind).items():
        values = {
            name: each.value for name, each in resolve(study_spec(kind), StudyRequest(), preset, environ={}).items()
        }
        found[preset] = read_study_file(path, kind, values)
    return found


def in_every_preset(kind: str) -> frozenset[str]:
    """The settings that every preset of a kind gives."""
    documents = [*_preset_documents(kind).values()]
    return frozenset(name for name in documents[0] if all(name in each for each in documents))
