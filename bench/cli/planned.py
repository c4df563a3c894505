"""The verbs of planned kinds: what they have in common, and the verb of a kind that has no flags of its own."""

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bench.cli.data import make_default_data
from bench.cli.given import given_by_name
from bench.cli.output import log, log_study_data, print_json, print_table
from bench.cli.study import DONE_WITH_FAULTS, check_places, study_places
from bench.engines.interruption import INTERRUPTED

if TYPE_CHECKING:
    from bench.study.kind import PlannedResult


def run_kind(
    name: str,
    command_line: Mapping[str, Any],
    study: Path | None,
    preset: str | None,
    *,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Run a study of a planned kind before the eyes of whoever waits, and show what it found."""
    began = time.time()
    if not dry_run:
        check_places()
    from bench.cli.live import shown
    from bench.kinds import planned_kind
    from bench.study.progress import PlanSize, Progress

    kind, places = planned_kind(name), study_places()
    prepared = kind.prepare(command_line, study, preset, None if dry_run else make_default_data, log_study_data)
    spec = prepared.spec
    if dry_run:
        _show_plan(kind.phases[0](spec, _no_records()), prepared, as_json=as_json)
        return
    log(f"study {spec.name}: {spec.size_text()}")
    size = PlanSize.of(spec.identity(), {})
    with shown(Progress(size, active=True, workers=prepared.workers, ended_whole=False)) as display:
        try:
            result, report = kind.run(prepared, places, on_event=display.on_event, began=began)
        except KeyboardInterrupt:
            done = len(display.progress.done)
            display.say(f"posebench: interrupted; {done} trials are recorded, the same command goes on.")
            raise SystemExit(INTERRUPTED) from None
    show(result, report, as_json=as_json)
    if result.faults or result.nothing_found:
        raise typer.Exit(DONE_WITH_FAULTS)


def show(result: "PlannedResult", report: Path, *, as_json: bool) -> None:
    """The main table, the answer and the lines to paste; or the JSON document."""
    if as_json:
        print_json(result.document(report.as_posix()))
        return
    table = result.findings.main_table()
    if table is not None:
        print_table(table.columns, table.rows, title=result.info.name)
    print(result.findings.answer)
    print(f"Report: {report.as_posix()}")


def _no_records() -> Any:
    import pandas as pd

    return pd.DataFrame()


def _show_plan(plan: Any, prepared: Any, *, as_json: bool) -> None:
    """What would be run, as far as it is decided before it runs."""
    spec = prepared.spec
    if as_json:
        print_json(
            {
                "study": spec.name,
                "kind": spec.kind,
                "preset": spec.preset,
                "status": "planned",
                "spec": spec.model_dump(mode="json"),
                "labelled_images": dict(prepared.labelled_images) or None,
                "workers": prepared.workers,
                "plan": [each.model_dump(mode="json") for each in plan],
            }
        )
        return
    rows = [[str(each.index), each.phase, _planned_text(each)] for each in plan]
    print_table(("trial", "phase", "what is tried"), rows, title=spec.name)
    print(f"{spec.size_text()}. Nothing was run.")


def _planned_text(planned: Any) -> str:
    """A trial of the plan; of a place in a search, what is given beforehand."""
    from bench.trials.spec import Slot

    if isinstance(planned, Slot):
        given = ", ".join(f"{name} {value}" for name, value in planned.fixed.items())
        return given or "chosen when a worker takes it"
    return f"{planned.optimizer} {planned.hyperparameters}, seed {planned.seed}"


def command(name: str) -> Callable[..., None]:
    """The verb of a kind: settings are given by their names."""

    def run(
        study: Annotated[
            Path | None, typer.Option("--study", metavar="FILE", help="A TOML study file, over the preset.")
        ] = None,
        data: Annotated[Path | None, typer.Option("--data", metavar="DIR", help="COCO layout.")] = None,
        preset: Annotated[str | None, typer.Option("--preset", help="smoke, small or full.")] = None,
        given: Annotated[
            list[str] | None, typer.Option("--set", metavar="NAME=VALUE", help="Any setting of the kind; repeatable.")
        ] = None,
        name_: Annotated[str | None, typer.Option("--name", help="Default: kind-preset-data folder.")] = None,
        device: Annotated[str | None, typer.Option("--device", help="auto, cuda, mps or cpu.")] = None,
        workers: Annotated[int | None, typer.Option("--workers", min=1, help="Trials that run at once.")] = None,
        dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the plan and stop.")] = False,
        as_json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
    ) -> None:
        from bench.kinds import planned_kind
        from bench.study.settings import described_settings

        common = {"data": data, "name": name_, "device": device, "workers": workers}
        described = described_settings(planned_kind(name).study)  # type: ignore[arg-type]  # hashable: a class
        typed = given_by_name(given or (), described)
        run_kind(name, {**typed, **common}, study, preset, dry_run=dry_run, as_json=as_json)

    run.__doc__ = f"Run a study of kind {name}. Interrupted, the same command goes on."
    return run
