"""`posebench config`: what a study's settings are, and why."""

from pathlib import Path
from typing import Annotated

import typer

from bench.cli.given import given_by_name
from bench.cli.output import print_json, print_table

app = typer.Typer(help="Show settings.", no_args_is_help=True, rich_markup_mode=None)


@app.command()
def show(
    study: Annotated[Path | None, typer.Option("--study", metavar="FILE", help="A TOML study file.")] = None,
    preset: Annotated[
        str | None, typer.Option("--preset", help="smoke, small or full (default: full with a GPU, else small).")
    ] = None,
    kind: Annotated[
        str | None, typer.Option("--kind", help="optimizers, loaders or joint (default: the file's, else optimizers).")
    ] = None,
    typed: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="NAME=VALUE", help="As if typed on the study's command line; repeatable."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
) -> None:
    """Print every setting of a study with its origin: command line, environment, file and line, preset or default.

    `auto` is shown as what it means on this machine.
    """
    from bench.kinds.optimizers.settings import OPTIMIZERS
    from bench.kinds.settings import kind_settings
    from bench.settings.layers import COMMAND_LINE, DEFAULT, Setting, kind_of_file
    from bench.settings.shared import places_settings
    from bench.storage.masking import masked
    from bench.study.machine_settings import default_preset
    from bench.study.settings import default_preset_of
    from bench.workloads.of_study import TABLE, settle_workload

    chosen = kind_of_file(study) if kind is None and study is not None else None
    if chosen is None:
        chosen = Setting(OPTIMIZERS, DEFAULT) if kind is None else Setting(kind, COMMAND_LINE)
    its = kind_settings(chosen.value, f"--kind {chosen.value}")
    used = default_preset_of(chosen.value, default_preset()) if preset is None else preset
    command_line = given_by_name(typed or [], its.described())
    settings = its.resolve(command_line=command_line, study_file=study, preset=used)
    if TABLE in settings:
        _, _, settings = settle_workload(settings)
    settings |= {
        **its.on_this_machine(settings, used),
        **{name: Setting(masked(place.value), place.origin) for name, place in places_settings().items()},
        "kind": chosen,
        "preset": Setting(used, f"{DEFAULT} (for this machine)" if preset is None else COMMAND_LINE),
    }
    if as_json:
        plain = {name: str(s.value) if isinstance(s.value, Path) else s.value for name, s in settings.items()}
        print_json({name: {"value": plain[name], "origin": s.origin} for name, s in sorted(settings.items())})
    else:
        print_table(("setting", "value", "origin"), [[n, str(s.value), s.origin] for n, s in sorted(settings.items())])
