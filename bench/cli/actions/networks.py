"""Action of `posebench networks`: run a networks study whose report goes to the folder of `--out`."""

import hashlib
import re
from pathlib import Path
from typing import Any

import torch

from bench.cli.actions.stores import REPORTS_FOLDER, StoreChecks, study_paths
from bench.cli.actions.study import run_study
from bench.cli.output import print_json, print_line
from bench.kinds import KIND_OF_VERB
from bench.ledger.reader import read_identities
from posemodel.errors import SettingsError

KIND = KIND_OF_VERB["networks"]
NO_CUDA = "skipped: no CUDA device"
EARLIER_STATE = "runs.json"
"""State file of a comparison begun by an earlier version."""


def compare_networks(typed: dict[str, Any], out: Path, *, as_json: bool) -> None:
    """Run the study or go on with it; skipped without a CUDA device unless a device is named."""
    if typed["device"] is None and not torch.cuda.is_available():
        print_json({"skipped": NO_CUDA, "runs": []}) if as_json else print_line(NO_CUDA)
        return
    paths, name = study_paths(out), study_name(out)
    StoreChecks(paths).require(KIND)
    if (out / EARLIER_STATE).is_file():
        raise SettingsError(
            f"--out {out}: holds a comparison of an earlier version, which is kept. Give another folder."
        )
    if read_identities(paths.storage_url).get(name) is None and out.is_dir() and any(out.iterdir()):
        raise SettingsError(f"--out {out}: is not empty, and holds no comparison to go on with. Give another folder.")
    # Speeds are compared, so trials run one at a time unless the command line, not the environment, says otherwise.
    workers = typed["workers"] or ("auto" if typed["gpus"] or typed["trials_per_gpu"] else 1)
    settings = {**typed, "device": typed["device"] or "cuda", "workers": workers, "name": name}
    try:
        run_study(KIND, settings, preset="full", own_report=out, as_json=as_json)
    except SettingsError as error:
        raise SettingsError(str(error).replace("--name", "--out")) from error


def study_name(out: Path) -> str:
    """Return the study name for a report folder: its own name in `reports/`, elsewhere with a digest of its path."""
    folder = out.resolve()
    plain = re.sub(r"[^A-Za-z0-9._-]+|^[^A-Za-z0-9]+", "-", folder.name).strip("-") or KIND
    if folder.parent == REPORTS_FOLDER.resolve() and plain == folder.name:
        return plain
    return f"{plain[:80]}-{hashlib.sha256(str(folder).encode()).hexdigest()[:8]}"
