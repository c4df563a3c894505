"""Studies whose trials start from weights: what the checkpoint decides, what is the same study, what is refused."""

import json
import shutil

import pytest
import torch
from safetensors.torch import save_file

from bench.kinds.joint.plan import plan_search
from bench.kinds.optimizers.compare import _differences
from bench.kinds.optimizers.plan import plan, typical_trials
from bench.ledger.store import Ledger
from bench.optimizers import optimizer_entry
from bench.trials.spec import TrialSpec
from bench.workloads import workload
from posemodel.errors import SettingsError
from posemodel.network import build_network
from posemodel.network.backbones import vgg19_first_ten
from posemodel.network.weights import CheckpointInfo, checkpoint_info, save_weights
from tests.support import asked
from tests.support.long_tests import long
from tests.support.valley import VALLEY

SMALL = {"device": "cpu", "optimizers": ["sgd"], "tunings": 2, "trials": 1, "steps": 2, "tune_steps": 2}
TYPED = ("--device", "cpu", "--optimizers", "sgd", "--name", "mine", "--batch-size", 2)
KINDS = {
    "optimizers": ("--tunings", 1, "--trials", 1, "--seeds", 1, "--steps", 2, "--tune-steps", 2),
    "joint": ("--trials", 2, "--seeds", 1, "--images", 8, "--num-workers", 0),
}


def checkpoint(path, network="small", size=112, seed=0):
    save_weights(path, build_network(network, seed=seed), CheckpointInfo(network, size, {}))
    return path


@pytest.fixture
def base(hermetic):
    """A checkpoint of `small` at 112 px."""
    return checkpoint(hermetic / "base.safetensors")


@pytest.fixture(scope="module")
def torchvision_file(tmp_path_factory):
    with torch.device("meta"):
        shapes = {key: value.shape for key, value in vgg19_first_ten().state_dict().items()}
    path = tmp_path_factory.mktemp("torchvision") / "vgg19.safetensors"
    save_file({f"features.{key}": torch.zeros(shape) for key, shape in shapes.items()}, path)
    return path


@pytest.fixture
def vgg19(hermetic, torchvision_file):
    """VGG19's front as torchvision names it."""
    return shutil.copy(torchvision_file, hermetic / "vgg19.safetensors")


@pytest.fixture
def prepared(tiny, hermetic):
    """A study of few small images, by kind."""

    def prepare(kind="optimizers", **command_line):
        given = {"data": tiny, "device": "cpu", "name": "mine", **(SMALL if kind == "optimizers" else {})}
        return asked.prepared(kind, given | command_line, None, "smoke", None).spec

    return prepare


@pytest.mark.parametrize("kind", KINDS)
def test_network_and_size_are_the_checkpoint_s_unless_they_are_given(prepared, base, kind):
    assert (prepared(kind).network, prepared(kind).size) == ("small", 96), "the preset's"
    spec = prepared(kind, weights=base)
    assert (spec.network, spec.size, spec.weights) == ("small", 112, base)
    assert prepared(kind, weights=base, size=64, network="small").size == 64
    spec = prepared(kind, weights=checkpoint(base.with_name("light.safetensors"), "lightweight", 64))
    assert (spec.network, spec.size) == ("lightweight", 64)
    assert checkpoint_info(base) == CheckpointInfo("small", 112, {})


def test_config_show_says_that_they_are_the_checkpoint_s(posebench, base, monkeypatch):
    monkeypatch.setenv("POSEBENCH_WEIGHTS", "base.safetensors")
    code, out, err = posebench("config", "show", "--preset", "smoke", "--set", "device=cpu", "--json")
    assert code == 0, err
    found = json.loads(out)
    origin = "checkpoint base.safetensors (weights)"
    assert found["network"] == {"value": "small", "origin": origin}
    assert found["size"] == {"value": 112, "origin": origin}
    assert found["weights"] == {"value": "base.safetensors", "origin": "environment POSEBENCH_WEIGHTS"}
    assert "weights_digest" not in found, "it is no setting"


