"""`posebench config`: what a study's settings are, and why."""

from pathlib import Path
from typing import Annotated

import typer

from bench.cli.output import print_json, print_table

app = typer.Typer(help="Show settings.", no_args_is_help=True, rich_markup_mode=None)


@app.command()
def show(
    study: Annotated[Path | None, typer.Option("--study", metavar="FILE", help="A TOML study file.")] = None,
    preset: Annotated[
        str | None, typer.Option("--preset", help="smoke, small or full (default: full with a GPU, else small).")
    ] = None,
    kind: Annotated[str, typer.Option("--kind", help="optimizers or loaders.")] = "optimizers",
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
) -> None:
    """Print every setting of a study with its origin: environment, file, preset or default.

    Command-line options of `posebench study` come before all of these.
    """
    from bench import loader_settings
    from bench import settings as optimizer_settings
    from bench.prepare import default_preset
    from bench.setting_layers import nearest
    from bench.settings import places_settings
    from posemodel.errors import SettingsError

    kinds = {"optimizers": optimizer_settings.resolve, "loaders": loader_settings.resolve}
    if kind not in kinds:
        raise SettingsError(
            f"--kind {kind}: there is no such kind.{nearest(kind, kinds)} There are: {', '.join(kinds)}."
        )
    resolve = kinds[kind]
    settings = resolve(command_line={}, study_file=study, preset=preset or default_preset()) | places_settings()
    if as_json:
        plain = {name: str(s.value) if isinstance(s.value, Path) else s.value for name, s in settings.items()}
        print_json({name: {"value": plain[name], "origin": s.origin} for name, s in sorted(settings.items())})
    else:
        print_table(("setting", "value", "origin"), [[n, str(s.value), s.origin] for n, s in sorted(settings.items())])
