"""Empty pictures in the place of figures that are not the point: rendering takes longer than a study of a second."""

from typing import Any

import PIL.Image
from matplotlib.figure import Figure

SVG = '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 1 1"></svg>'


def empty_figure(_image: object) -> Figure:
    """In the place of `bench.report.findings_write.figure_of`: a figure of a few pixels, without panels or layout."""
    return Figure(figsize=(0.1, 0.1), layout="none")


def save_empty(_figure: object, file: Any, **options: Any) -> None:
    """In the place of `Figure.savefig`: write an empty SVG, or a PNG of one pixel."""
    if options.get("format") == "svg":
        file.write(SVG)
    else:
        PIL.Image.new("L", (1, 1)).save(file, format="png")
