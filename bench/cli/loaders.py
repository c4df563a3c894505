"""`posebench study loaders`, and `posebench loader advise`, which is its short form."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bench.cli.data import make_default_data
from bench.cli.data_options import ExifOption, TrainAnnotations, TrainImages, ValAnnotations, ValImages
from bench.cli.output import log, log_opened, print_json, print_table
from bench.engines.interruption import INTERRUPTED

if TYPE_CHECKING:
    from bench.kinds.loaders.report.result import LoaderResult
    from bench.kinds.loaders.spec import LoaderSpec

app = typer.Typer(help="Loader settings for this machine.", no_args_is_help=True, rich_markup_mode=None)

REPORTS_FOLDER = Path("reports")
DONE_WITH_FAULTS = 3

Data = Annotated[
    Path | None,
    typer.Option("--data", metavar="DIR", help="A data set's folder (default: synthetic people, generated)."),
]
OwnDataset = Annotated[
    str | None,
    typer.Option("--dataset", metavar="MODULE:NAME", help="A map-style data set of your own, by dotted path."),
]
OwnStep = Annotated[
    str | None,
    typer.Option("--step", metavar="MODULE:NAME", help="With --dataset: a function that returns the step on a batch."),
]
OwnCollate = Annotated[
    str | None,
    typer.Option("--collate", metavar="MODULE:NAME", help="With --dataset: makes a batch of a list of samples."),
]
OwnWorkerInit = Annotated[
    str | None,
    typer.Option("--worker-init", metavar="MODULE:NAME", help="With --dataset: DataLoader's worker_init_fn."),
]
RandomSamples = Annotated[
    bool | None,
    typer.Option(
        "--random-samples/--no-random-samples",
        help="With --dataset: its samples are random by design; what configurations deliver is not compared.",
    ),
]
StepMs = Annotated[
    float | None, typer.Option("--step-ms", help="A step that only waits so long, as a GPU of that speed would.")
]
Network = Annotated[str | None, typer.Option("--network", help="rtpose_vgg, openpose_2019, lightweight or small.")]
Size = Annotated[int | None, typer.Option("--size", help="Input side in pixels.")]
Workers = Annotated[
    str | None, typer.Option("--num-workers", metavar="0,1,2,4", help="Default: up to the cores usable here.")
]
BatchSizes = Annotated[str | None, typer.Option("--batch-size", metavar="8,16,32")]
PinMemory = Annotated[str | None, typer.Option("--pin-memory", metavar="both|true|false")]
DeviceName = Annotated[str | None, typer.Option("--device", help="auto, cuda, mps or cpu.")]
AsJson = Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")]


def loaders(
    study: Annotated[
        Path | None, typer.Option("--study", metavar="FILE", help="A TOML study file, over the preset.")
    ] = None,
    data: Data = None,
    train_annotations: TrainAnnotations = None,
    train_images: TrainImages = None,
    val_annotations: ValAnnotations = None,
    val_images: ValImages = None,
    exif: ExifOption = None,
    dataset: OwnDataset = None,
    step: OwnStep = None,
    collate: OwnCollate = None,
    worker_init: OwnWorkerInit = None,
    random_samples: RandomSamples = None,
    step_ms: StepMs = None,
    network: Network = None,
    size: Size = None,
    preset: Annotated[
        str | None, typer.Option("--preset", help="smoke, small or full (default: full with a GPU, else small).")
    ] = None,
    num_workers: Workers = None,
    batch_size: BatchSizes = None,
    pin_memory: PinMemory = None,
    prefetch_factor: Annotated[
        str | None, typer.Option("--prefetch-factor", metavar="4,8", help="Around the best; `none` to leave out.")
    ] = None,
    persistent_workers: Annotated[
        str | None, typer.Option("--persistent-workers", metavar="true", help="Around the best.")
    ] = None,
    start_method: Annotated[
        str | None, typer.Option("--start-method", metavar="fork,spawn", help="Around the best.")
    ] = None,
    cv2_threads: Annotated[
        str | None, typer.Option("--cv2-threads", metavar="0,2", help="Of each worker; around the best.")
    ] = None,
    repeats: Annotated[int | None, typer.Option("--repeats", min=1, help="Fresh processes each, at most.")] = None,
    min_repeats: Annotated[int | None, typer.Option("--min-repeats", min=1, help="At least.")] = None,
    seconds: Annotated[float | None, typer.Option("--seconds", help="Of a measured loop, about.")] = None,
    largest_batch: Annotated[
        bool | None, typer.Option("--largest-batch/--no-largest-batch", help="Search the largest batch that fits.")
    ] = None,
    device: DeviceName = None,
    name: Annotated[str | None, typer.Option("--name", help="Default: kind-preset-data folder.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the plan and stop.")] = False,
    as_json: AsJson = False,
) -> None:
    """Measure loader settings on this machine: which to take, and why. Interrupted, the same command goes on."""
    command_line = {
        "data": data,
        "train_annotations": train_annotations,
        "train_images": train_images,
        "val_annotations": val_annotations,
        "val_images": val_images,
        "exif": exif,
        "dataset": dataset,
        "step": step,
        "collate": collate,
        "worker_init": worker_init,
        "random_samples": random_samples,
        "step_ms": step_ms,
        "network": network,
        "size": size,
        "num_workers": num_workers,
        "batch_size": batch_size,
        "pin_memory": pin_memory,
        "prefetch_factor": _around(prefetch_factor),
        "persistent_workers": _around(persistent_workers),
        "start_method": _around(start_method),
        "cv2_threads": _around(cv2_threads),
        "repeats": repeats,
        "min_repeats": _at_most(min_repeats, repeats),
        "seconds": seconds,
        "largest_batch": largest_batch,
        "device": device,
        "name": name,
    }
    _run(command_line, study, preset, dry_run=dry_run, as_json=as_json)


@app.command()
def advise(
    data: Data = None,
    train_annotations: TrainAnnotations = None,
    train_images: TrainImages = None,
    val_annotations: ValAnnotations = None,
    val_images: ValImages = None,
    exif: ExifOption = None,
    dataset: OwnDataset = None,
    step: OwnStep = None,
    collate: OwnCollate = None,
    worker_init: OwnWorkerInit = None,
    random_samples: RandomSamples = None,
    step_ms: StepMs = None,
    network: Network = None,
    size: Size = None,
    num_workers: Workers = None,
    batch_size: BatchSizes = None,
    pin_memory: PinMemory = None,
    device: DeviceName = None,
    as_json: AsJson = False,
) -> None:
    """Two minutes of measuring, and the DataLoader(...) line to paste; `posebench study loaders` is the whole study."""
    command_line = {
        "data": data,
        "train_annotations": train_annotations,
        "train_images": train_images,
        "val_annotations": val_annotations,
        "val_images": val_images,
        "exif": exif,
        "dataset": dataset,
        "step": step,
        "collate": collate,
        "worker_init": worker_init,
        "random_samples": random_samples,
        "step_ms": step_ms,
        "network": network,
        "size": size,
        "num_workers": num_workers,
        "batch_size": batch_size,
        "pin_memory": pin_memory,
        "device": device,
    }
    from bench.kinds.loaders.prepare import advice_preset

    _run(command_line, None, advice_preset(device), dry_run=False, as_json=as_json)


def _run(
    command_line: Mapping[str, Any], study: Path | None, preset: str | None, *, dry_run: bool, as_json: bool
) -> None:
    from bench.records.store_check import check_tracking
    from bench.settings.shared import places_settings

    tracking_uri = places_settings()["tracking_uri"].value
    if not dry_run:
        check_tracking(tracking_uri, write=True)
    from bench.kinds.loaders.prepare import prepare_loaders
    from bench.kinds.loaders.run import Told, run_loader_study

    if dry_run:
        _show_plan(prepare_loaders(command_line, study, preset, None, log_opened).spec, as_json)
        return
    spec = prepare_loaders(command_line, study, preset, make_default_data, log_opened).spec
    log(f"study {spec.name}: {size_text(spec)}")
    known = {"done": 0}

    def on_step(told: "Told") -> None:
        known["done"] = told.done
        log(f"[{told.done}] {told.text}")

    try:
        result, report = run_loader_study(
            spec,
            tracking_uri=tracking_uri,
            reports=REPORTS_FOLDER,
            on_step=on_step,
        )
    except KeyboardInterrupt:
        log(f"posebench: interrupted; {known['done']} measurements are recorded, the same command goes on.")
        raise SystemExit(INTERRUPTED) from None
    if as_json:
        print_json(result.document(report.as_posix()))
    else:
        show_loader_result(result, report)
    faults = ("failed", "out_of_memory", "bus_error", "timed_out")
    if result.nothing_found or result.different or any(result.trials()[fault] for fault in faults):
        raise typer.Exit(DONE_WITH_FAULTS)


def show_loader_result(result: "LoaderResult", report: Path) -> None:
    """Table, verdict, the line to paste and where the report is, on stdout."""
    from bench.kinds.loaders.report.page import COLUMNS, configuration_rows

    print_table(COLUMNS, configuration_rows(result), title=result.spec.name)
    print(result.verdict.text)
    if result.verdict.call:
        print(f"\n    {result.verdict.call}\n")
    print(f"Report: {report.as_posix()}")


def size_text(spec: "LoaderSpec") -> str:
    """A study in one line."""
    from bench.kinds.loaders.plan import grid
    from bench.kinds.loaders.prepare import pinning_possible

    combinations = len(grid(spec, pinning=pinning_possible(spec)))
    what = spec.dataset or f"{spec.network} at {spec.size} px"
    return (
        f"{combinations} combinations of num_workers {_values(spec.num_workers)}, batch_size "
        f"{_values(spec.batch_size)} and pin_memory, {spec.min_repeats} to {spec.repeats} repeats of about "
        f"{spec.seconds:g} s an arm, {what}, on {spec.device}"
    )


def _show_plan(spec: "LoaderSpec", as_json: bool) -> None:
    import pandas as pd

    from bench.kinds.loaders.plan import pending
    from bench.kinds.loaders.prepare import pinning_possible

    first = pending(spec, pd.DataFrame(), pinning=pinning_possible(spec))
    least_s = len(first) * spec.min_repeats * spec.seconds
    if as_json:
        print_json(
            {
                "study": spec.name,
                "kind": spec.kind,
                "preset": spec.preset,
                "status": "planned",
                "spec": spec.model_dump(mode="json"),
                "measurements_a_block": len(first),
                "blocks": [spec.min_repeats, spec.repeats],
                "plan": [{"id": p.id, "arm": p.arm, **p.configuration.model_dump(mode="json")} for p in first],
            }
        )
        return
    rows = [
        [p.arm, str(p.configuration.num_workers), str(p.configuration.batch_size), str(p.configuration.pin_memory)]
        for p in first
    ]
    print_table(("arm", "num_workers", "batch_size", "pin_memory"), rows, title=f"{spec.name}: the first block")
    print(f"{size_text(spec)}: at least {least_s / 60:.0f} minutes of loops, and as long again for starting. ", end="")
    print("Nothing was run.")


def _around(text: str | None) -> Any:
    """A list, or nothing to try where `none` is asked for."""
    return () if text is not None and text.strip().lower() == "none" else text


def _at_most(least: int | None, most: int | None) -> int | None:
    """Few repeats are asked for: no more than these at least."""
    return min(most, 3) if least is None and most is not None else least


def _values(values: tuple[int, ...]) -> str:
    return ", ".join(map(str, values))
