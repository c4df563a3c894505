"""`posebench speed`: how fast this is, each thing beside a yardstick that was measured in the same run."""

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(
    help="Measure the speed of samples, decoding, training, scoring ... against yardsticks.", no_args_is_help=True
)

Data = Annotated[
    Path | None, typer.Option("--data", metavar="DIR", help="A data set in COCO's layout (default: synthetic images).")
]
Device = Annotated[str, typer.Option("--device", help="auto, cuda, mps or cpu.")]
Repeats = Annotated[int | None, typer.Option("--repeats", min=3, help="Turns of each comparison.")]
AsJson = Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")]
Report = Annotated[
    Path | None, typer.Option("--report", metavar="DIR", help="Write report.md and speed.json there as well.")
]


@app.command()
def sample(data: Data = None, repeats: Repeats = None, as_json: AsJson = False) -> None:
    """A training sample against reading its image; its parts; targets made by the loader or by the device."""
    _measure("sample", as_json, data=data, repeats=repeats)


@app.command()
def decode(data: Data = None, repeats: Repeats = None, as_json: AsJson = False) -> None:
    """From maps to people against reading the image, and how it grows with the number of people."""
    _measure("decode", as_json, data=data, repeats=repeats)


@app.command()
def train(device: Device = "auto", repeats: Repeats = None, as_json: AsJson = False) -> None:
    """The training loop against bare forward, backward and step; on a CUDA device its use of it."""
    _measure("train", as_json, device=device, repeats=repeats)


@app.command()
def optimizers(device: Device = "auto", repeats: Repeats = None, as_json: AsJson = False) -> None:
    """A step of each optimizer on the parameters of rtpose_vgg against the adabound package's."""
    _measure("optimizers", as_json, device=device, repeats=repeats)


@app.command("eval")
def evaluate(repeats: Repeats = None, as_json: AsJson = False) -> None:
    """From people found in 5,000 images to AP against pycocotools alone."""
    _measure("eval", as_json, repeats=repeats)


@app.command()
def index(repeats: Repeats = None, as_json: AsJson = False) -> None:
    """Opening annotations of COCO's size against json.load, first and from the cache; memory."""
    _measure("index", as_json, repeats=repeats)


@app.command()
def startup(repeats: Repeats = None, as_json: AsJson = False) -> None:
    """`posebench --help` against a bare interpreter."""
    _measure("startup", as_json, repeats=repeats)


@app.command("all")
def everything(
    data: Data = None, device: Device = "auto", repeats: Repeats = None, as_json: AsJson = False, report: Report = None
) -> None:
    """All of these, one after the other."""
    _measure("all", as_json, data=data, device=device, repeats=repeats, report=report)


def _measure(
    name: str,
    as_json: bool,
    *,
    data: Path | None = None,
    device: str = "auto",
    repeats: int | None = None,
    report: Path | None = None,
) -> None:
    from bench.cli.actions.speed import measured  # PyTorch, OpenCV: seconds that --help must not take

    measured(name, data=data, device=device, repeats=repeats, as_json=as_json, report=report)
