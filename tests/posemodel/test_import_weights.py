"""Public checkpoints give the public networks' outputs, and what does not fit is named."""

import functools
import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from torch import nn

from posemodel.errors import CheckpointError, SettingsError
from posemodel.network import Maps, PoseNetwork, build_network
from posemodel.network.backbones import load_vgg19_weights, vgg19_first_ten
from posemodel.network.import_weights import convert_public_network, import_weights
from posemodel.network.input_format import CAFFE, IMAGENET
from posemodel.network.public_layouts import LIGHTWEIGHT, OPENPOSE_2019, RTPOSE_VGG, PublicLayout
from posemodel.network.state_files import StateFile
from posemodel.network.weights import load_network
from tests.support.long_tests import long
from tests.support.public_networks import PublicLightweight, PublicOpenpose, PublicRtpose, with_random_weights

CPU = torch.device("cpu")
CLOSE = 1e-5
"""Largest difference between an output of ours and of the public network, values being about 0.1."""
State = dict[str, torch.Tensor]


def pafs_first(stages: list[Maps]) -> list[torch.Tensor | None]:
    return [maps for stage in stages for maps in (stage.pafs, stage.heatmaps)]


def heatmaps_first(stages: list[Maps]) -> list[torch.Tensor | None]:
    return [maps for stage in stages for maps in stage]


def all_pafs_first(stages: list[Maps]) -> list[torch.Tensor | None]:
    heatmaps = [stage.heatmaps for stage in stages]
    assert heatmaps[:2] == [None, None]
    return [stage.pafs for stage in stages] + heatmaps[2:]


def container(name: str, prefix: str) -> Callable[[State], object]:
    return lambda state: {name: {prefix + key: value for key, value in state.items()}, "epoch": 7}


def parallel(state: State) -> State:
    return {f"module.{key}": value for key, value in state.items()}


def without_counters(state: State) -> State:
    return {key: value for key, value in state.items() if not key.endswith("num_batches_tracked")}


# --- outputs --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("public", "file_format", "name", "order", "written"),
    [
        long(PublicRtpose, "tensorboy", "rtpose_vgg", pafs_first, parallel),
        (PublicOpenpose, "tensorboy", "openpose_2019", all_pafs_first, container("state_dict", "model.")),
        long(functools.partial(PublicLightweight, 1), "lightweight", "lightweight", heatmaps_first, dict),
        long(functools.partial(PublicLightweight, 2), "lightweight", "lightweight_2", heatmaps_first, without_counters),
        (
            functools.partial(PublicLightweight, 3),
            "lightweight",
            "lightweight_3",
            heatmaps_first,
            container("state_dict", "module."),
        ),
    ],
)
def test_an_imported_checkpoint_gives_the_public_outputs(
    tmp_path: Path,
    public: Callable[[], nn.Module],
    file_format: str,
    name: str,
    order: Callable[[list[Maps]], list[torch.Tensor]],
    written: Callable[[State], object],
) -> None:
    original = with_random_weights(public(), seed=3)
    torch.save(written(original.state_dict()), tmp_path / "public.pth")
    imported = import_weights(tmp_path / "public.pth", tmp_path / "ours.safetensors", file_format=file_format)
    assert imported.network == name
    assert imported.parameters == sum(parameter.numel() for parameter in original.parameters())
    network, info = load_network(tmp_path / "ours.safetensors", CPU)
    assert (info.network, info.size) == (name, 368)
    assert info.training == {"imported_from": "public.pth", "format": file_format}
    pixels = torch.randint(0, 256, (1, 3, 48, 64), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        theirs = original(public_input(pixels, file_format))
        ours = order(network(pixels))
    assert len(ours) == len(theirs)
    for found, expected in zip(ours, theirs, strict=True):
        assert expected.std() > 0.03, "outputs that vanish would equal anything"
        torch.testing.assert_close(found, expected, rtol=0, atol=CLOSE)


def public_input(pixels: torch.Tensor, file_format: str) -> torch.Tensor:
    """RGB uint8 as the public code gives it to its networks."""
    if file_format == "lightweight":
        return (pixels.flip(1).float() - 128) * (1 / 256)
    mean, std = (torch.tensor(v).view(1, 3, 1, 1) for v in ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]))
    return (pixels.float() / 255 - mean) / std


