"""Action of `posebench config show`: print the settings of a study with their origins."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bench.cli.output import print_json, print_table
from bench.cli.setting_flags import parse_set_options
from bench.kinds import DEFAULT_KIND, refuse_variables, study_kind
from bench.settings.layers import COMMAND_LINE, DEFAULT, Setting, kind_of_file
from bench.settings.shared_settings import store_settings
from bench.storage.masking import masked
from bench.study.settings import StudyRequest, preset_of, resolve


def show_settings(
    study: Path | None, preset: str | None, kind: str | None, typed: Sequence[str], *, as_json: bool
) -> None:
    """Print every setting; ``typed``: texts NAME=VALUE that count as given on the study's command line."""
    chosen = kind_of_file(study) if kind is None and study is not None else None
    if chosen is None:
        chosen = Setting(DEFAULT_KIND, DEFAULT) if kind is None else Setting(kind, COMMAND_LINE)
    chosen_kind = study_kind(chosen.value, f"--kind {chosen.value}")
    refuse_variables(os.environ)
    request = StudyRequest(parse_set_options(typed, chosen_kind.spec.declarations()), study, preset)
    preset_name = preset_of(chosen_kind.spec, request)
    settings = {
        **chosen_kind.resolve_on_machine(resolve(chosen_kind.spec, request, preset_name), preset_name),
        **store_settings(),
        "kind": chosen,
        "preset": Setting(preset_name, f"{DEFAULT} (for this machine)" if preset is None else COMMAND_LINE),
    }
    shown = {name: _public(setting.value) for name, setting in settings.items()}
    if as_json:
        print_json({name: {"value": shown[name], "origin": s.origin} for name, s in sorted(settings.items())})
    else:
        print_table(
            ("setting", "value", "origin"), [[n, str(shown[n]), s.origin] for n, s in sorted(settings.items())]
        )  # fmt: skip


def _public(value: Any) -> Any:
    """Return a setting's value without the passwords of addresses in it, as plain data."""
    if isinstance(value, Mapping):
        return {name: _public(each) for name, each in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(map(_public, value))
    return masked(value) if isinstance(value, (str, Path)) else value
