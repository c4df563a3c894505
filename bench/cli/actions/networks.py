"""`posebench networks`: a networks study whose report goes into a folder that is named."""

from pathlib import Path
from typing import Any

import torch

from bench.cli.actions.study import run_study
from bench.cli.output import print_json
from bench.kinds import KIND_OF_VERB
from bench.report.files import RESULT
from posemodel.errors import SettingsError

NO_CUDA = "skipped: no CUDA device"
EARLIER = "runs.json"
"""The state of a comparison that an earlier version began."""


def compare_networks(typed: dict[str, Any], out: Path, *, as_json: bool) -> None:
    """Train each network, or go on with it; skipped where there is no CUDA device and no other is named."""
    if typed["device"] is None and not torch.cuda.is_available():
        print_json({"skipped": NO_CUDA, "runs": []}) if as_json else print(NO_CUDA)
        return
    if (out / EARLIER).is_file():
        raise SettingsError(f"--out {out}: holds a comparison of an earlier version, which stays. Give another folder.")
    if out.is_dir() and any(out.iterdir()) and not (out / RESULT).is_file():
        raise SettingsError(f"--out {out}: is not empty, and holds no comparison to go on with. Give another.")
    asked = {**typed, "device": typed["device"] or "cuda", "name": out.name}
    run_study(KIND_OF_VERB["networks"], asked, preset="full", reports=out.parent, as_json=as_json)