@pytest.mark.parametrize("layout", [RTPOSE_VGG, OPENPOSE_2019, *LIGHTWEIGHT.values()], ids=lambda each: each.network)
def test_every_entry_of_a_layout_is_named_once(layout: PublicLayout) -> None:
    with torch.device("meta"):
        keys = list(build_network(layout.network).state_dict())
    foreign = [layout.public_key(key) for key in keys]
    assert len(set(foreign)) == len(keys)
    assert [prefix for prefix in layout.prefixes if not any(key.startswith(prefix) for key in keys)] == []


# --- input formats --------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def openpose_state() -> State:
    return {key: torch.zeros_like(value) for key, value in PublicOpenpose().state_dict().items()}


@pytest.fixture(scope="module")
def lightweight_state() -> State:
    return with_random_weights(PublicLightweight(1), seed=5).state_dict()


@pytest.mark.parametrize(("asked", "expected"), [long(None, IMAGENET), ("caffe", CAFFE)])
def test_a_tensorboy_file_may_be_a_conversion_from_caffe(
    tmp_path: Path, openpose_state: State, asked: str | None, expected: object
) -> None:
    torch.save(openpose_state, tmp_path / "a.pth")
    out = tmp_path / "out.safetensors"
    imported = import_weights(tmp_path / "a.pth", out, file_format="tensorboy", input_format=asked)
    assert imported.input_format == load_network(out, CPU)[0].input_format == expected
    assert imported.limbs_to_eyes == (expected is IMAGENET)


def test_the_metadata_holds_the_input_format_in_full(tmp_path: Path, lightweight_state: State) -> None:
    torch.save(lightweight_state, tmp_path / "a.pth")
    import_weights(tmp_path / "a.pth", tmp_path / "out.safetensors", file_format="lightweight")
    with safe_open(tmp_path / "out.safetensors", framework="pt") as file:
        document = json.loads(file.metadata()["posebench"])
    assert document["input_format"] == {"name": "caffe", "channels": "BGR", "mean": [128.0] * 3, "std": [256.0] * 3}
    assert len(document["parts"]) == 18
    assert len(document["limbs"]) == 19


# --- refusals -------------------------------------------------------------------------------------------------------


def fitted(state: State, file_format: str = "lightweight", prefix: str = "") -> PoseNetwork:
    return convert_public_network(StateFile(Path("a.pth"), prefix, state), file_format)[0]


def test_the_first_missing_unexpected_and_misshapen_entries_are_named(lightweight_state: State) -> None:
    spoilt = {k: v for k, v in lightweight_state.items() if not k.startswith("cpm.trunk.1.")}
    spoilt["initial_stage.pafs.1.0.weight"] = torch.zeros(14, 512, 1, 1)
    spoilt["refinement_stages.0.trunk.0.initial.0.weight"] = torch.zeros(128, 156, 1, 1)
    spoilt |= {"fc.weight": torch.zeros(3), "fc.bias": torch.zeros(3)}
    with pytest.raises(CheckpointError) as caught:
        fitted(spoilt, prefix="module.")
    assert str(caught.value) == (
        "a.pth: does not fit lightweight: module.cpm.trunk.1.0.weight is missing (and 1 more); "
        "module.fc.weight is unexpected (and 1 more); "
        "module.initial_stage.pafs.1.0.weight is (14, 512, 1, 1), not (38, 512, 1, 1) (and 1 more)."
    )


def test_weights_that_are_no_numbers_are_refused(lightweight_state: State) -> None:
    key = "cpm.conv.0.bias"
    broken = lightweight_state | {key: torch.full_like(lightweight_state[key], torch.nan)}
    with pytest.raises(CheckpointError, match=r"module\.cpm\.conv\.0\.bias has NaN or infinite values"):
        fitted(broken, prefix="module.")


def test_openpose_of_another_skeleton_is_refused(openpose_state: State) -> None:
    """The public class builds 14 and 9 channels unless told otherwise."""
    state = dict(openpose_state)
    state["l2_stages.0.Mconv7.weight"] = torch.zeros(14, 256, 1, 1)
    with pytest.raises(CheckpointError, match=r"l2_stages\.0\.Mconv7\.weight is \(14, 256, 1, 1\), not \(38, 256"):
        fitted(state, "tensorboy")


