"""A worker reduced to its ledger, for tests that race several: waits for the file GO, then does what it was told.

Usage: ledger_process.py {drain,enqueue,hold,die} URL SPEC_JSON READY GO
"""

import json
import os
import signal
import sys
import time
from pathlib import Path

from bench.ledger import Ledger, Told
from bench.plan import plan_tune
from bench.record import Status
from bench.spec import StudySpec


def main(mode: str, url: str, spec_file: str, ready: str, go: str) -> None:
    spec = StudySpec.model_validate_json(Path(spec_file).read_text())
    plan = plan_tune(spec) if mode == "enqueue" else []
    ledger = Ledger(url, spec.name, spec.identity())
    Path(ready).touch()
    while not Path(go).exists():
        time.sleep(0.005)
    taken = []
    if mode == "enqueue":
        ledger.enqueue(plan)
    elif mode == "drain":
        while (claim := ledger.claim()) is not None:
            taken.append(claim.spec.id)
            ledger.finish(claim.key, Status.COMPLETE, Told((0.5,)))
    else:
        claim = ledger.claim()
        print(claim.key, flush=True)
        if mode == "die":
            os.kill(os.getpid(), signal.SIGKILL)
        time.sleep(600)
    print(json.dumps(taken))


if __name__ == "__main__":
    main(*sys.argv[1:])