def test_a_new_study_file_names_both(posebench, hermetic):
    code, _, err = posebench("study", "new", "optimizers", "new.toml")
    assert code == 0, err
    text = (hermetic / "new.toml").read_text()
    assert '#weights = "' in text
    assert '#backbone_weights = "' in text


def trials_of(spec):
    return plan(spec, {}) if spec.kind == "optimizers" else plan_search(spec)


@pytest.mark.parametrize("kind", KINDS)
def test_the_content_of_the_file_makes_the_study_and_not_its_place(prepared, base, hermetic, kind):
    nothing, one = prepared(kind), prepared(kind, weights=base)
    (hermetic / "elsewhere").mkdir()
    moved = prepared(kind, weights=shutil.copy(base, hermetic / "elsewhere" / "copy.safetensors"))
    other = prepared(kind, weights=checkpoint(hermetic / "other.safetensors", seed=1))
    assert moved.identity() == one.identity()
    assert [each.id for each in trials_of(moved)] == [each.id for each in trials_of(one)]
    for different in (nothing, other):
        assert different.identity() != one.identity()
        assert {each.id for each in trials_of(different)}.isdisjoint(each.id for each in trials_of(one))
    assert "weights" not in one.identity()
    assert {"weights", "weights_digest"}.isdisjoint(nothing.identity()), "as before there were any"


@pytest.mark.parametrize("counts", [(), ("weights",)], ids=["optimizers", "joint"])
def test_a_trial_s_id_has_the_digest_and_no_path(prepared, vgg19, base, counts):
    trial = plan(prepared(network="rtpose_vgg", size=64), {})[0].model_copy(update={"id_counts": counts})

    def begun(digest="", **places):
        run = trial.train.model_copy(update=places)
        return trial.model_copy(update={"train": run, "weights_digest": digest}).id

    assert begun("a", backbone_weights=vgg19) == begun("a", backbone_weights=base) == begun("a", weights=base)
    assert len({begun(), begun("a", weights=base), begun("b", weights=base)}) == 3
    again = TrialSpec.model_validate_json(plan(prepared(weights=base), {})[0].model_dump_json())
    assert again == plan(prepared(weights=base), {})[0]


