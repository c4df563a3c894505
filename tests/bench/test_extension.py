"""Studies made larger: places in the plan, looks and their levels, and what is refused."""

import importlib.metadata
import json
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.kinds.joint.kind import KIND as JOINT
from bench.kinds.joint.plan import plan_search
from bench.kinds.loaders.kind import KIND as LOADERS
from bench.kinds.optimizers.extension import difference_remedy, more_optimizers, more_tunings
from bench.kinds.optimizers.kind import KIND
from bench.kinds.optimizers.spec import MAX_TUNINGS
from bench.measure.machine import fingerprint
from bench.records.writer import Tracker
from bench.settings.layers import Setting
from bench.settings.weights_files import weights_digest
from bench.statistics.looks import level_after
from bench.statistics.nested import MARGIN, claimed_signs, pair_tests, tuning_spreads
from bench.study import ledger_runner
from bench.study.begun_study import BegunStudy, _workers_before, refuse_other_machine, with_data
from posemodel.errors import SettingsError
from tests.support import asked
from tests.support.examples import few
from tests.support.plans import whole_plan

OWN = "tests.support.toy_optimizer.SignSGD"
VALLEY_STUDY = ("study", "optimizers", "--preset", "smoke", "--device", "cpu", "--optimizers", "sgd,adam")
SHORT = ("--trials", 1, "--seeds", 1, "--steps", 2, "--tune-steps", 1, "--no-controls")


@few(5)
@given(st.integers(1, 3), st.integers(1, 3), st.integers(1, 4), st.integers(1, MAX_TUNINGS - 3), st.booleans())
def test_places_stay_as_they_are_and_are_never_taken_twice(make_spec, seeds, added, trials, tunings, controls):
    begun = make_spec(optimizers=["sgd", "adabound"], tunings=tunings, trials=trials, seeds=seeds, controls=controls)
    larger = more_tunings(
        more_optimizers(begun, ["adam", "adagrad", "rmsprop"][:added], {}), tunings + 3, finished_amounts={tunings}
    )
    before, after = ({each.id: each.index for each in whole_plan(spec)} for spec in (begun, larger))
    assert before.items() <= after.items()
    assert len({*after.values()}) == len(after)


def test_an_added_optimizer_is_tried_as_if_it_had_been_there(make_spec):
    begun = make_spec(optimizers=["sgd", "adam"])
    at_once = make_spec(optimizers=["sgd", "adam", "rmsprop"])
    added = more_optimizers(begun, ["rmsprop"], {})
    assert {each.id for each in whole_plan(added)} == {each.id for each in whole_plan(at_once)}
    assert added.model_copy(update={"added": 0}) == at_once


def test_each_look_halves_the_level(make_spec):
    spec = make_spec(tunings=3)
    assert level_after(len(spec.looks)) == 0.05
    again = more_tunings(more_tunings(spec, 5, finished_amounts={3}), 6, finished_amounts={3, 5})
    assert (again.tunings, again.looks, level_after(len(again.looks))) == (6, (3, 5), 0.0125)
    assert more_tunings(spec, 5, finished_amounts=()).looks == (), "nobody has seen a result"
    assert more_tunings(make_spec(tunings=1), 3, finished_amounts={1}).looks == (), "one tuning each claims nothing"
    assert more_tunings(spec, 3, finished_amounts={3}) is spec


def test_a_study_until_it_is_decided_has_looks_of_its_own(make_spec):
    spec = make_spec(tunings=3, until_decided=True, max_tunings=4)
    assert more_tunings(spec, 6, finished_amounts={3}) == make_spec(tunings=3, until_decided=True, max_tunings=6)
    with pytest.raises(SettingsError, match="can have at most 6"):
        more_tunings(spec, 7, finished_amounts={3})
    with pytest.raises(SettingsError, match="sets its own looks"):
        make_spec(tunings=3, until_decided=True, looks=[2])


