"""`posebench networks`: what each network learns in equal time on this machine, in float32 and bfloat16."""

from pathlib import Path
from typing import Annotated

import typer

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
    from bench.cli.actions.networks import compare_networks  # PyTorch takes seconds; the help does without

    typed = {
        "data": data,
        "synthetic_images": images,
        "networks": chosen,
        "precisions": precisions,
        "size": size,
        "batch_size": batch_size,
        "num_workers": num_workers,
        "seconds": seconds,
        "evaluations": evaluations,
        "scored_images": val_images,
        "device": device,
    }
    compare_networks(typed, out, as_json=as_json)
