"""Places in which commands run, and studies that have run to their end."""

import copy
import json
import shutil

import pytest

from tests.support.place import Place, PosePlace


@pytest.fixture
def place(tmp_path):
    """Where a study's trials descend a valley: everything but the network is real."""
    return Place(tmp_path / "here")


@pytest.fixture
def pose_place(tmp_path):
    """Where a pose network is trained on synthetic people."""
    return PosePlace(tmp_path / "here")


def _finished(place):
    return place, place.run(*place.study, "--json")


@pytest.fixture(scope="session")
def finished(tmp_path_factory):
    """A study that has run to its end: its place, and the process that ran it. Not to be written into."""
    return _finished(Place(tmp_path_factory.mktemp("finished") / "here"))


@pytest.fixture(scope="session")
def finished_pose(tmp_path_factory):
    """The same with a pose network, and with its figures rendered."""
    place = PosePlace(tmp_path_factory.mktemp("finished") / "here")
    place.drawn = True
    return _finished(place)


@pytest.fixture
def finished_copy(finished, tmp_path):
    """The place of the finished study, copied for a test of its own."""
    place = copy.copy(finished[0])
    place.folder = tmp_path / "here"
    shutil.copytree(finished[0].folder, place.folder)
    return place


@pytest.fixture
def document(finished_pose):
    """The one JSON document of the finished study of a pose network."""
    return json.loads(finished_pose[1].stdout)
