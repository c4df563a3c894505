"""Write a commented study file that lists every setting of a kind: meaning, allowed values and default.

It is generated from the settings' declarations, so that it cannot contradict them.
"""

import json
import textwrap
from collections.abc import Mapping
from typing import Any

from pydantic import TypeAdapter

from bench.kinds import study_kind
from bench.settings.declarations import Declaration
from bench.settings.layers import ENVIRONMENT_PREFIX, read_study_file
from bench.settings.presets import FULL, presets
from bench.settings.value_errors import key_path_text
from bench.storage.visible import visible
from bench.study.settings import StudyRequest, resolve
from posemodel.network import NETWORKS

NETWORK: Mapping[str, Any] = {"anyOf": [{"enum": list(NETWORKS)}, {"type": "string", "format": "class"}]}
SCHEMAS: Mapping[str, Mapping[str, Any]] = {
    "network": NETWORK,
    "networks": {"type": "array", "items": NETWORK},
}
"""JSON schemas of settings whose type does not list the allowed values."""
WIDTH = 110
"""Characters of a line of comment."""
HEAD = """\
# {question}
#
{commands}
#
# The values are those of the preset `{preset}`. A line that begins with `#` directly before a name is a setting that
# the preset leaves at its default (or an example if there is no default): remove the `#` to set it. If a setting is
# given more than once, the first of these wins: command line, environment variable ({prefix}NAME=mine), this file,
# preset (--preset), default.

kind = "{kind}"
"""


def template(kind: str, *, file: str, preset: str = FULL) -> str:
    """Return the text of a study file that gives the preset's study, over whichever preset it is run.

    ``file`` is the file's name in its head comment. SettingsError if there is no such preset.
    """
    study = study_kind(kind)
    resolved = resolve(study.spec, StudyRequest(), preset, environ={})
    spelled_out = study.implicit_values(resolved)
    values = {**{name: setting.value for name, setting in resolved.items()}, **spelled_out}
    shipped = {each: read_study_file(path, kind, values) for each, path in presets(kind).items()}
    set_names = {*spelled_out, *(name for document in shipped.values() for name in document)}
    blocks = [_head(kind, study.spec.question(), file, preset)]
    tables: list[str] = []
    for name, setting in study.spec.declarations().items():
        in_presets = {each: document[name] for each, document in shipped.items() if name in document}
        comment = _comment(name, setting, in_presets, len(shipped))
        example = setting.default if setting.example is None else setting.example
        is_set = name in set_names and values[name] is not None
        lines = _lines(name, values[name]) if is_set else [f"#{line}" for line in _lines(name, example)]
        (tables if lines[0].lstrip("#").startswith("[") else blocks).append("\n".join([*comment, *lines]))
    return "\n\n".join([*blocks, *tables]) + "\n"


def _head(kind: str, question: str, file: str, preset: str) -> str:
    shown = visible(file)  # a line feed in the name would end the comment
    commands = {
        f"posebench study {kind} --study {shown}": "run the study, continue it or show its result",
        f"posebench study {kind} --study {shown} --dry-run": "print the plan and run nothing",
        f"posebench config show --study {shown}": "show every setting and where its value comes from",
    }
    width = max(map(len, commands))
    lines = "\n".join(f"#     {command.ljust(width)}    {what}" for command, what in commands.items())
    return HEAD.format(question=question, commands=lines, kind=kind, preset=preset, prefix=ENVIRONMENT_PREFIX).rstrip(
        "\n"
    )


def literal(value: Any) -> str:
    """Return a value as TOML, on one line."""
    if isinstance(value, Mapping):
        pairs = [f"{key_path_text((name,))} = {literal(each)}" for name, each in value.items()]
        return f"{{ {', '.join(pairs)} }}" if pairs else "{}"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(map(literal, value)) + "]"
    if isinstance(value, bool):
        return str(value).lower()
    return repr(value) if isinstance(value, (int, float)) else json.dumps(str(value), ensure_ascii=False)


def _lines(name: str, value: Any) -> list[str]:
    """Return a setting as lines of TOML; a table of tables, or a list of tables, under headers of its own."""
    parts: list[tuple[str, Mapping[str, Any]]] = []
    if isinstance(value, Mapping):
        parts = [(f"[{key_path_text((name, key))}]", table) for key, table in value.items()]
    elif isinstance(value, (list, tuple)) and value and all(isinstance(each, Mapping) for each in value):
        parts = [(f"[[{name}]]", table) for table in value]
    if not parts:
        return [f"{name} = {literal(value)}"]
    pairs = [[f"{key_path_text((key,))} = {literal(each)}" for key, each in table.items()] for _, table in parts]
    return "\n\n".join("\n".join([header, *lines]) for (header, _), lines in zip(parts, pairs, strict=True)).split("\n")


def _comment(name: str, setting: Declaration, in_presets: Mapping[str, Any], presets: int) -> list[str]:
    """Return meaning, allowed values and default of a setting as comment lines, with the presets' values.

    ``presets`` is the number of presets: a value that all of them share is said once.
    """
    allowed = allowed_values(SCHEMAS.get(name) or TypeAdapter(setting.type).json_schema())
    default = "none" if setting.default is None else literal(setting.default)
    sentences = [setting.meaning, f"{allowed[0].upper()}{allowed[1:]}. Default: {default}."]
    if in_presets:
        literals = {each: literal(value) for each, value in in_presets.items()}
        each_alike = len(literals) == presets and len({*literals.values()}) == 1
        named = {"all": literals[next(iter(literals))]} if each_alike else literals
        sentences.append(f"Presets: {', '.join(f'{each} {text}' for each, text in named.items())}.")
    return [
        f"# {line}"
        for sentence in sentences
        for line in textwrap.wrap(sentence, WIDTH, break_long_words=False, break_on_hyphens=False)
    ]


def allowed_values(schema: Mapping[str, Any]) -> str:
    """Describe in words what a JSON schema allows."""
    if "anyOf" in schema:
        return "; or ".join(allowed_values(each) for each in schema["anyOf"] if each.get("type") != "null")
    if "enum" in schema or "const" in schema:
        *others, last = map(literal, schema.get("enum", [schema.get("const")]))
        return f"{', '.join(others)} or {last}" if others else last
    if schema["type"] == "array":
        return f"a list, each {allowed_values(schema['items'])}"
    names = {"boolean": "true or false", "integer": "a whole number", "number": "a number", "object": "tables"}
    formats = {"path": "a path", "class": "a class by its path, my_package:MyNet"}
    text = names.get(schema["type"], formats.get(schema.get("format", ""), "text"))
    if "minimum" in schema and "maximum" in schema:
        return f"{text}, {schema['minimum']:g} to {schema['maximum']:g}"
    limits = {
        "exclusiveMinimum": "above {}",
        "minimum": "{} or more",
        "exclusiveMaximum": "below {}",
        "maximum": "{} or less",
    }
    return ", ".join([text, *(words.format(f"{schema[key]:g}") for key, words in limits.items() if key in schema)])
