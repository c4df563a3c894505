"""The saved views of a study's page: in the form that MLflow stores, and small enough for it."""

import json

from bench.kinds import study_kind
from bench.records.mlflow_views import page, saved_views

LIMIT = 5000
"""Characters that MLflow keeps of an experiment's tag."""
EXPECTED = {"Confirm runs by optimizer": "tags.phase = 'confirm'", "Tune runs by optimizer": "tags.phase = 'tune'"}


def test_an_optimizers_study_has_views_grouped_by_optimizer():
    found = {}
    for name, value in saved_views(study_kind("optimizers").views).items():
        assert name.startswith("mlflow.sharedViewState.")
        assert len(value) < LIMIT
        view = json.loads(value)
        state = json.loads(view["state"])
        assert state["groupBy"]["groupByKeys"] == [{"mode": "tag", "groupByData": "optimizer"}]
        found[view["name"]] = state["searchFilter"]
    assert found == EXPECTED


def test_a_joint_study_has_views_of_its_search_and_of_its_picks():
    views = [json.loads(value) for value in saved_views(study_kind("joint").views).values()]
    filters = {view["name"]: json.loads(view["state"])["searchFilter"] for view in views}
    assert filters == {
        "Picks on fresh seeds": "tags.phase = 'confirm'",
        "Search trials by optimizer": "tags.phase = 'search'",
    }


def test_other_studies_have_none():
    assert saved_views(study_kind("loaders").views) == {}


def test_a_page_opens_on_the_view_where_there_is_one():
    plain = page("http://127.0.0.1:5000", "3")
    assert plain == "http://127.0.0.1:5000/#/experiments/3/runs?workflowType=machine_learning"
    for tag in saved_views(study_kind("optimizers").views):
        key = tag.removeprefix("mlflow.sharedViewState.")
        opened = page("http://127.0.0.1:5000", "3", [tag])
        assert (f"viewStateShareKey={key}" in opened) == (key == "posebench-confirm")