def test_who_extends_until_something_is_claimed_claims_falsely_less_often_than_in_one_of_ten():
    """Six equal optimizers, looked at after 3, 4, 5 and 6 tunings; without halving it is more often than that."""
    noise = np.random.default_rng(0).normal(size=(4000, 6, 6, 1)) * 0.02 + 0.5
    halved, same = np.zeros(len(noise), bool), np.zeros(len(noise), bool)
    for look, tunings in enumerate((3, 4, 5, 6)):
        tests = pair_tests(tuning_spreads(noise[:, :, :tunings], floor=0.02), margin=0.0)
        halved |= (claimed_signs(tests, alpha=0.05 / 2**look) != 0).any(axis=1)
        same |= (claimed_signs(tests, alpha=0.05) != 0).any(axis=1)
    assert halved.mean() < 0.1
    assert same.mean() > halved.mean() + 0.02, "the looks do cost something here"
    assert MARGIN > 0, "with which both are rarer still"


def test_what_cannot_be_added_is_refused_in_a_sentence(make_spec):
    spec = make_spec(optimizers=["sgd", "adam"], tunings=3)
    for names, spaces, words in (
        (["Adam"], {}, "--add Adam: the study 'study' compares adam already."),
        (["nadamm"], {}, "nadam"),
        (["rmsprop"], {"adam": {"lr": {"log": [1e-4, 1]}}}, "--space adam: this optimizer is not being added"),
    ):
        with pytest.raises(SettingsError, match=words):
            more_optimizers(spec, names, spaces)
    again = more_optimizers(spec, ["rmsprop"], {})
    assert more_optimizers(again, ["RMSprop"], {}) is again, "the same command goes on"
    with pytest.raises(SettingsError, match="--add adamw: is named twice"):
        more_optimizers(spec, ["rmsprop", "adamw", "AdamW"], {})
    with pytest.raises(SettingsError, match="the study 'study' runs until it is decided"):
        more_optimizers(make_spec(tunings=3, until_decided=True), ["rmsprop"], {})
    with pytest.raises(SettingsError, match="--tunings 2: the study 'study' has 3 already"):
        more_tunings(spec, 2, finished_amounts={3})
    with pytest.raises(SettingsError, match="--tunings 11: the study 'study' can have at most 10"):
        more_tunings(spec, 11, finished_amounts={3})


def test_who_asks_for_a_larger_study_is_told_how(make_spec):
    begun = make_spec(tunings=3)
    larger = make_spec(tunings=5)
    other = make_spec(tunings=5, steps=77)
    more = make_spec(tunings=3, optimizers=["sgd", "adam", "rmsprop"])
    assert "`posebench study extend study --tunings 5` makes it larger" in difference_remedy(larger, begun.identity())
    assert "`posebench study optimizers --add rmsprop study` makes it larger" in difference_remedy(
        more, begun.identity()
    )
    assert difference_remedy(other, begun.identity()) == "Give the same settings to go on with it, or another --name."
    both = make_spec(tunings=5, optimizers=["sgd", "adam", "rmsprop"])
    assert difference_remedy(both, begun.identity()).count("`posebench study") == 2
    extended = more_tunings(begun, 5, finished_amounts={3})
    still = make_spec(tunings=6)
    assert "`posebench study extend study --tunings 6`" in difference_remedy(
        KIND.with_stored_settings(still, extended.identity()), extended.identity()
    )
    added = more_optimizers(extended, ["rmsprop"], {})
    from_its_file = make_spec(tunings=5, looks=[3], optimizers=["sgd", "adam", "rmsprop"])
    assert KIND.with_stored_settings(from_its_file, added.identity()) == added
    assert KIND.with_stored_settings(larger, extended.identity()) == extended
    assert "`posebench study resume study`" in difference_remedy(
        KIND.with_stored_settings(begun, extended.identity()), extended.identity()
    )


