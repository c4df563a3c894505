"""`posebench compare` by its command: two studies of one store, and a report folder beside a name."""

import json


def test_two_schedules_side_by_side(finished_copy):
    place = finished_copy
    other = place.run(*place.study, "--schedule", "constant", "--name", "constant", "--json")
    assert other.returncode == 0, other.stderr
    process = place.run("compare", place.name, "constant", "--json", "--out", "side-by-side")
    assert process.returncode == 0, process.stderr
    found = json.loads(process.stdout)
    assert found["settings"] == ["schedule: 'cosine' -> 'constant'"]
    assert found["paired"] is False
    assert {row["name"] for row in found["optimizers"]} == {"sgd", "adam"}
    assert (place.folder / found["report"]).read_text().startswith("# Two studies side by side")
    by_folder = place.run("compare", f"reports/{place.name}", "constant", "--json")
    assert json.loads(by_folder.stdout)["optimizers"] == found["optimizers"]


def test_a_study_against_itself_shows_no_difference(finished_copy):
    process = finished_copy.run("compare", finished_copy.name, finished_copy.name)
    assert process.returncode == 0, process.stderr
    assert "AP does not differ beyond noise: " in process.stdout or "One tuning is too few" in process.stdout
    assert "AP is higher" not in process.stdout


def test_a_mistyped_study_is_refused(finished_copy):
    process = finished_copy.run("compare", finished_copy.name, "optimizers-smoke-peple")
    assert process.returncode == 2
    assert "there is no study 'optimizers-smoke-peple'" in process.stderr
    assert "Traceback" not in process.stderr