def test_counters_of_batch_norm_may_be_absent_but_nothing_else(lightweight_state: State) -> None:
    network = fitted(without_counters(lightweight_state))
    assert torch.equal(network.backbone[0][0].weight, lightweight_state["model.0.0.weight"])
    with pytest.raises(CheckpointError, match=r"model\.3\.1\.running_var is missing"):
        fitted({k: v for k, v in lightweight_state.items() if k != "model.3.1.running_var"})


@pytest.mark.parametrize(
    ("keys", "file_format", "said"),
    [
        (
            ["features.0.weight"],
            "tensorboy",
            r"neither model0\.\* \(rtpose_vgg\) nor feature_extractor\.\* \(openpose\)",
        ),
        (["features.0.weight"], "lightweight", r"no initial_stage\.\*.*first entry is features\.0\.weight"),
        (["cpm.align.0.weight", "refinement_stages.3.trunk.0.initial.0.bias"], "lightweight", "4 refinement stages"),
        (["cpm.align.0.weight"], "lightweight", "0 refinement stages; networks with 1 to 3"),
    ],
)
def test_files_of_another_network_are_told(keys: list[str], file_format: str, said: str) -> None:
    with pytest.raises(CheckpointError, match=said):
        fitted(dict.fromkeys(keys, torch.zeros(1)), file_format)


def test_an_existing_file_is_never_overwritten(tmp_path: Path) -> None:
    (tmp_path / "out.safetensors").write_text("precious")
    with pytest.raises(SettingsError, match=r"--out .*out\.safetensors: exists; it is not overwritten"):
        import_weights(tmp_path / "a.pth", tmp_path / "out.safetensors", file_format="tensorboy")
    assert (tmp_path / "out.safetensors").read_text() == "precious"


@pytest.mark.parametrize(
    ("choices", "said"),
    [
        ({"file_format": "caffe"}, "no such format. There are: tensorboy, lightweight, torchvision-vgg19"),
        ({"file_format": "tensorboy", "input_format": "bgr"}, "There are: imagenet, caffe"),
        ({"file_format": "lightweight", "input_format": "caffe"}, "lightweight has only one; leave it out"),
        ({"file_format": "torchvision-vgg19", "input_format": "imagenet"}, "has only one; leave it out"),
    ],
)
def test_choices_that_do_not_exist(tmp_path: Path, choices: dict[str, str], said: str) -> None:
    with pytest.raises(SettingsError, match=said):
        import_weights(tmp_path / "a.pth", tmp_path / "out.safetensors", **choices)


def test_a_refused_file_leaves_nothing(tmp_path: Path) -> None:
    torch.save({"cpm.x": torch.zeros(1), "refinement_stages.0.x": torch.zeros(1)}, tmp_path / "a.pth")
    with pytest.raises(CheckpointError, match=r"model\.0\.0\.weight is missing"):
        import_weights(tmp_path / "a.pth", tmp_path / "out.safetensors", file_format="lightweight")
    assert [path.name for path in tmp_path.iterdir()] == ["a.pth"]


# --- backbones ------------------------------------------------------------------------------------------------------


def test_vgg19_becomes_a_backbone_file(tmp_path: Path) -> None:
    generator = torch.Generator().manual_seed(3)
    shapes = {key: value.shape for key, value in vgg19_first_ten().state_dict().items()}
    state = {f"features.{key}": torch.randn(shape, generator=generator) for key, shape in shapes.items()}
    rest = {"features.34.bias": torch.zeros(512), "classifier.6.bias": torch.zeros(1000)}
    torch.save(state | rest, tmp_path / "vgg19.pth")
    out = tmp_path / "front.safetensors"
    imported = import_weights(tmp_path / "vgg19.pth", out, file_format="torchvision-vgg19")
    assert (imported.network, imported.input_format) == (None, IMAGENET)
    assert imported.parameters == sum(value.numel() for value in state.values())
    backbone = vgg19_first_ten()
    load_vgg19_weights(backbone, out)
    assert all(torch.equal(value, state[f"features.{key}"]) for key, value in backbone.state_dict().items())
    with pytest.raises(CheckpointError, match=r"front\.safetensors: holds a backbone alone.*--backbone-weights"):
        load_network(out, CPU)