def test_a_study_with_a_tuned_decay_goes_on_as_it_was_begun_before_adabound_could_decouple_it(make_spec):
    """Its plan too: the same trials, and with controls."""
    flag = "decoupled_weight_decay"
    typed = {"optimizers": ["adam", "adabound"], "weight_decay": {"log": [1e-4, 1e-2]}, "controls": True}
    now = make_spec(**typed)
    assert now.spaces["adabound"][flag] == {"value": True}
    begun_space = {name: each for name, each in now.spaces["adabound"].items() if name != flag}
    begun = now.model_copy(update={"spaces": {**now.spaces, "adabound": begun_space}})
    resumed = KIND.with_stored_settings(now, begun.identity())
    assert resumed == begun
    assert [trial.id for trial in KIND.next_trials(resumed, pd.DataFrame())] == [
        trial.id for trial in KIND.next_trials(begun, pd.DataFrame())
    ]
    tuned = {trial.optimizer: trial.hyperparameters for trial in KIND.next_trials(resumed, pd.DataFrame())}
    assert flag in tuned["adam"] and flag not in tuned["adabound"]
    added = more_optimizers(begun, ["amsbound"], {})
    assert (added.spaces["adabound"], added.spaces["amsbound"][flag]) == (begun_space, {"value": True})
    assert KIND.with_stored_settings(make_spec(**typed), now.identity()) == now


def test_other_data_is_refused(tiny_spec, tiny):
    spec = tiny_spec()
    assert with_data(BegunStudy(KIND, spec, {}, False, frozenset(), 1), None, None) == spec
    other = spec.model_copy(update={"data_digest": "feed"})
    with pytest.raises(SettingsError, match=rf"its data set has changed \({tiny.name}: annotations feed -> "):
        with_data(BegunStudy(KIND, other, {}, False, frozenset(), 1), None, None)


def test_other_weights_are_refused(tiny_spec, tmp_path):
    file = tmp_path / "first.safetensors"
    file.write_bytes(b"as it was")
    digest = weights_digest({"weights": Setting(file, "here")})
    spec = tiny_spec().model_copy(update={"weights": file, "weights_digest": digest})
    assert with_data(BegunStudy(KIND, spec, {}, False, frozenset(), 1), None, None) == spec
    file.write_bytes(b"as it is")
    with pytest.raises(SettingsError, match=rf"has changed \(digest {digest} -> "):
        with_data(BegunStudy(KIND, spec, {}, False, frozenset(), 1), None, None)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("cpu", "another machine (cpu: 'Abacus' -> "),
        ("gpu", "another machine (gpu: 'Abacus' -> "),
        ("cores", "another machine (cores: 'Abacus' -> "),
        ("torch", "other versions (torch: 'Abacus' -> "),
        ("posebench", "other versions (posebench: 'Abacus' -> "),
        ("python", "other versions (python: 'Abacus' -> "),
    ],
)
def test_another_class_of_machine_and_other_versions_are_refused(make_spec, name, words):
    here = fingerprint()
    refuse_other_machine(
        BegunStudy(KIND, make_spec(), {**here, "os": "Plan 9", "memory_gib": "1"}, True, frozenset(), 1), here
    )
    with pytest.raises(SettingsError) as refused:
        refuse_other_machine(BegunStudy(KIND, make_spec(), {**here, name: "Abacus"}, True, frozenset(), 1), here)
    assert words in str(refused.value)
    assert str(refused.value).count("\n") == 0


@pytest.mark.parametrize(
    ("sessions", "workers"),
    [
        ([], 1),
        ([(2, 3, False), (1, 5, False)], 3),
        ([(1, 3, False), (2, 9, True)], 3),
        ([(1, 3, False), (2, 5, None), (3, 9, True)], 5),
        ([(1, 9, True)], 0),
    ],
)
def test_a_study_goes_on_with_as_many_workers_as_its_own_latest_command(sessions, workers):
    """(Begin, trials at once, whether it has joined); earlier versions did not note the last."""
    table = pd.DataFrame(sessions, columns=["began_ms", "workers", "joined"])
    assert _workers_before(table) == workers
    assert _workers_before(table.assign(engine=None)) == workers
    assert _workers_before(table.assign(engine="ray")) == 1