@pytest.mark.parametrize("kind", ["optimizers", long("joint")])
@pytest.mark.usefixtures("made_up_costs")
def test_waiting_trials_find_the_file_where_it_is_now(
    posebench, prepared, base, hermetic, storage_url, tracking_uri, plain_figures, monkeypatch, tiny, kind
):
    """What an interrupted study left: its trials wait, with the place that the file had."""
    monkeypatch.setenv("POSEBENCH_STORAGE", storage_url)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", tracking_uri)
    typed = ("study", kind, "--preset", "smoke", "--data", tiny, *TYPED, *KINDS[kind])
    asked_before = posebench(*typed, "--weights", base, "--dry-run", "--json")
    assert asked_before[0] == 0, asked_before[2]
    identity = json.loads(asked_before[1])["spec"]
    spec = asked.study_spec(kind).from_stored(identity)
    objectives = 1 if kind == "optimizers" else len(spec.objectives)
    Ledger(storage_url, "mine", spec.identity(), objectives=objectives).enqueue(trials_of(spec))
    base.rename(hermetic / "moved.safetensors")
    code, out, err = posebench(*typed, "--weights", "moved.safetensors", "--json")
    assert code in (0, 3), err
    found = json.loads(out)
    assert found["status"] == "complete"
    assert found["trials"]["failed"] == 0, found["failures"]
    settings = (hermetic / "reports" / "mine" / "study.toml").read_text()
    assert "moved.safetensors" in settings
    assert "weights_digest" not in settings

    other = checkpoint(hermetic / "other.safetensors", seed=1)
    code, _, err = posebench(*typed, "--weights", other)
    assert code == 2
    digest = found["spec"]["weights_digest"]
    assert f"weights_digest: '{digest}' -> '" in err
    assert "its trials start from other weights" in err


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"weights": "base.safetensors", "network": "lightweight"}, "network: lightweight (from: command line) is not"),
        ({"weights": "base.safetensors", "size": 66}, "size: small needs a multiple of"),
        ({"weights": "gone.safetensors"}, "gone.safetensors: no such file."),
        ({"weights": "cut.safetensors"}, "is cut off"),
        ({"weights": "changed.safetensors"}, "weights: "),
        ({"weights": "vgg19.safetensors"}, "has no posebench metadata"),
        ({"weights": "base.safetensors", "backbone_weights": "vgg19.safetensors"}, "leave backbone_weights out"),
        ({"backbone_weights": "vgg19.safetensors"}, "backbone_weights: the backbone of small is not VGG19"),
        ({"backbone_weights": "gone.pth", "network": "rtpose_vgg"}, "backbone_weights: "),
        ({"backbone_weights": "base.safetensors", "network": "rtpose_vgg"}, "backbone_weights: "),
        ({"weights": "base.safetensors", "workload": {"name": VALLEY}}, "weights: is a setting of the workload `pose`"),
    ],
)
def test_what_does_not_fit_is_refused_before_data_are_made(hermetic, base, vgg19, given, words):
    (hermetic / "cut.safetensors").write_bytes(base.read_bytes()[:-100])
    changed = build_network("small", seed=0)
    changed.register_buffer("surplus", torch.zeros(1))
    save_weights(hermetic / "changed.safetensors", changed, CheckpointInfo("small", 96, {}))
    with pytest.raises(SettingsError) as refused:
        asked.prepared("optimizers", SMALL | given, None, "smoke", lambda *_: pytest.fail("data were made"))
    assert words in str(refused.value)


def test_a_file_s_line_is_told(hermetic, base):
    (hermetic / "mine.toml").write_text('weights = "base.safetensors"\nnetwork = "lightweight"\n')
    with pytest.raises(SettingsError, match=r"mine.toml:2: network: lightweight .*Leave network out"):
        asked.prepared("joint", {"device": "cpu"}, hermetic / "mine.toml", "smoke", None)
    (hermetic / "mine.toml").write_text('\nweights = "gone.safetensors"\n')
    with pytest.raises(SettingsError, match=r"mine.toml:2: weights: .*gone.safetensors: no such file"):
        asked.prepared("joint", {"device": "cpu"}, hermetic / "mine.toml", "smoke", None)


def test_a_backbone_starts_every_trial(prepared, vgg19):
    spec = prepared(network="rtpose_vgg", backbone_weights=vgg19)
    assert spec.weights_digest.startswith("vgg19-")
    assert all(trial.train.backbone_weights == vgg19 for trial in plan(spec, {}))
    assert spec.initial_weights_text.startswith("VGG19's weights vgg19.safetensors (digest ")


def test_costs_are_measured_of_the_weights(prepared, base):
    trials = typical_trials(prepared(weights=base))
    its = workload("pose")
    factories = {name: optimizer_entry(trial.builds).factory(trial.hyperparameters) for name, trial in trials.items()}
    runs = {name: trial.train for name, trial in trials.items()}
    costs = its.costs(runs, factories, seconds=60.0, on_costs=[].append)
    assert costs.score_s["report"] + costs.image_s > 0, "a single image tells no beginning apart from its scoring"
    assert costs.step_s["sgd"] > 0


def test_a_comparison_says_that_one_study_began_from_weights(prepared, base):
    nothing, one = prepared().identity(), prepared(weights=base).identity()
    digest = one["weights_digest"]
    assert f"weights_digest: None -> {digest!r}" in _differences(nothing, one)
    assert f"weights_digest: {digest!r} -> None" in _differences(one, nothing)
    assert not _differences(one, one)
