"""Every network that ships can be built, trained, saved and loaded for any skeleton, COCO's person unchanged."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from posemodel.errors import CheckpointError, SettingsError
from posemodel.network import NETWORKS, build_network
from posemodel.network.cost import cost_of, network_cost
from posemodel.network.small import Small
from posemodel.network.weights import CheckpointInfo, load_network, save_weights
from posemodel.skeleton import COCO_PERSON, Skeleton
from posemodel.training.initial_network import initial_network, origin_of
from tests.support.long_tests import long
from tests.support.training_runs import settings_for

CPU = torch.device("cpu")
POINT = Skeleton("buoy", ("top",), limbs=(), sigmas=(0.05,))
FINGER = Skeleton("finger", ("base", "middle", "tip"), limbs=((0, 1), (1, 2)), sigmas=(0.05,) * 3)
"""As many heatmaps as PAFs: 4."""
WIDE = Skeleton("chain", tuple(f"p{n}" for n in range(40)), tuple((n, n + 1) for n in range(39)), (0.05,) * 40)
LAST_WEIGHTS = {
    "rtpose_vgg": ("heatmap_branches.5.12.weight", (-0.00529970, -0.00633378, -0.00212191)),
    "openpose_2019": ("heatmap_stages.1.6.weight", (0.00136625, -0.00040054, 0.00159360)),
    "lightweight": ("refinement_stages.0.pafs.2.weight", (-0.00023288, 3.48350e-06, -0.00183287)),
    "lightweight_2": ("refinement_stages.1.pafs.2.weight", (-0.00014306, -0.00035799, -0.00121762)),
    "lightweight_3": ("refinement_stages.2.pafs.2.weight", (-0.00153720, -0.00109962, -0.00045262)),
    "small": ("second.2.weight", (-0.00247335, 0.00045127, -0.00071955)),
}
"""First values of the weights that are drawn last, for seed 7, of the version before skeletons were data."""


LARGE = ("rtpose_vgg", "openpose_2019")
SIZES = [long(name) if name in LARGE else name for name in NETWORKS]


@pytest.mark.parametrize("name", SIZES)
def test_coco_s_person_gets_the_weights_that_it_always_got(name: str) -> None:
    entry, values = LAST_WEIGHTS[name]
    state = build_network(name, seed=7).state_dict()
    assert state[entry].flatten()[:3].tolist() == pytest.approx(values, abs=1e-8)
    given = build_network(name, skeleton=COCO_PERSON, seed=7).state_dict()
    assert all(torch.equal(state[key], given[key]) for key in state)


@pytest.mark.parametrize("skeleton", [POINT, FINGER, WIDE], ids=lambda each: each.name)
@pytest.mark.parametrize("name", SIZES)
def test_a_network_gives_the_maps_of_its_skeleton_and_gradients_to_all_its_weights(name: str, skeleton: Skeleton):
    network = build_network(name, skeleton=skeleton, seed=0).train()
    stages = network(torch.randint(0, 256, (2, 3, 64, 64), dtype=torch.uint8))
    cells = 64 // network.stride
    for maps in stages:
        assert maps.heatmaps is None or maps.heatmaps.shape == (2, skeleton.num_parts + 1, cells, cells)
        assert maps.pafs is None or maps.pafs.shape == (2, 2 * skeleton.num_limbs, cells, cells)
    heatmaps, pafs = (maps.detach() for maps in stages[-1].complete())
    if name != "rtpose_vgg":  # the only one that starts with its published, uniform weights
        assert heatmaps[:, -1].mean() == pytest.approx(1, abs=0.2), "background"
        assert heatmaps[:, :-1].abs().mean() < 0.2
        assert not pafs.numel() or pafs.abs().mean() < 0.2
    sum(m.square().sum() for maps in stages for m in maps if m is not None).backward()
    untrained = [key for key, parameter in network.named_parameters() if parameter.grad is None]
    assert untrained == []
    assert all(parameter.numel() for parameter in network.parameters())


@pytest.mark.parametrize("name", [long("openpose_2019"), long("lightweight"), "small"])
def test_a_network_without_pafs_can_be_exported_and_comes_back(name: str, tmp_path: Path) -> None:
    network = build_network(name, skeleton=POINT, seed=0).eval()
    images = torch.randint(0, 256, (1, 3, 64, 64), dtype=torch.uint8)
    with torch.no_grad():
        expected = network(images)[-1].complete()
        exported = torch.export.export(network, (images,)).module()(images)[-1]
    save_weights(tmp_path / "a.safetensors", network, CheckpointInfo(name, 64, {}))
    loaded, _ = load_network(tmp_path / "a.safetensors", CPU)
    assert loaded.skeleton == POINT
    for ours, theirs, again in zip(expected, exported, loaded(images)[-1], strict=True):
        torch.testing.assert_close(ours, theirs)
        torch.testing.assert_close(ours, again)


def test_the_cost_is_the_skeleton_s() -> None:
    coco, point = network_cost("small", 64), network_cost("small", 64, POINT)
    width, upsampling = 64, 4
    maps = (57, 2)  # channels of all maps together
    expected = [
        each * upsampling * (2 * width + 2 + width) for each in maps
    ]  # two heads, and a 1x1 that sees the first
    assert coco["parameters"] - point["parameters"] == expected[0] - expected[1]
    assert point["gmacs"] < coco["gmacs"]
    network = build_network("small", skeleton=POINT, seed=0).train()
    assert cost_of(network, 64) == {"parameters": point["parameters"], "gmacs": point["gmacs"]}
    assert network.training


# --- checkpoints ----------------------------------------------------------------------------------------------------


def document_in(path: Path) -> dict:
    with safe_open(str(path), framework="pt") as file:
        return json.loads(file.metadata()["posebench"])


def test_a_checkpoint_names_its_skeleton_unless_it_is_coco_s_person(tmp_path: Path) -> None:
    file = tmp_path / "a.safetensors"
    save_weights(file, build_network("small", seed=0), CheckpointInfo("small", 64, {}))
    assert [*document_in(file)] == ["network", "size", "stride", "input_format", "parts", "limbs", "training"]
    save_weights(file, build_network("small", skeleton=FINGER, seed=0), CheckpointInfo("small", 64, {}))
    document = document_in(file)
    assert Skeleton.from_document(document["skeleton"]) == FINGER
    assert document["parts"] == list(FINGER.parts), "which an earlier version refuses"
    assert load_network(file, CPU)[0].skeleton == FINGER


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"skeleton": {"name": "finger"}}, r"its skeleton cannot be read \(KeyError\('keypoints'\)\)"),
        ({"skeleton": None}, "its skeleton cannot be read"),
        (
            {"skeleton": FINGER.as_document() | {"sigmas": [1.0]}},
            r"its skeleton cannot be read .*3 keypoints need as many sigmas",
        ),
        ({"skeleton": FINGER.as_document() | {"derived": []}}, "its skeleton cannot be read"),
        ({"skeleton": FINGER.as_document(), "parts": ["a"]}, r"its parts are \['a'\], its skeleton's are \['base'"),
        ({"skeleton": POINT.as_document()}, r"first.weight is .*, small needs"),
    ],
)
def test_a_skeleton_that_cannot_be_read_is_named(changes: dict, said: str, tmp_path: Path) -> None:
    state = {k: v.contiguous() for k, v in build_network("small", skeleton=FINGER, seed=1).state_dict().items()}
    document = {"network": "small", "size": 64, "training": {}} | changes
    save_file(state, tmp_path / "a.safetensors", metadata={"posebench": json.dumps(document)})
    with pytest.raises(CheckpointError, match=rf"a\.safetensors: {said}"):
        load_network(tmp_path / "a.safetensors", CPU)


# --- a start from weights -------------------------------------------------------------------------------------------


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    network = build_network("lightweight", seed=5)
    network.trained_size = 96
    save_weights(tmp_path / "coco.safetensors", network, CheckpointInfo("lightweight", 96, {}))
    return tmp_path / "coco.safetensors"


def test_the_same_skeleton_loads_every_entry_and_says_nothing(weights: Path, tmp_path: Path) -> None:
    settings = settings_for(tmp_path, network="lightweight", weights=weights, size=None)
    network, note = initial_network(settings, CPU)
    assert note is None
    expected = build_network("lightweight", seed=5).state_dict()
    assert all(torch.equal(expected[key], value) for key, value in network.state_dict().items())
    assert [*origin_of(weights)["initial_weights"]] == ["file", "sha256"]
    other_sigmas = Skeleton.from_document(COCO_PERSON.as_document() | {"sigmas": [0.1] * 17})
    network, note = initial_network(settings, CPU, other_sigmas)
    assert note is None, "no map depends on sigmas"
    assert network.skeleton == other_sigmas
    assert all(torch.equal(expected[key], value) for key, value in network.state_dict().items())


def test_another_skeleton_loads_what_fits_and_says_what_is_new(weights: Path, tmp_path: Path) -> None:
    settings = settings_for(tmp_path, network="lightweight", weights=weights, size=None, seed=3)
    network, note = initial_network(settings, CPU, FINGER)
    assert note is not None
    new = ("initial_stage.heatmaps.2", "initial_stage.pafs.2", "refinement_stages.0.trunk.0.initial.0")
    theirs, fresh = (
        build_network("lightweight", seed=5).state_dict(),
        build_network("lightweight", skeleton=FINGER, seed=3).state_dict(),
    )
    others = [key for key in fresh if fresh[key].shape != theirs[key].shape]
    assert {*new} <= {key.rpartition(".")[0] for key in others}
    for key, value in network.state_dict().items():
        assert torch.equal(value, (fresh if key in others else theirs)[key]), key
    assert (note.file, note.kind, note.count) == (str(weights), "other-skeleton", len(fresh) - len(others))
    assert note.text == (
        f"training starts from {len(fresh) - len(others)} of {len(fresh)} entries of these weights; new are "
        f"{', '.join(others[:3])} and {len(others) - 3} more, because the skeleton is another: person (18 parts, 19 "
        "limbs) there, finger (3 parts, 2 limbs) here"
    )
    assert origin_of(weights, note)["initial_weights"]["note"] == note.text
    assert (network.skeleton, network.trained_size, network.training) == (FINGER, 96, True)


def changed_by_a_start(network: str, theirs: Skeleton, ours: Skeleton, tmp_path: Path) -> tuple[set[str], str]:
    """Names of the entries that are new after a start from weights of another skeleton, and the note."""
    file = tmp_path / "theirs.safetensors"
    save_weights(file, build_network(network, skeleton=theirs, seed=5), CheckpointInfo(network, 64, {}))
    started, note = initial_network(settings_for(tmp_path, network=network, weights=file, seed=3), CPU, ours)
    loaded = build_network(network, skeleton=theirs, seed=5).state_dict()
    assert note is not None
    state = started.state_dict()
    return {key for key in state if key not in loaded or not torch.equal(state[key], loaded[key])}, note.text


def sized(network: str, skeleton: Skeleton) -> dict[str, torch.Size]:
    return {key: value.shape for key, value in build_network(network, skeleton=skeleton, seed=0).state_dict().items()}


@pytest.mark.parametrize("network", [long("lightweight"), "small", long("openpose_2019")])
def test_heads_of_other_points_are_new_even_if_as_wide(network: str, tmp_path: Path) -> None:
    other = Skeleton("toe", ("heel", "ball", "tip"), FINGER.limbs, FINGER.sigmas)
    new, text = changed_by_a_start(network, FINGER, other, tmp_path)
    mine, wide = sized(network, FINGER), sized(network, WIDE)
    assert new <= {key for key in mine if mine[key] != wide[key]}
    assert {key for key in mine if mine[key] != wide[key] and key.endswith("weight")} <= new
    assert text.endswith("finger (3 parts, 2 limbs) there, toe (3 parts, 2 limbs) here")
    _, text = changed_by_a_start(network, FINGER, replace(other, name="finger"), tmp_path)
    assert text.endswith("finger (3 parts, 2 limbs) there, finger (3 parts, 2 limbs) here, with other parts")


def test_heatmaps_of_the_same_parts_are_loaded_where_the_limbs_are_others(tmp_path: Path) -> None:
    other = replace(FINGER, limbs=((0, 1), (0, 2)))
    new, text = changed_by_a_start("lightweight", FINGER, other, tmp_path)
    assert {"initial_stage.pafs.2.weight", "refinement_stages.0.trunk.0.initial.0.weight"} <= new
    assert not any("heatmaps" in key for key in new)
    assert text.endswith("with other limbs")


def test_of_a_class_for_some_skeletons_alone_the_backbone_is_loaded(tmp_path, monkeypatch) -> None:
    class Picky(Small):
        def __init__(self, skeleton: Skeleton = COCO_PERSON) -> None:
            if skeleton.num_parts > 18:
                raise ValueError("too many")
            super().__init__(skeleton)

    monkeypatch.setattr(Picky, "__module__", "mine")
    monkeypatch.setitem(NETWORKS, "picky", Picky)
    renamed = Skeleton.from_document(json.loads(json.dumps(COCO_PERSON.as_document()).replace("nose", "snout")))
    new, _ = changed_by_a_start("picky", COCO_PERSON, renamed, tmp_path)
    assert new
    assert not any(key.startswith("backbone.") for key in new)


def test_another_network_is_refused_as_before(weights: Path, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="is of lightweight, not of small"):
        initial_network(settings_for(tmp_path, weights=weights), CPU, FINGER)