def test_other_versions_of_the_packages_of_its_optimizers_are_refused(make_spec):
    spec = make_spec().model_copy(
        update={"optimizers": ("adam", "pytest.Lion", "mine.SAM(pytest:Ours)+torch.optim.SGD")}
    )
    assert spec.optimizer_modules == ("pytest", "mine")
    here = fingerprint(spec.optimizer_modules)
    assert here == {**fingerprint(), "pytest": importlib.metadata.version("pytest")}, "mine is a module of the folder"
    begun = BegunStudy(KIND, spec, {**here, "pytest": "0.1"}, True, frozenset(), 1)
    with pytest.raises(SettingsError, match=r"other versions \(pytest: '0.1' -> "):
        refuse_other_machine(begun, here)
    refuse_other_machine(BegunStudy(KIND, spec, fingerprint(), True, frozenset(), 1), here)


def test_the_study_s_run_gets_the_versions_of_packages_of_added_optimizers(tracking_uri, valley_spec):
    spec = valley_spec()
    tracker = Tracker(tracking_uri, spec.name)
    tracker.open_study(spec, {"cpu": "one"})
    more = spec.model_copy(update={"tunings": spec.tunings + 1})
    tracker.open_study(more, {"cpu": "another", "lion-pytorch": "0.2"}, earlier=[spec.identity()])
    assert tracker.machine() == {"cpu": "one", "lion-pytorch": "0.2"}


@pytest.mark.long
def test_on_another_machine_nothing_is_changed(posebench, valley_file, stores):
    assert posebench(*VALLEY_STUDY, "--study", valley_file(), *SHORT, "--name", "mine")[0] == 0
    client = mlflow.MlflowClient(tracking_uri=stores)
    experiment = client.get_experiment_by_name("mine").experiment_id
    (parent,) = client.search_runs([experiment], "tags.`posebench.study` LIKE '%'")
    cpu = parent.data.tags["machine.cpu"]
    client.set_tag(parent.info.run_id, "machine.cpu", "Abacus")
    for command in (("extend", "mine", "--tunings", 3), ("optimizers", "--add", OWN, "mine")):
        code, _, err = posebench("study", *command)
        assert (code, "was begun on another machine (cpu: 'Abacus' -> " in err) == (2, True)
    code, out, _ = posebench("study", "status", "mine", "--json")
    assert (json.loads(out)["status"], json.loads(out)["trials"]["planned"]) == ("complete", 8)
    client.set_tag(parent.info.run_id, "machine.cpu", cpu)
    code, out, err = posebench("study", "extend", "mine", "--tunings", 3, "--json")
    assert (code, json.loads(out)["spec"]["tunings"]) == (0, 3), err
    tags = client.get_run(parent.info.run_id).data.tags
    assert tags["posebench.extended"] == "looks: none -> [2]; tunings: 2 -> 3"
    assert json.loads(tags["posebench.spec"])["tunings"] == 3
    assert client.get_run(parent.info.run_id).data.params["tunings"] == "2", "MLflow's parameters say how it began"


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (("study", "resume", "nobody"), "there is no study 'nobody'"),
        (("study", "optimizers", "--add", "adam"), "needs the name of the study at the end"),
        (("study", "optimizers", "--add", "adam"), "for --add:"),
        (("study", "optimizers", "mine"), "posebench study resume mine"),
        (("study", "optimizers", "mine"), "for STUDY:"),
        (("study", "optimizers", "--add", "adam", "mine", "--steps", 3), "leave --steps out"),
        (("study", "optimizers", "--add", "adam", "mine", "--dry-run"), "leave --dry-run out"),
    ],
)
def test_what_cannot_be_meant_is_refused(posebench, stores, command, words):
    code, _, err = posebench(*command)
    assert code == 2
    assert words in " ".join(err.replace("│", " ").split())


def searched(name):
    """The search trials of a study and their runs, in their order."""
    found = pd.read_csv(Path("reports", name, "records.csv"))
    rows = found[found["phase"] == "search"].sort_values("index")
    return [*zip(rows["index"], rows["trial_id"], rows["run_id"], strict=True)]


