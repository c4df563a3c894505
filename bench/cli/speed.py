"""`posebench speed`: benchmarks of posebench's parts, each against a yardstick measured in the same run."""

from pathlib import Path
from types import ModuleType
from typing import Annotated

import typer

app = typer.Typer(help="Measure the speed of posebench's parts against yardsticks.", no_args_is_help=True)

Data = Annotated[
    Path | None,
    typer.Option("--data", metavar="DIR", help="Data set folder in COCO's layout (default: synthetic images)."),
]
Device = Annotated[str, typer.Option("--device", help="Device: auto (a GPU if there is one), cuda, mps or cpu.")]
Repeats = Annotated[
    int | None, typer.Option("--repeats", min=3, help="Number of times that each comparison is measured.")
]
Parts = Annotated[
    int | None,
    typer.Option("--parts", min=1, help="Also measure a generated skeleton with this many parts, such as 133."),
]
Network = Annotated[
    str | None,
    typer.Option(
        "--network",
        metavar="NAME",
        help="Network to train, a name or a class by its path, my_package:MyNet (default: small at 160 px, and on a "
        "GPU rtpose_vgg at 368 px too).",
    ),
]
Optimizers = Annotated[
    list[str] | None,
    typer.Option(
        "--optimizer",
        metavar="NAME",
        help="Optimizer to time, a name or a class by its path, my_package:Lion; once for each (default: the "
        "optimizers of posebench).",
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print the result as one JSON document on stdout.")]
Report = Annotated[
    Path | None, typer.Option("--report", metavar="DIR", help="Folder to write report.md and speed.json to.")
]


@app.command()
def sample(data: Data = None, parts: Parts = None, repeats: Repeats = None, as_json: AsJson = False) -> None:
    """Time making a training sample against reading its image.

    Also times the parts of a sample, and making its targets in the loader or on the device.
    """
    _measure("sample", as_json, data=data, parts=parts, repeats=repeats)


@app.command()
def decode(data: Data = None, parts: Parts = None, repeats: Repeats = None, as_json: AsJson = False) -> None:
    """Time decoding maps into people against reading the image.

    Also shows how decoding time grows with the number of people.
    """
    _measure("decode", as_json, data=data, parts=parts, repeats=repeats)


@app.command()
def train(device: Device = "auto", network: Network = None, repeats: Repeats = None, as_json: AsJson = False) -> None:
    """Time the training loop against a bare PyTorch loop.

    The bare loop is forward, backward and step alone. On a CUDA device, its utilisation is measured too.
    """
    _measure("train", as_json, device=device, network=network, repeats=repeats)


@app.command()
def optimizers(
    device: Device = "auto", optimizer: Optimizers = None, repeats: Repeats = None, as_json: AsJson = False
) -> None:
    """Time a step of each optimizer against the adabound package.

    The step updates the parameters of rtpose_vgg. Gradients that the step evaluates itself are not in its time.
    """
    _measure("optimizers", as_json, device=device, optimizers=tuple(optimizer) if optimizer else None, repeats=repeats)


@app.command("eval")
def evaluate(repeats: Repeats = None, as_json: AsJson = False) -> None:
    """Time the scoring of 5,000 images against pycocotools alone."""
    _measure("eval", as_json, repeats=repeats)


@app.command()
def index(parts: Parts = None, repeats: Repeats = None, as_json: AsJson = False) -> None:
    """Time opening annotations of COCO's size against json.load.

    Measures the first opening, later ones from the cache, and memory.
    """
    _measure("index", as_json, parts=parts, repeats=repeats)


@app.command()
def startup(repeats: Repeats = None, as_json: AsJson = False) -> None:
    """Time `posebench --help` against a bare Python interpreter."""
    _measure("startup", as_json, repeats=repeats)


@app.command()
def ledger(
    trials: Annotated[int, typer.Option("--trials", min=1, help="Number of waiting trials.")] = 10_000,
    clients: Annotated[
        int, typer.Option("--clients", min=1, help="Number of processes that claim trials at once.")
    ] = 16,
    storage: Annotated[
        str | None,
        typer.Option(
            "--storage",
            metavar="URL",
            help="Database to measure, as POSEBENCH_STORAGE names it; a study is made in it and deleted again "
            "(default: a temporary SQLite file).",
        ),
    ] = None,
    repeats: Repeats = None,
    as_json: AsJson = False,
) -> None:
    """Time claims of waiting trials against bare transactions.

    Many processes claim trials at once from the ledger of a study with thousands of them. `speed all` leaves it out.
    """
    _actions().measure_ledger(storage, trials=trials, clients=clients, repeats=repeats, as_json=as_json)


@app.command("all")
def everything(
    data: Data = None, device: Device = "auto", repeats: Repeats = None, as_json: AsJson = False, report: Report = None
) -> None:
    """Run all of these benchmarks but `ledger`, one after the other."""
    _measure("all", as_json, data=data, device=device, repeats=repeats, report=report)


def _measure(
    name: str,
    as_json: bool,
    *,
    data: Path | None = None,
    device: str = "auto",
    parts: int | None = None,
    network: str | None = None,
    optimizers: tuple[str, ...] | None = None,
    repeats: int | None = None,
    report: Path | None = None,
) -> None:
    _actions().measure_speed(
        name,
        data=data,
        device=device,
        parts=parts,
        network=network,
        optimizers=optimizers,
        repeats=repeats,
        as_json=as_json,
        report=report,
    )


def _actions() -> ModuleType:
    from bench.cli.actions import speed  # PyTorch, OpenCV: seconds that --help must not take

    return speed
