"""Which nodes of a cluster a study uses, and what is heard of its places: made-up nodes and promises, without Ray."""

from types import SimpleNamespace

import pytest

from bench.engines.cluster import messages
from bench.engines.cluster.deaths import Deaths
from bench.engines.cluster.settings import EXTRA, Cluster
from posemodel.errors import SettingsError
from tests.support.ray_nodes import MISSING

nodes = pytest.importorskip("bench.engines.cluster.nodes", reason=MISSING)
listening = pytest.importorskip("bench.engines.cluster.listening", reason=MISSING)
HERE = {"python": "3.11", "torch": "2.9"}
SELECTED = "ray.io/node-id"


class MadeUp:
    """A cluster of two nodes `a` and `b`."""

    def __init__(self):
        self.all = {"a": {"CPU": 4.0, "memory": 8e9}, "b": {"CPU": 4.0, "memory": 4e9}}
        self.more, self.leaving, self.asked = [], frozenset(), 0

    def resources(self, without=()):
        return [each for node, each in self.all.items() if node not in without]

    def addable(self):
        return self.more

    def scales(self):
        return bool(self.more)

    def draining(self):
        return self.leaving

    def check_head(self):
        self.asked += 1

    def host(self, node):
        return f"host-{node}"

    def text(self):
        return f"{len(self.all)} nodes"


@pytest.fixture
def now(monkeypatch):
    """The seconds that have passed, to be set."""
    moment = [100.0]
    monkeypatch.setattr(nodes, "time", SimpleNamespace(monotonic=lambda: moment[0]))
    monkeypatch.setattr(nodes, "versions", lambda: HERE)
    return moment


@pytest.fixture
def connected():
    return MadeUp()


@pytest.fixture
def study(now, connected):
    return nodes.StudyNodes(connected, Cluster(cores=2))


def test_a_node_is_looked_at_every_two_seconds(study, connected, now):
    study.look()
    connected.leaving = frozenset("b")
    now[0] += 1.5
    study.look()
    assert (connected.asked, study.is_usable("b")) == (1, True)
    now[0] += 0.5
    study.look()
    assert (connected.asked, study.is_usable("b"), study.is_usable("a")) == (2, False, True)


def test_from_the_next_look_on_places_ask_for_the_most_memory_that_a_trial_took(study, connected, now):
    needs = {"num_cpus": 2, "num_gpus": 0.0}
    study.look()
    for peak in (3 * 10**9, 10**9):
        study.note_memory(peak)
    assert study.needs == needs
    now[0] += 2
    study.look()
    assert study.needs == needs | {"memory": 3 * 10**9}
    study.note_memory(7 * 10**9)
    study.leave_out("a", "it is slow")
    now[0] += 2
    study.look()
    assert study.needs == needs | {"memory": 4 * 10**9}, "no more than a node has that is used"


def test_a_node_that_is_left_out_is_named_once_and_not_selected(study, connected, capsys):
    connected.all["c"] = {"CPU": 2.0}
    assert study.selector == {}
    assert study.leave_out("b", "it is slow") and study.leave_out("b", "it is slow") and study.leave_out("a", "why not")
    assert study.selector == {SELECTED: "!in(a,b)"}
    assert [study.is_usable(each) for each in "abc"] == [False, False, True]
    assert capsys.readouterr().err == (
        "posebench: node host-b is left out: it is slow.\nposebench: node host-a is left out: why not.\n"
    )


def test_the_last_node_with_room_stays_unless_others_can_come(study, connected):
    connected.all["b"] = {"CPU": 1.0}
    assert not study.leave_out("a", "it is slow")
    assert study.is_usable("a")
    connected.more = [{"CPU": 1.0}]
    assert study.leave_out("a", "it is slow"), "whoever adds nodes may add larger ones"
    assert not study.is_usable("a")


def test_a_node_with_other_versions_is_left_out(study, connected, capsys):
    assert study.has_my_versions("a", {**HERE, "more": "1"})
    assert not study.has_my_versions("b", {"python": "3.12", "torch": "2.9"})
    why = f"it has other versions (python 3.12, here 3.11). Install the same on each node: {EXTRA}"
    assert capsys.readouterr().err == f"posebench: node host-b is left out: {why}.\n"
    with pytest.raises(SettingsError) as refused:
        study.has_my_versions("a", {"python": "3.10", "torch": "2.8"})
    assert str(refused.value) == (
        "engine: node host-a: it has other versions (python 3.10, here 3.11; torch 2.8, here 2.9). Install the same on "
        f"each node: {EXTRA}."
    )


WANTED = {"placed": False, "wanted": True}
BUSY = "posebench: waiting for a place in the Ray cluster: its nodes are busy\n"


def test_a_place_is_waited_for_while_nodes_are_busy_and_this_is_said_once(study, now, capsys):
    for seconds, said in ((0, ""), (11.5, ""), (0.5, BUSY), (50, "")):
        now[0] += seconds
        study.refuse_unplaceable(**WANTED)
        assert capsys.readouterr().err == said
    for over in ({"placed": True, "wanted": True}, {"placed": False, "wanted": False}):
        study.refuse_unplaceable(**over)
        for seconds, said in ((0, ""), (11.5, ""), (0.5, BUSY)):
            now[0] += seconds
            study.refuse_unplaceable(**WANTED)
            assert capsys.readouterr().err == said


WHY = "The study trains on cpu; a trial needs 2 cores, but no node has that much. The Ray cluster has 1 nodes."