@pytest.mark.long
def test_a_joint_study_keeps_its_places(posebench, valley_file, stores):
    arguments = ("study", "joint", "--preset", "smoke", "--device", "cpu", "--optimizers", "sgd,adam", "--seeds", 1)
    arguments += ("--study", valley_file(), "--images", 64, "--num-workers", 0, "--name", "both", "--json")
    code, out, err = posebench(*arguments, "--trials", 4)
    assert code == 0, err
    first = searched("both")
    assert len(first) == 4
    code, out, err = posebench("study", "extend", "both", "--trials", 7, "--json")
    assert code == 0, err
    found = json.loads(out)
    assert found["spec"]["trials"] == 7
    assert found["trials"]["complete"] == found["trials"]["recorded"]
    code, out, _ = posebench("study", "status", "both", "--json")
    assert (json.loads(out)["status"], json.loads(out)["phases"]["search"]["done"]) == ("complete", 7)
    assert searched("both")[:4] == first, "the same runs of MLflow, in the same places"
    again = posebench(*arguments, "--trials", 4)
    assert (again[0], "`posebench study resume both` goes on with it" in again[2]) == (2, True)
    assert posebench(*arguments, "--trials", 7)[0] == 0
    larger = posebench(*arguments, "--trials", 9)
    assert (larger[0], "`posebench study extend both --trials 9` makes it larger" in larger[2]) == (2, True)


def test_a_joint_study_s_first_places_are_those_it_was_begun_with(hermetic, tiny):
    spec = asked.prepared("joint", {"data": tiny, "size": 64, "device": "cpu"}, None, "smoke", None).spec
    larger = JOINT.extend(spec, {"trials": spec.trials + 5}, finished_amounts={3})
    again = JOINT.extend(larger, {"trials": spec.trials + 9}, finished_amounts={3})
    ids = [[slot.id for slot in plan_search(each)] for each in (spec, larger, again)]
    assert ids[0] == ids[1][: len(ids[0])] == ids[2][: len(ids[0])]
    assert ids[1] == ids[2][: len(ids[1])]


@pytest.mark.long
def test_a_look_is_not_lost_while_an_optimizer_is_added(posebench, valley_file, stores, monkeypatch):
    """The study had ended with two tunings; then its larger self is interrupted, and extended."""
    assert posebench(*VALLEY_STUDY, "--study", valley_file(), *SHORT, "--name", "mine")[0] == 0

    def interrupt(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(ledger_runner.Planner, "plan_from", interrupt)
        assert posebench("study", "optimizers", "--add", OWN, "mine")[0] == 130
    code, out, err = posebench("study", "extend", "mine", "--tunings", 3, "--json")
    assert (code, json.loads(out)["spec"]["looks"]) == (0, [2]), err


def test_what_is_typed_wrong_changes_nothing(posebench, valley_file, stores):
    one = ("--study", valley_file(), "--optimizers", "sgd", "--name", "mine")
    assert posebench(*VALLEY_STUDY, *SHORT, *one)[0] == 0
    for without_tunings in (("--trials", 3), ()):
        code, _, err = posebench("study", "extend", "mine", *without_tunings)
        assert code == 2
        assert "a study of kind optimizers is extended by --tunings" in " ".join(err.replace("│", " ").split())
    for command in (("extend", "mine", "--tunings", 3), ("optimizers", "--add", OWN, "mine")):
        code, _, err = posebench("study", *command, "--workers", "x")
        assert (code, "workers: " in err) == (2, True)
    code, out, _ = posebench("study", "status", "mine", "--json")
    assert (json.loads(out)["status"], json.loads(out)["trials"]["planned"]) == ("complete", 4)


def test_a_loader_study_of_an_own_data_set_is_found_again(hermetic):
    name = "tests.support.own_datasets:Sound"
    spec = asked.prepared("loaders", {"dataset": name, "device": "cpu"}, None, "smoke", None).spec
    assert with_data(BegunStudy(LOADERS, spec, {}, False, frozenset(), 1), None, None) == spec
