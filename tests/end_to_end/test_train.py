"""`posebench train` as a person uses it: stopped by Ctrl-C, taken up again, scored."""

import json
import signal
import time

TRAIN = "train --data people --network small --size 64 --steps 80 --batch-size 2 --lr 1e-3 --device cpu --out run"


def test_a_training_stopped_by_ctrl_c_goes_on(pose_place):
    place = pose_place
    process = place.start(*TRAIN.split(), "--log-every", "1")
    metrics = place.folder / "run" / "metrics.jsonl"
    deadline = time.monotonic() + 600
    while not metrics.is_file() and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    process.wait(timeout=600)
    said = (place.folder / "output.txt").read_text()
    assert process.returncode == 130, said
    assert "--resume" in said
    done = max(json.loads(line)["step"] for line in metrics.read_text().splitlines())
    assert done < 80, "the run ended before it was interrupted"

    resumed = place.run(*TRAIN.split(), "--resume", "--json")
    assert resumed.returncode == 0, resumed.stderr
    assert json.loads(resumed.stdout)["steps"] == 80
    other = place.run(*TRAIN.replace("1e-3", "1e-2").split(), "--resume")
    assert other.returncode == 1
    assert "hyperparameters" in other.stderr
    assert "Traceback" not in other.stderr