def shrunk(connected):
    """Only a node is left that is too small."""
    connected.all = {"small": {"CPU": 1.0}}


def test_a_study_that_fits_nowhere_ends(study, connected, now):
    shrunk(connected)
    study.refuse_unplaceable(**WANTED)
    now[0] += 12
    with pytest.raises(SettingsError) as refused:
        study.refuse_unplaceable(**WANTED)
    assert str(refused.value) == f"engine: nothing can be placed. {WHY}"


@pytest.mark.parametrize(
    ("more", "hope"), [([], "Nodes that join are used"), ([{"CPU": 1.0}], "Its autoscaler may add nodes")]
)
def test_nodes_that_were_there_or_may_be_added_are_waited_for(study, connected, now, capsys, more, hope):
    if not more:
        study.refuse_unplaceable(placed=True, wanted=True)
    shrunk(connected)
    connected.more = more
    study.refuse_unplaceable(**WANTED)
    now[0] += 12
    study.refuse_unplaceable(**WANTED)
    assert capsys.readouterr().err == f"posebench: waiting for a place in the Ray cluster: {WHY} {hope}\n"


def test_a_node_whose_places_die_before_they_run_a_trial_is_bad_at_the_third():
    deaths = Deaths()
    assert [deaths.is_bad_for_places(node) for node in ("a", "a", "b", "a")] == [False, False, False, True]


# --- what is heard --------------------------------------------------------------------------------------------------


class Stream:
    """A promise of several messages."""

    def __init__(self, *said):
        self.said = list(said)

    def __next__(self):
        if not self.said:
            raise StopIteration
        return self.said.pop(0)


@pytest.fixture
def listener(monkeypatch):
    """A listener that listens when it is told to; what is promised is ready at once, but for `"later"`."""

    def wait(promises, num_returns, timeout):
        return [each for each in promises if each != "later"][:num_returns], []

    def get(promise):
        if isinstance(promise, Exception):
            raise promise
        return promise

    monkeypatch.setattr(listening.ray, "wait", wait)
    monkeypatch.setattr(listening.ray, "get", get)
    monkeypatch.setattr(listening.ray, "ObjectRefGenerator", Stream)
    monkeypatch.setattr(listening, "LISTEN_S", 0.0)
    monkeypatch.setattr(listening.threading, "Thread", lambda **_how: SimpleNamespace(start=int, join=int))
    return listening.Listener()


STEPS = [(messages.STEP, step, 1.0) for step in range(4)]
READY, END = (messages.READY,), (messages.OUTCOME, b"", 0)


def test_all_that_is_ready_is_heard_at_once_and_told_first_to_who_keeps_it(listener):
    kept = []
    listener.on_answer = lambda place, answer: kept.append((place, answer, listener.answers(0)))
    for place, promise in (("a", READY), ("b", "later"), ("c", (*READY, 1))):
        listener.expect(promise, place)
    listener._listen()
    heard = [("a", READY), ("c", (*READY, 1))]
    assert [each[:2] for each in kept] == heard
    assert [*kept[1][2], *listener.answers(0)] == heard, "what is read then is what came before"
    assert list(listener._expected.values()) == ["b"]


def test_a_stream_is_heard_until_its_last_message(listener):
    listener.expect(Stream(*STEPS[:2], END, STEPS[2]), "a")
    for _ in range(4):
        listener._listen()
    assert listener.answers(0) == [("a", each) for each in (*STEPS[:2], END)]
    assert listener._expected == {}


def test_a_place_that_ends_is_heard_as_its_error_and_no_more(listener):
    lost = listening.ray.exceptions.RayError("gone")
    listener.expect(Stream(STEPS[0], lost, STEPS[1]), "a")
    listener.expect(Stream(), "b")
    for _ in range(3):
        listener._listen()
    (_, step), (b, ended), (a, error) = listener.answers(0)
    assert (step, b, a, error) == (STEPS[0], "b", "a", lost)
    assert isinstance(ended, StopIteration)
    assert listener._expected == {}


def test_nothing_is_heard_of_a_place_that_is_forgotten(listener):
    for place in ("a", "b"):
        listener.expect(Stream(*STEPS), place)
    listener.forget("a")
    listener._listen()
    assert listener.answers(0) == [("b", STEPS[0])]


def test_steps_that_nobody_reads_are_not_kept_and_all_else_is(listener, monkeypatch):
    monkeypatch.setattr(listening, "MOST_STEPS", 1)
    score = (messages.SCORE, 0.5)
    listener.expect(Stream(*STEPS, score, STEPS[0], END), "a")
    for _ in range(7):
        listener._listen()
    assert listener.answers(0) == [("a", each) for each in (*STEPS[:2], score, END)]


def test_what_ends_the_thread_is_raised_where_answers_are_asked_for(listener):
    listener.expect(ValueError("broken"), "a")
    listener._run()
    with pytest.raises(ValueError, match="broken"):
        listener.answers(0)


def test_a_step_that_is_not_kept_hides_nothing_of_other_places(listener, monkeypatch):
    monkeypatch.setattr(listening, "MOST_STEPS", -1)
    score = (messages.SCORE, 0.5)
    listener.expect(Stream(*STEPS), "a")
    listener.expect(Stream(score), "b")
    listener._listen()
    assert listener.answers(0) == [("b", score)]


def test_nothing_is_heard_once_it_is_closed(listener):
    listener.expect(Stream(*STEPS), "a")
    listener.close()
    assert listener._closed.is_set()
    listener._run()
    assert listener.answers(0) == []
