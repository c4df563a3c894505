"""`posebench weights import`: its document, and what its files are good for."""

import json

import pytest
import torch

from posemodel.network.backbones import vgg19_first_ten
from posemodel.network.weights import load_network
from tests.support.public_networks import PublicLightweight, with_random_weights


@pytest.fixture(scope="module")
def public_file(tmp_path_factory):
    """A checkpoint of the lightweight network as its training code writes it."""
    path = tmp_path_factory.mktemp("public") / "checkpoint_iter_370000.pth"
    state = with_random_weights(PublicLightweight(1), seed=2).state_dict()
    torch.save({"state_dict": state, "iter": 370_000}, path)
    return path


def test_an_imported_network_is_evaluated(posebench, public_file, tiny, hermetic):
    code, out, err = posebench(
        "weights", "import", public_file, "--format", "lightweight", "--out", "l.safetensors", "--json"
    )
    assert code == 0, err
    assert json.loads(out) == {
        "format": "lightweight",
        "network": "lightweight",
        "parameters": 4_091_698,
        "input_format": "caffe",
        "out": "l.safetensors",
    }
    evaluate = ("eval", "--checkpoint", "l.safetensors", "--data", tiny, "--size", 64, "--device", "cpu", "--json")
    code, out, err = posebench(*evaluate)
    assert code == 0, err
    scores = json.loads(out)
    assert (scores["network"], scores["size"], scores["images"]) == ("lightweight", 64, 1)

    code, out, err = posebench("weights", "import", public_file, "--format", "lightweight", "--out", "l.safetensors")
    assert (code, out) == (2, "")
    assert "exists; it is not overwritten" in err


def test_an_imported_front_begins_a_training(posebench, tiny, hermetic):
    generator = torch.Generator().manual_seed(4)
    shapes = {key: value.shape for key, value in vgg19_first_ten().state_dict().items()}
    state = {f"features.{key}": 0.01 * torch.randn(shape, generator=generator) for key, shape in shapes.items()}
    torch.save(state | {"classifier.6.bias": torch.zeros(1000)}, "vgg19.pth")
    code, out, err = posebench(
        "weights", "import", "vgg19.pth", "--format", "torchvision-vgg19", "--out", "front.safetensors"
    )
    assert code == 0, err
    assert out.startswith("front.safetensors: VGG19's front")
    code, _, err = posebench(
        *("train", "--data", tiny, "--network", "openpose_2019", "--size", 64, "--steps", 1, "--batch-size", 1),
        *("--optimizer", "sgd", "-O", "momentum=0", "--lr", 1e-3, "--frozen-backbone-epochs", 1, "--device", "cpu"),
        *("--backbone-weights", "front.safetensors", "--out", "run"),
    )
    assert code == 0, err
    trained = load_network(hermetic / "run" / "last.safetensors", torch.device("cpu"))[0]
    assert torch.equal(trained.backbone[10].weight, state["features.10.weight"])


def test_a_front_of_vgg19_is_of_no_use_to_another_backbone(posebench, tiny, hermetic):
    code, _, err = posebench(
        "train", "--data", tiny, "--network", "lightweight", "--steps", 1, "--size", 64, "--backbone-weights", "x.pth"
    )
    assert code == 2
    assert "is not VGG19" in err


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        (("--format", "caffe"), 2, "There are: tensorboy, lightweight, torchvision-vgg19"),
        (("--format", "lightweight", "--input-format", "caffe"), 2, "leave it out"),
        (("--format", "tensorboy"), 1, "neither model0.* (rtpose_vgg) nor feature_extractor.* (openpose)"),
        (("--format", "torchvision-vgg19"), 1, "has no entry features.0.weight"),
    ],
)
def test_a_mistake_is_refused_in_words(posebench, public_file, hermetic, options, code, message):
    found, out, err = posebench("weights", "import", public_file, "--out", "out.safetensors", *options)
    assert (found, out) == (code, "")
    assert message in err
    assert "--debug" not in err
    assert list(hermetic.iterdir()) == []


def test_a_missing_option_and_a_missing_file(posebench, hermetic):
    code, _, err = posebench("weights", "import", "none.pth", "--format", "tensorboy")
    assert code == 2
    assert "--out" in err
    code, _, err = posebench("weights", "import", "none.pth", "--format", "tensorboy", "--out", "out.safetensors")
    assert code == 1
    assert "none.pth: no such file" in err
