"""Costs and data of workloads where all that passes is known: a training that takes seconds of a made-up clock."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from bench.kinds.optimizers.plan import typical_trials
from bench.workloads import Score, Settings, WorkloadBase, WorkloadRun, base, pose_costs, pose_data
from bench.workloads.pose import PoseSettings
from bench.workloads.protocol import REPORT, SELECT, Assignment, Budget, Costs, ProbeData, Trained
from posemodel.config import LoaderSettings
from posemodel.skeleton import COCO_PERSON
from posemodel.synthetic import split_sizes

SETUP_S, SCORE_S = 3.0, {SELECT: 1.0, REPORT: 4.0}


class Clock:
    """A time that passes only where a test lets it."""

    now = 0.0

    def perf_counter(self):
        return self.now


@pytest.fixture
def clock(monkeypatch):
    """The time of the modules that measure, and a process whose memory grows and shrinks."""
    clock, bytes_used = Clock(), iter([200, 300, 100, 100])
    process = SimpleNamespace(memory_info=lambda: SimpleNamespace(rss=next(bytes_used)))
    monkeypatch.setattr(base, "time", clock)
    monkeypatch.setattr(pose_data, "time", clock)
    monkeypatch.setattr(base, "psutil", SimpleNamespace(Process=lambda: process))
    monkeypatch.setattr(base, "_gpu_memory", lambda: 7)
    return clock


class Timed(WorkloadBase):
    """A workload whose optimizers are the seconds that their steps take."""

    settings, run, score = Settings, WorkloadRun, Score("accuracy")

    def __init__(self, clock=None):
        self.clock, self.lengths = clock, []

    def train(self, run, make_optimizer, **_calls):
        """Let the time pass."""
        self.lengths.append((run.steps, run.seconds, run.evaluations, run.window, run.time_limit))
        self.clock.now += SETUP_S + make_optimizer * run.steps

        def score_on(split):
            self.clock.now += SCORE_S[split]
            return 0.5

        return Trained("complete", run.steps, {"train_seconds": make_optimizer * run.steps}, score_on, lambda: None)


def planned(workload, **budget):
    """A run as a study asks for it."""
    return workload.plan(
        Settings(),
        Assignment(
            data=Path("there"),
            split=REPORT,
            budget=Budget(**budget),
            schedule="cosine",
            precision="fp32",
            loader=LoaderSettings(batch_size=3),
            seed=5,
            device="cpu",
            time_limit=60.0,
        ),
    )


@pytest.mark.parametrize(
    ("seconds", "measured"), [(0.0, ["sgd"]), (16.4, ["sgd"]), (16.5, ["sgd", "adam"]), (99.0, ["sgd", "adam", "slow"])]
)
def test_costs_are_those_of_a_first_step_ten_more_and_an_evaluation(clock, seconds, measured):
    """3.5 s for a first step, then 3 s + 10 x 0.5 s and 5 s for two evaluations: 16.5 s until the second optimizer."""
    workload, pieces = Timed(clock), []
    factories = {"sgd": 0.5, "adam": 2.0, "slow": 9.0}
    runs = dict.fromkeys(factories, planned(workload, seconds=100.0, evaluations=4))
    costs = workload.costs(runs, factories, seconds=seconds, on_costs=pieces.append)
    step_s = {name: factories[name] for name in measured}
    assert costs == Costs(3.5, step_s, SCORE_S, 0.0, memory_bytes=300, gpu_memory_bytes=7)
    assert [list(piece.step_s) for piece in pieces] == [measured[: count + 1] for count in range(len(measured))]
    assert pieces[-1] == costs
    assert workload.lengths == [(1, None, 1, 1, None)] + [(10, None, 1, 10, None)] * len(measured)


def test_a_run_is_measured_every_fifty_steps_where_the_study_does_not_say(clock):
    assert planned(Timed(), steps=9).window == 50
    run = planned(Timed(), steps=9, evaluations=2, window=4)
    assert run == WorkloadRun(
        data=Path("there"),
        val_split=REPORT,
        network="timed",
        steps=9,
        seconds=None,
        evaluations=2,
        window=4,
        schedule="cosine",
        precision="fp32",
        loader=LoaderSettings(batch_size=3),
        seed=5,
        device="cpu",
        time_limit=60.0,
    )


def test_data_that_need_no_files_are_those_of_the_class_and_each_split_has_a_sample(hermetic):
    workload = Timed()
    found = workload.find_data({"data": SimpleNamespace(value=None)}, None, None)
    assert (found.folder, len(found.digest), found.awaited_images) == (hermetic, 16, None)
    assert workload.find_data({"data": SimpleNamespace(value="there")}, None, None).folder == hermetic / "there"
    assert workload.loading(None) is None
    with workload.probe_data(None, hermetic, None, 4) as probe:
        assert probe == ProbeData(hermetic, {SELECT: 1, REPORT: 1})


@pytest.mark.parametrize(("batch_size", "awaited", "made"), [(4, 100, 60), (40, 100, 80), (40, 70, 70), (4, 50, 50)])
def test_a_few_images_are_made_to_measure_a_study_whose_own_are_awaited(clock, monkeypatch, batch_size, awaited, made):
    """Two batches at least; what all of them take follows from these, shared by the cores."""
    asked = []

    def generate(folder, *, images, seed, num_workers):
        asked.append((folder, images, seed, num_workers))
        clock.now += 12.0

    monkeypatch.setattr(pose_data, "generate", generate)
    monkeypatch.setattr(pose_data, "usable_cores", lambda: 4)
    own, sizes = PoseSettings(network="small", size=64), split_sizes(awaited)
    with pose_data.probe_data(own, Path("there"), awaited, batch_size) as probe:
        assert asked == [(probe.folder, made, 0, 0)]
        assert probe.folder.parent.is_dir()
    assert not probe.folder.parent.exists()
    assert probe.scored == {SELECT: sizes["select"], REPORT: sizes["val"]}
    assert (probe.data_s, probe.trained) == (pytest.approx(awaited * 12 / made / 4), sizes["train"])


def test_a_study_s_own_images_are_measured_where_they_are_and_as_they_are_trained_on(tiny, monkeypatch):
    read, asked = pose_data.open_split, []

    def opened(data, split, **how):
        asked.append((split, how))
        return read(data, split, **how)

    monkeypatch.setattr(pose_data, "open_split", opened)
    own = PoseSettings(network="small", size=64, skip_bad=True, exif="follow")
    with pose_data.probe_data(own, tiny, None, 4) as probe:
        assert (probe.folder, probe.data_s, probe.trained) == (tiny, 0.0, None)
        assert {*probe.scored} == {SELECT, REPORT} and min(probe.scored.values()) > 0
    assert asked == [(split, {"skip_bad": True, "exif": "follow"}) for split in (SELECT, REPORT)]


DECODING_S = 0.25


class Many:
    """A split of sixty images, all as the first one of a real split."""

    def __init__(self, real):
        self.real, self.skeleton = real, real.skeleton

    def __len__(self):
        return 60

    def subset(self, positions):
        return positions

    def size(self, _position):
        return self.real.size(0)

    def people(self, _position):
        return self.real.people(0)


class Scoring:
    """Evaluations of a pose network: 2 s, and half a second for each image; decoding takes a quarter."""

    def __init__(self, clock, monkeypatch):
        self.clock, self.images, self.decoded, self.decoding_s = clock, [], 0, DECODING_S
        monkeypatch.setattr(pose_costs, "time", clock)
        opened = pose_costs.open_split
        monkeypatch.setattr(pose_costs, "open_split", lambda *asked, **how: Many(opened(*asked, **how)))
        monkeypatch.setattr(pose_costs, "validation_loader", lambda part, *_: part)
        monkeypatch.setattr(pose_costs, "validate", self.validate)
        monkeypatch.setattr(pose_costs, "decode", self.decode)

    def validate(self, _network, loader, part, *_, with_scores):
        assert loader is part and with_scores
        self.images.append([*part])
        self.clock.now += 2.0 + 0.5 * len(part)

    def decode(self, *_, **__):
        self.decoded += 1
        self.clock.now += self.decoding_s


@pytest.fixture
def scoring(monkeypatch):
    return Scoring(Clock(), monkeypatch)


@pytest.fixture(scope="module")
def pose_run(tiny_spec):
    return typical_trials(tiny_spec())["sgd"].train


def evaluation_costs(run, deadline, trained_image_s):
    network = SimpleNamespace(skeleton=COCO_PERSON)
    return list(pose_costs._evaluation_costs(run, network, deadline, trained_image_s))


ROUGH = ({SELECT: 2.1, REPORT: 2.1}, 0.4 + DECODING_S)


@pytest.mark.parametrize(
    ("seconds", "pieces", "images"),
    [
        (0.0, [], []),
        # 2.5 s for a first image and 0.25 s for its decoding: another two would take 5 s.
        (7.75, [ROUGH], [[0]]),
        # Of each split one; 70 % of the remaining 0.25 s are too little for several: the image cannot be told apart.
        (8.0, [ROUGH, ({SELECT: 0.0, REPORT: 0.0}, 2.5 + DECODING_S)], [[0], [0], [0]]),
        # 70 % of 10.3 s are enough for two images of 2.5 s, not for three: each counts for half a second.
        (18.05, [ROUGH, ({SELECT: 2.0, REPORT: 2.0}, 0.5 + DECODING_S)], [[0], [0], [0], [0, 30]]),
    ],
)
def test_an_evaluation_is_measured_as_precisely_as_the_time_allows(scoring, pose_run, seconds, pieces, images):
    found = evaluation_costs(pose_run, seconds, 0.4)
    assert [(pytest.approx(fixed_s), pytest.approx(image_s)) for fixed_s, image_s in found] == pieces
    assert scoring.images == images


def test_a_number_of_images_from_the_whole_split_is_scored_at_most(scoring, pose_run, monkeypatch):
    found = evaluation_costs(pose_run, 1e6, 0.4)
    assert [image_s for _, image_s in found] == pytest.approx([0.65, 0.75])
    assert (len(scoring.images[-1]), scoring.images[-1][:5], scoring.decoded) == (48, [0, 1, 2, 3, 5], 1 + 48)
    monkeypatch.setattr(pose_costs, "SCORED_IMAGES", 99)
    evaluation_costs(pose_run, scoring.clock.now + 1e6, 0.4)
    assert scoring.images[-1] == list(range(60))


def test_an_image_takes_no_longer_than_the_whole_evaluation_of_one(scoring, pose_run):
    ((fixed_s, image_s),) = evaluation_costs(pose_run, 5.0, 9.0)
    assert (fixed_s, image_s) == ({SELECT: 0.0, REPORT: 0.0}, 2.5 + DECODING_S)


def test_decoding_ends_with_the_time_and_is_part_of_what_a_trained_network_takes(scoring, pose_run):
    scoring.decoding_s = 50.0
    found = evaluation_costs(pose_run, 100.0, 0.4)
    assert [image_s for _, image_s in found] == pytest.approx([50.4, 50.5])
    assert scoring.decoded == 2, "the time is over then"
    weighted = pose_run.model_copy(update={"weights": Path("base.safetensors")})
    found = evaluation_costs(weighted, scoring.clock.now + 100.0, 0.4)
    assert [image_s for _, image_s in found] == pytest.approx([0.4, 0.5])
    assert scoring.decoded == 2


def test_a_step_of_each_optimizer_differs_from_the_first_one_s_by_their_own_work(clock, monkeypatch):
    """Those that the time does not reach count as the first; none takes less than nothing."""
    own_s = {"sgd": 0.5, "adam": 0.75, "quick": 0.125, "late": 9.0}
    run = SimpleNamespace(device="cpu", loader=LoaderSettings(batch_size=4))
    runs, factories, pieces, asked = dict.fromkeys(own_s, run), {name: name for name in own_s}, [], []

    def trained(_run, factory, names, seconds, on_costs, on_open):
        on_open(SimpleNamespace(skeleton=COCO_PERSON))
        asked.append((factory, seconds))
        return Costs(1.0, dict.fromkeys(names, 0.25), {}, 0.0, 100, 7)

    def own(_network, _initial, factory, _run):
        clock.now += 1.0
        return own_s[factory]

    def evaluation(*arguments):
        asked.append(arguments[2:])
        yield {SELECT: 1.0, REPORT: 2.0}, 0.5
        yield {SELECT: 3.0, REPORT: 4.0}, 0.25

    monkeypatch.setattr(pose_costs, "time", clock)
    for name, made_up in (("_training_costs", trained), ("_own_s", own), ("_evaluation_costs", evaluation)):
        monkeypatch.setattr(pose_costs, name, made_up)
    monkeypatch.setattr(pose_costs, "_is_slow", lambda _run: False)
    monkeypatch.setattr(pose_costs, "_peak_memory", iter([300, 200]).__next__)
    network = SimpleNamespace(parameters=list)
    monkeypatch.setattr(pose_costs, "initial_network", lambda *_: (network, None))
    costs = pose_costs.measure_costs(runs, factories, seconds=3.0, on_costs=pieces.append)
    steps = {"sgd": 0.25, "adam": 0.5, "quick": 0.0, "late": 0.25}
    assert costs == Costs(1.0, steps, {SELECT: 3.0, REPORT: 4.0}, 0.25, 300, 7)
    assert asked == [("sgd", 3.0), (3.0, 0.25 / 4)]
    assert [(piece.step_s, piece.image_s, piece.memory_bytes) for piece in pieces] == [
        (dict.fromkeys(own_s, 0.25), 0.0, 100), (steps, 0.0, 100), (steps, 0.5, 300), (steps, 0.25, 300),
    ]  # fmt: skip
