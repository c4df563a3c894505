"""`posebench networks`: what each network learns in equal time on this machine, in float32 and bfloat16."""

from pathlib import Path
from typing import Annotated

import typer

from bench.cli.data import make_default_data
from bench.cli.output import log, print_json, print_table

NO_CUDA = "skipped: no CUDA device"
NETWORKS = "rtpose_vgg,openpose_2019,lightweight"
IMAGES = 20_000
VAL_IMAGES = 500


def networks(
    data: Annotated[
        Path | None, typer.Option("--data", metavar="DIR", help="COCO layout (default: synthetic people, generated).")
    ] = None,
    images: Annotated[int, typer.Option("--images", min=10, help="Synthetic images without --data.")] = IMAGES,
    chosen: Annotated[str, typer.Option("--networks", metavar="A,B,...")] = NETWORKS,
    precisions: Annotated[str, typer.Option("--precisions", metavar="fp32,bf16")] = "fp32,bf16",
    size: Annotated[int | None, typer.Option("--size", help="Input side (default: each network's own).")] = None,
    batch_size: Annotated[int, typer.Option("--batch-size", min=1)] = 32,
    num_workers: Annotated[int, typer.Option("--num-workers", min=0)] = 8,
    seconds: Annotated[float, typer.Option("--seconds", min=1, help="Of training, for each run.")] = 120.0,
    evaluations: Annotated[int, typer.Option("--evaluations", min=1, help="AP evaluations of each run.")] = 6,
    val_images: Annotated[
        int, typer.Option("--val-images", min=1, help="Scored, at most, spread evenly over the val split.")
    ] = VAL_IMAGES,
    device: Annotated[
        str | None, typer.Option("--device", help="cuda (the default; skipped where there is none), mps or cpu.")
    ] = None,
    out: Annotated[Path, typer.Option("--out", metavar="DIR")] = Path("reports/networks"),
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
) -> None:
    """Train every network for equal time; AP, images/s, curves, drawn samples as a report. Interrupted, it goes on."""
    import torch

    if device is None and not torch.cuda.is_available():
        print_json({"skipped": NO_CUDA, "runs": []}) if as_json else print(NO_CUDA)
        return
    from typing import get_args

    from bench.kinds.networks.run import Question, compare_networks
    from posemodel.config import Precision
    from posemodel.device import choose_device
    from posemodel.errors import SettingsError
    from posemodel.network import input_geometry

    names, wanted = chosen.split(","), precisions.split(",")
    for name in names:
        input_geometry(name, size)
    for precision in wanted:
        if precision not in get_args(Precision):
            raise SettingsError(f"--precisions: there is no precision {precision!r}. There are: fp32, bf16.")
    folder = data
    if folder is None:
        folder = Path("data") / f"synthetic-{images}-seed0"
        make_default_data(folder, images, 0)
    question = Question(
        data=folder,
        networks=names,
        precisions=wanted,  # type: ignore[arg-type]
        size=size,
        batch_size=batch_size,
        num_workers=num_workers,
        seconds=seconds,
        evaluations=evaluations,
        val_images=val_images,
        device=choose_device(device or "cuda"),  # type: ignore[arg-type]
    )
    runs = compare_networks(question, out, log)
    if as_json:
        print_json({"report": (out / "report.md").as_posix(), "runs": [{**vars(run), "curve": None} for run in runs]})
        return
    cells = [
        [run.network, run.precision, str(run.steps), *(_cell(run.metrics.get(k)) for k in ("images_per_s", "ap"))]
        for run in runs
    ]
    print_table(("network", "precision", "steps", "images/s", "AP"), cells)
    print(f"Report: {(out / 'report.md').as_posix()}")


def _cell(value: float | None) -> str:
    return "-" if value is None else f"{value:.3g}"
