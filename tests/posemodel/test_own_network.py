"""Networks of users by dotted path: found in the working directory, built, checked, trained, resumed, loaded."""

import importlib
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

from posemodel import Maps, PoseNetwork, SettingsError, load_network, predict, train
from posemodel.config import InputSettings
from posemodel.errors import CheckpointError
from posemodel.network import NETWORKS, build_network, input_geometry, network_class
from posemodel.network.cost import network_cost
from posemodel.network.own import check_output, construct
from posemodel.network.weights import CheckpointInfo, checkpoint_info, save_weights
from posemodel.skeleton import COCO_PERSON, Skeleton
from posemodel.training.run import LAST_FILE
from tests.support.own_networks import HEAD, TINY
from tests.support.training_runs import KilledError, Sgd, equal, killed_after, settings_for, weights

CPU = torch.device("cpu")
FINGER = Skeleton("finger", ("base", "middle", "tip"), limbs=((0, 1), (1, 2)), sigmas=(0.05,) * 3)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str, str], None]]:
    """A working directory that is not on the path; the function writes a module there."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    before = {*sys.modules}

    def write(name: str, text: str) -> None:
        (tmp_path / f"{name}.py").write_text(text)
        importlib.invalidate_caches()

    yield write
    for name in {*sys.modules} - before:
        if name.startswith("mine"):
            del sys.modules[name]


@pytest.fixture
def tiny(here: Callable[[str, str], None]) -> str:
    here("mine", TINY)
    return "mine:Tiny"


# --- names ----------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("tiny")
def test_a_class_of_the_working_directory_is_found_in_either_spelling() -> None:
    found = network_class("mine:Tiny")
    assert network_class("mine.Tiny") is found
    assert network_class("mine:Package.Inner").__name__ == "Inner"
    network = build_network("mine.Tiny", skeleton=FINGER, seed=1)
    assert type(network) is found
    again = build_network("mine:Tiny", skeleton=FINGER, seed=1)
    assert equal(network.state_dict(), again.state_dict())
    assert network(torch.zeros(1, 3, 64, 64, dtype=torch.uint8))[-1].complete()[0].shape == (1, 4, 8, 8)
    assert sys.path[-1] == str(Path.cwd())


@pytest.mark.usefixtures("tiny")
def test_settings_and_costs_hold_one_spelling(tmp_path: Path) -> None:
    assert settings_for(tmp_path, network="mine.Tiny").network == "mine:Tiny"
    cost = network_cost("mine.Tiny", 128, FINGER)
    assert (cost["network"], cost["size"], cost["stride"]) == ("mine:Tiny", 128, 8)
    assert cost["parameters"] == (3 * 64 + 1) * 8 + 16 + (8 + 1) * 8
    assert cost["gmacs"] == pytest.approx((3 * 64 * 8 + 8 * 8) * 16**2 / 1e9)


@pytest.mark.parametrize(
    ("text", "name", "said"),
    [
        ("", "nowhere_at_all:Net", r"there is no module 'nowhere_at_all'\. It must be installed, or in the folder"),
        (
            "import not_there_either",
            "mine:Net",
            "importing mine fails with ModuleNotFoundError: No module named",
        ),
        ("1 / 0", "mine:Net", "importing mine fails with ZeroDivisionError: division by zero"),
        ("raise SystemExit(3)", "mine:Net", "importing mine fails with SystemExit: 3"),
        ("def net(: pass", "mine:Net", "importing mine fails with SyntaxError"),
        ("class Network: pass", "mine:Netwrk", r"has no class 'Netwrk'\. Did you mean Network"),
        ("class Net: pass", "mine:Net", r"is not a class derived from posemodel\.PoseNetwork: write `class Net"),
        ("Net = 3", "mine:Net", "is not a class derived from"),
        ("from posemodel import PoseNetwork", "mine:PoseNetwork", "is not a class derived from"),
        (
            f"{HEAD}\nclass Net(PoseNetwork):\n  stride = size_multiple = default_size = 32",
            "mine:Net",
            "is abstract: it must define the method stages",
        ),
        (TINY.replace("stride = 8", ""), "mine:Tiny", "lacks the class attribute stride, the input pixels per cell"),
        (TINY.replace("size_multiple = 16", ""), "mine:Tiny", "lacks the class attribute size_multiple"),
        (TINY.replace("size = 64", "size = 64.0"), "mine:Tiny", "has 64.0 as the class attribute default_size"),
        (TINY.replace("multiple = 16", "multiple = 12"), "mine:Tiny", "size_multiple 12 must be a multiple of its str"),
        (TINY.replace("stride = 8", "stride = 0"), "mine:Tiny", "has 0 as the class attribute stride"),
        (TINY.replace("stride = 8", "stride = True"), "mine:Tiny", "has True as the class attribute stride"),
        (TINY.replace("size = 64", "size = 16"), "mine:Tiny", "size_multiple 16, and at least 32"),
        (TINY.replace("size = 64", "size = 72"), "mine:Tiny", "default_size 72 must be a multiple of its size_multi"),
    ],
)
def test_a_class_that_cannot_be_used_is_refused_in_a_sentence(here, text: str, name: str, said: str) -> None:
    here("mine", text)
    with pytest.raises(SettingsError, match=rf"^network: {name}: .*{said}"):
        network_class(name)


def test_the_smallest_numbers_of_a_class_are_used(here) -> None:
    smallest = TINY.replace("stride = 8", "stride = 1").replace("multiple = 16", "multiple = 1")
    here("mine", smallest.replace("size = 64", "size = 32"))
    assert input_geometry("mine:Tiny") == InputSettings(size=32, stride=1)


def test_an_unknown_name_mentions_paths() -> None:
    with pytest.raises(SettingsError, match=r"Did you mean small\?.* any class by its path, my_package:MyNet"):
        build_network("smal")


def test_what_a_module_prints_is_no_result(here, capsys: pytest.CaptureFixture[str]) -> None:
    here("mine", f"print('hello')\n{TINY}")
    network_class("mine:Tiny")
    assert capsys.readouterr().out == ""


# --- constructors ---------------------------------------------------------------------------------------------------

WITHOUT = TINY.replace("self, skeleton", "self").replace("super().__init__(skeleton)", "super().__init__()")
WITHOUT = WITHOUT.replace("skeleton.num_heatmaps + skeleton.num_pafs", "19 + 38").replace("self.19", "19")


def test_a_constructor_without_skeleton_is_for_coco_s_person_alone(here) -> None:
    here("mine", WITHOUT)
    assert build_network("mine:Tiny").skeleton == COCO_PERSON
    own_sigmas = Skeleton.from_document(COCO_PERSON.as_document() | {"sigmas": [0.1] * 17})
    assert build_network("mine:Tiny", skeleton=own_sigmas).skeleton == own_sigmas
    with pytest.raises(SettingsError, match=r"takes no skeleton.* not for finger \(3 parts, 2 limbs\)\. Write `def __"):
        build_network("mine:Tiny", skeleton=FINGER)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("super().__init__(skeleton)", "super().__init__()"), "does not pass the skeleton on: write `def __init__"),
        (
            ("self, skeleton", "self, skeleton, width"),
            "its constructor fails with TypeError: .*'width'.* is called",
        ),
        (("self.head =", "self.head = 1 / 0 #"), "its constructor fails with ZeroDivisionError"),
        (("self.backbone", "self.body"), "has no module `backbone`: set self.backbone"),
    ],
)
def test_a_constructor_that_does_not_work_is_refused(here, change: tuple[str, str], said: str) -> None:
    here("mine", TINY.replace(*change))
    with pytest.raises(SettingsError, match=f"network: mine:Tiny: .*{said}"):
        build_network("mine:Tiny", skeleton=FINGER)


def test_a_line_in_the_registry_still_works(here, monkeypatch: pytest.MonkeyPatch) -> None:
    here("mine", WITHOUT)
    monkeypatch.setitem(NETWORKS, "plain", network_class("mine:Tiny"))
    assert build_network("plain", seed=0)(torch.zeros(1, 3, 64, 64, dtype=torch.uint8))[-1].complete()
    monkeypatch.setattr(NETWORKS["plain"], "stride", None)
    with pytest.raises(SettingsError, match="network: plain: lacks the class attribute stride"):
        network_class("plain")


# --- output ---------------------------------------------------------------------------------------------------------

BOTH = "[Maps(maps[:, : self.skeleton.num_heatmaps], maps[:, self.skeleton.num_heatmaps :])]"


@pytest.mark.parametrize(
    ("output", "said"),
    [
        ("maps", "its method `stages` returns a Tensor; it must return a list of Maps"),
        ("[]", "its method `stages` returns a list; it must"),
        ("[(maps, maps)]", r"its method `stages` returns a list of \['tuple'\]"),
        (
            "[Maps(maps[:, :4], None)]",
            r"stage 1 of 1: its pafs are None; \(1, 4, 12, 12\) floats are needed",
        ),
        ("[Maps(None, maps[:, :4]), Maps(None, maps[:, :4])]", "stage 2 of 2: its heatmaps are None"),
        ("[Maps(None, maps[:, :3]), *" + BOTH + "]", r"stage 1 of 2: its pafs are \(1, 3, 12, 12\)"),
        (
            "[Maps(maps[:, :3], maps[:, :4]), *" + BOTH + "]",
            r"stage 1 of 2: its heatmaps are \(1, 3, 12, 12\); \(1, 4, 12, 12\) floats are needed for one image: 4 = "
            r"skeleton\.num_heatmaps channels for finger \(3 parts, 2 limbs\), and 12 = size / stride = 96 / 8 cells",
        ),
        ("[Maps(maps[:, :4, ::2], maps[:, :4])]", r"stage 1 of 1: its heatmaps are \(1, 4, 6, 12\)"),
        ("[Maps(maps[:, :4], maps[:, :4].int())]", r"stage 1 of 1: its pafs are \(1, 4, 12, 12\) of torch.int32"),
        ("self.nothing", "running it on one image of 96 x 96 pixels fails with AttributeError: .*nothing"),
        ("maps.view(7)", "running it on one image of 96 x 96 pixels fails with RuntimeError: shape"),
    ],
)
def test_an_output_that_does_not_fit_is_refused(here, output: str, said: str) -> None:
    assert BOTH in TINY
    here("mine", TINY.replace(BOTH, output))
    network = build_network("mine:Tiny", skeleton=FINGER)
    with pytest.raises(SettingsError, match=f"^network: mine:Tiny: {said}"):
        check_output(network, 96, "mine:Tiny")


def test_a_stage_of_one_kind_of_maps_is_fine_unless_it_is_the_last(here) -> None:
    here("mine", TINY.replace(BOTH, "[Maps(None, maps[:, :4]), *" + BOTH + "]"))
    check_output(build_network("mine:Tiny", skeleton=FINGER), 64, "mine:Tiny")


@pytest.mark.parametrize("line", ["", "if maps.sum().item() > 1e9: raise ValueError", "maps = maps + self.offset"])
def test_the_check_changes_nothing(here, line: str) -> None:
    """Also where it cannot run on the meta device, because of a value or of a tensor that is no buffer."""
    text = TINY.replace("        return [", f"        {line}\n        return [")
    here("mine", text.replace("self.head =", "self.offset = torch.ones(1)\n        self.head ="))
    network = build_network("mine:Tiny", skeleton=FINGER, seed=0).train()
    network.freeze_backbone(True)
    modes = [module.training for module in network.modules()]
    state, before = torch.get_rng_state(), {key: value.clone() for key, value in network.state_dict().items()}
    check_output(network, 64, "mine:Tiny")
    assert torch.equal(state, torch.get_rng_state())
    assert equal(before, network.state_dict())
    assert modes == [module.training for module in network.modules()]
    assert all(parameter.grad is None for parameter in network.parameters())
    assert network_cost("mine:Tiny", 64, FINGER)["parameters"] > 0


def test_networks_that_ship_are_not_run(monkeypatch: pytest.MonkeyPatch) -> None:
    network = build_network("small")
    monkeypatch.setattr(type(network), "forward", None)
    check_output(network, 64, "small")


def test_an_object_that_does_not_fit_is_refused_by_predict(here) -> None:
    here("mine", TINY.replace(BOTH, "[Maps(maps, maps)]"))
    with pytest.raises(SettingsError, match="network: Tiny: stage 1 of 1: its heatmaps are"):
        predict(build_network("mine:Tiny"), [torch.zeros(32, 32, 3, dtype=torch.uint8).numpy()])


# --- training -------------------------------------------------------------------------------------------------------


@pytest.mark.long
def test_it_trains_with_spawned_workers_and_is_loaded_again(tiny: str, tiny_set: Path, tmp_path: Path) -> None:
    loader = {"batch_size": 4, "num_workers": 1, "start_method": "spawn"}
    settings = settings_for(tiny_set, network="mine.Tiny", steps=2, loader=loader)
    result = train(settings, Sgd, out=tmp_path / "run")
    assert (result.status, result.step) == ("complete", 2)
    assert checkpoint_info(tmp_path / "run" / LAST_FILE).network == tiny
    loaded, info = load_network(tmp_path / "run" / LAST_FILE, CPU)
    assert (type(loaded), info.network) == (network_class(tiny), tiny)
    assert equal(loaded.state_dict(), result.network.state_dict())
    (people,) = predict(tmp_path / "run" / LAST_FILE, [torch.zeros(32, 32, 3, dtype=torch.uint8).numpy()], device="cpu")
    assert people.people.shape[1:] == (18, 3)


@pytest.mark.usefixtures("one_thread")
def test_a_resumed_run_ends_with_the_weights_of_an_uninterrupted_one(tiny: str, tiny_set: Path, tmp_path: Path) -> None:
    settings = settings_for(tiny_set, network=tiny, checkpoint_every=2)
    train(settings, Sgd, out=tmp_path / "whole")
    with pytest.raises(KilledError):
        train(settings, Sgd, out=tmp_path / "killed", on_metrics=killed_after(3))
    train(settings_for(tiny_set, network="mine.Tiny", checkpoint_every=2), Sgd, out=tmp_path / "killed", resume=True)
    assert equal(weights(tmp_path / "whole" / LAST_FILE), weights(tmp_path / "killed" / LAST_FILE))


def test_training_refuses_an_output_that_does_not_fit_before_it_begins(here, tiny_set: Path, tmp_path: Path) -> None:
    here("mine", TINY.replace("+ skeleton.num_pafs", "+ 3"))
    with pytest.raises(SettingsError, match=r"mine:Tiny: stage 1 of 1: its pafs are \(1, 3, 8, 8\); \(1, 38, 8, 8\)"):
        train(settings_for(tiny_set, network="mine:Tiny"), Sgd, out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_checkpoint_says_from_where_its_class_is_found(tiny: str, tmp_path: Path, monkeypatch) -> None:
    file = tmp_path / "last.safetensors"
    save_weights(file, build_network(tiny, seed=0), CheckpointInfo(tiny, 64, {}))
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    monkeypatch.setattr(sys, "path", [each for each in sys.path if Path(each) != tmp_path])
    del sys.modules["mine"]
    importlib.invalidate_caches()
    place = re.escape(str(tmp_path / "elsewhere"))
    said = r"last\.safetensors: its network cannot be built: mine:Tiny: there is no module 'mine'\. It must be"
    with pytest.raises(CheckpointError, match=rf"{said} installed, or in the folder from .* run \(now {place}\)"):
        load_network(file, CPU)


def test_a_checkpoint_of_a_class_that_has_changed_is_refused(here, tiny: str, tmp_path: Path) -> None:
    file = tmp_path / "last.safetensors"
    save_weights(file, build_network(tiny, seed=0), CheckpointInfo(tiny, 64, {}))
    del sys.modules["mine"]
    here(
        "mine2",
        TINY.replace("8, 8, stride=8", "16, 8, stride=8")
        .replace("BatchNorm2d(8)", "BatchNorm2d(16)")
        .replace("Conv2d(8, sk", "Conv2d(16, sk"),
    )
    sys.modules["mine"] = importlib.import_module("mine2")
    with pytest.raises(CheckpointError, match=r"weight is \(8, 3, 8, 8\), mine:Tiny needs \(16, 3, 8, 8\)"):
        load_network(file, CPU)


def test_a_stage_without_maps_is_refused(tiny: str, monkeypatch: pytest.MonkeyPatch) -> None:
    network = build_network(tiny, skeleton=FINGER)
    whole = type(network).stages
    monkeypatch.setattr(type(network), "stages", lambda self, images: [Maps(None, None), *whole(self, images)])
    with pytest.raises(SettingsError, match=r"mine:Tiny: stage 1 of 2: has no maps; leave this stage out\."):
        check_output(network, 64, tiny)


def test_construct_takes_keyword_arguments() -> None:
    class Loose(PoseNetwork):
        stride = size_multiple = default_size = 32

        def __init__(self, **options: Skeleton) -> None:
            super().__init__(**options)
            self.backbone = torch.nn.Sequential()

        def stages(self, images: torch.Tensor) -> list[Maps]:
            return [Maps(images, images)]

    assert construct(Loose, "loose", FINGER).skeleton == FINGER
