"""The saved views of a study's page: in the form that MLflow stores, small enough for it, with the study's own run."""

import json

import pytest

from bench.kinds import KINDS, study_kind
from bench.records.mlflow_views import STUDY_GROUP, outdated_views, page, saved_views, study_tags

LIMIT = 5000
"""Characters that MLflow keeps of an experiment's tag."""
NAMES = {
    "optimizers": {"confirm": "Confirm runs by optimizer", "tune": "Tune runs by optimizer"},
    "joint": {"confirm": "Picks on fresh seeds", "search": "Search trials by optimizer"},
    "networks": {"confirm": "Trainings by network"},
    "loaders": {"grid": "Speed by configuration", "around": "Around the best one"},
}
"""Of the views of each kind, by what they show."""


def states(kind):
    """The view's name, and its state, by what it shows."""
    found = {}
    for name, value in saved_views(study_kind(kind).views).items():
        assert name.startswith("mlflow.sharedViewState.posebench-")
        assert len(value) < LIMIT
        view = json.loads(value)
        found[name.removeprefix("mlflow.sharedViewState.posebench-")] = (view["name"], json.loads(view["state"]))
    return found


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_has_views(kind):
    assert {shows: name for shows, (name, _) in states(kind).items()} == NAMES[kind]


@pytest.mark.parametrize("kind", KINDS)
def test_each_view_shows_the_study_s_own_run_in_a_group_of_its_own(kind):
    """MLflow compares `LIKE` with the whole value, `%` being anything."""
    tags = study_tags(study_kind(kind).views)
    for shows, (_, state) in states(kind).items():
        tag, pattern = state["searchFilter"].removeprefix("tags.").split(" LIKE ")
        assert pattern == f"'%{shows}%'"
        assert shows in tags[tag]
        (key,) = state["groupBy"]["groupByKeys"]
        assert key["mode"] == "tag"
        assert tags[key["groupByData"]].startswith("(study")


def test_runs_of_optimizers_stand_in_their_groups_the_highest_ap_first():
    for kind in ("optimizers", "joint", "networks"):
        for _, state in states(kind).values():
            assert state["groupBy"]["groupByKeys"] == [{"mode": "tag", "groupByData": "optimizer"}]
            assert (state["orderByKey"], state["orderByAsc"]) == ("metrics.`final.ap`", False)
        assert study_tags(study_kind(kind).views)["optimizer"] == STUDY_GROUP


def test_the_configurations_of_a_loader_study_are_ordered_by_their_speed():
    for _, state in states("loaders").values():
        assert (state["orderByKey"], state["orderByAsc"]) == ("metrics.`images_per_s`", False)
        assert "images_per_s" in state["chartsSearchFilter"]


def test_what_earlier_versions_saved_is_known():
    confirm, _ = outdated_views(study_kind("optimizers").views).values()
    assert json.loads(json.loads(confirm)["state"])["searchFilter"] == "tags.phase = 'confirm'"


@pytest.mark.parametrize("kind", KINDS)
def test_a_page_opens_on_the_view_where_there_is_one(kind):
    plain = page("http://127.0.0.1:5000", "3")
    assert plain == "http://127.0.0.1:5000/#/experiments/3/runs?workflowType=machine_learning"
    first = next(iter(NAMES[kind]))
    for tag in saved_views(study_kind(kind).views):
        shows = tag.removeprefix("mlflow.sharedViewState.posebench-")
        opened = page("http://127.0.0.1:5000", "3", [tag])
        assert (f"viewStateShareKey=posebench-{shows}" in opened) == (shows == first)
