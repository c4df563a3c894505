"""Prints the settings of a study with their origins."""

import os
from collections.abc import Sequence
from pathlib import Path

from bench.cli.output import print_json, print_table
from bench.cli.setting_flags import parse_set_options
from bench.kinds import DEFAULT_KIND, refuse_variables, study_kind
from bench.settings.layers import COMMAND_LINE, DEFAULT, Setting, kind_of_file
from bench.settings.shared import store_settings
from bench.storage.masking import masked
from bench.study.settings import Given, preset_of, resolve


def show_settings(
    study: Path | None, preset: str | None, kind: str | None, typed: Sequence[str], *, as_json: bool
) -> None:
    """Print every setting; ``typed``: NAME=VALUE, as if typed on the study's command line."""
    chosen = kind_of_file(study) if kind is None and study is not None else None
    if chosen is None:
        chosen = Setting(DEFAULT_KIND, DEFAULT) if kind is None else Setting(kind, COMMAND_LINE)
    its = study_kind(chosen.value, f"--kind {chosen.value}")
    refuse_variables(os.environ)
    asked = Given(parse_set_options(typed, its.spec.declarations()), study, preset)
    used = preset_of(its.spec, asked)
    settings = {
        **its.on_this_machine(resolve(its.spec, asked, used), used),
        **{name: Setting(masked(place.value), place.origin) for name, place in store_settings().items()},
        "kind": chosen,
        "preset": Setting(used, f"{DEFAULT} (for this machine)" if preset is None else COMMAND_LINE),
    }
    if as_json:
        plain = {name: str(s.value) if isinstance(s.value, Path) else s.value for name, s in settings.items()}
        print_json({name: {"value": plain[name], "origin": s.origin} for name, s in sorted(settings.items())})
    else:
        print_table(("setting", "value", "origin"), [[n, str(s.value), s.origin] for n, s in sorted(settings.items())])
