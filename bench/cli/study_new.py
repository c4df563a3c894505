"""`posebench study new`: write a commented study file to begin with."""

from pathlib import Path
from typing import Annotated

import typer


def new(
    kind: Annotated[str, typer.Argument(metavar="KIND", help="optimizers, loaders or joint.")],
    file: Annotated[Path, typer.Argument(metavar="FILE", help="To be written; never overwritten.")],
    preset: Annotated[str, typer.Option("--preset", help="Whose values it has.")] = "full",
) -> None:
    """Write a study file with every setting, its meaning, allowed values and default; it runs as it is."""
    from bench.kinds.settings import kind_settings
    from bench.kinds.template import template
    from posemodel.errors import SettingsError

    kind_settings(kind, f"KIND {kind}")
    text = template(kind, file=file.as_posix(), preset=preset)
    try:
        with file.open("x", encoding="utf-8") as stream:
            stream.write(text)
    except FileExistsError as error:
        raise SettingsError(f"{file}: exists already, and is left as it is. Give another name.") from error
    except OSError as error:
        raise SettingsError(
            f"{file}: cannot be written ({error.strerror}). Give a name in a folder that exists and takes files."
        ) from error
    print(f"Wrote {file}: change what you like, then `posebench study {kind} --study {file}`.")
