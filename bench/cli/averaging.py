"""The options of commands that average maps at prediction: mirror images and sizes of the input."""

from typing import Annotated

import typer

from posemodel.errors import SettingsError

Flip = Annotated[bool, typer.Option("--flip", help="Average the maps with those of the mirror image.")]
Scales = Annotated[
    str | None,
    typer.Option("--scales", metavar="S,S,...", help="Average over input sizes relative to --size, e.g. 0.5,1,1.5."),
]


def parse_scales(text: str | None) -> tuple[float, ...]:
    """`0.5,1,1.5` -> numbers; SettingsError where it is no such list."""
    if text is None:
        return (1.0,)
    try:
        return tuple(float(each) for each in text.split(","))
    except ValueError as error:
        raise SettingsError(f"--scales {text}: must be numbers with commas between them, as in 0.5,1,1.5.") from error
