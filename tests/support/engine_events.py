"""Run a study and print its events: python -m tests.support.engine_events STUDY.toml DATA WORKERS|ADDRESS [DEVICE]

A number of workers runs it in processes of this machine (1: in this process), an address on the Ray cluster there.
DEVICE is what its trials are placed by, whatever they train on: `cuda` gives each a GPU of the cluster, which may only
be counted.
"""

import json
import sys
from dataclasses import asdict, replace
from pathlib import Path

from bench.cli.actions.stores import study_paths
from bench.engines.interruption import handle_signals
from bench.kinds import study_kind
from bench.study.idle_share import IdleShare
from bench.study.prepare import prepare
from bench.study.settings import StudyRequest


def main(study: str, data: str, where: str, device: str = "cpu") -> None:
    """Run the study; prints a JSON document for each event, and at the end one with the idle share."""
    kind = study_kind("optimizers")
    here = {"workers": int(where)} if where.isdigit() else {"engine": "ray", "ray_address": where}
    prepared = prepare(kind, StudyRequest({"data": Path(data), **here}, Path(study), "smoke"), None)

    cluster = None if prepared.cluster is None else replace(prepared.cluster, device=device)
    idle = IdleShare(prepared.workers)

    def tell(event):
        idle.on_event(event)
        print(json.dumps({"event": type(event).__name__, **asdict(event)}, default=str), flush=True)

    with handle_signals():
        kind.run(prepared.spec, study_paths(), workers=prepared.workers, cluster=cluster, on_event=tell)
    print(json.dumps({"event": "IdleShare", "share": idle.share}))


def command() -> None:
    """The same of the words of the command line, for `Place.run_program`."""
    sys.path.append(str(Path.cwd()))
    main(*sys.argv[1:])


def modules_of_ray() -> None:
    """Run `posebench` with the words of the command line; at the end its errors' last line names Ray's modules."""
    from bench.cli import app

    try:
        app.main()
    finally:
        print(sorted(name for name in sys.modules if name.partition(".")[0] == "ray"), file=sys.stderr)


if __name__ == "__main__":
    main(*sys.argv[1:])
