"""The smoke study runs to its end on real COCO images."""

import json
import time

from tests.support.place import PosePlace

SHARD = "real"
COVERS = (
    "bench/engines/*.py", "bench/kinds/*.py", "bench/kinds/optimizers/**/*.py", "bench/ledger/*.py",
    "bench/optimizers/*.py", "bench/records/*.py", "bench/report/**/*.py", "bench/settings/*.py",
    "bench/statistics/*.py", "bench/storage/*.py", "bench/study/*.py", "bench/trials/*.py", "bench/workloads/*.py",
    "posemodel/**/*.py", "studies/optimizers-smoke.toml",
)  # fmt: skip


def test_the_smoke_study_on_real_images_runs_to_its_end(coco_mini, tmp_path, figures):
    place = PosePlace(tmp_path / "here", used=False)
    began = time.monotonic()
    done = place.run("study", "optimizers", "--data", coco_mini, "--preset", "smoke", "--device", "cpu", "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["status"] == "complete"
    assert found["trials"]["recorded"] == found["trials"]["planned"]
    assert found["trials"]["complete"] + found["trials"]["diverged"] == found["trials"]["planned"]
    samples = json.loads((place.folder / found["report"]).with_name("samples.json").read_text())
    assert all((coco_mini / image["file"]).is_file() for image in samples["images"])
    figures["trials"] = found["trials"]["planned"]
    figures["seconds"] = round(time.monotonic() - began, 1)
    figures["highest mean AP"] = max(row["score_mean"] for row in found["optimizers"])
