"""Our AdaBound, AMSBound and AdaBoundW: the `adabound` package's numbers, without the package's faults."""

import copy
import math
import pickle
import warnings
from functools import cache

import pytest
import torch
from adabound import AdaBound as Package
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import Parameter
from torch.optim.lr_scheduler import LambdaLR

from bench.optimizers import adabound
from bench.optimizers.adabound import AdaBound, AdaBoundW, AMSBound
from bench.optimizers.implementation import implementation_of
from tests.support.examples import few
from tests.support.long_tests import long

SHAPES = [(), (7,), (8, 3, 3, 3), (60, 1000)]
"""The largest is taken in chunks, which are a tenth of what they are: see `small_chunks`."""
REAL_SHAPES, REAL_CHUNK = [*SHAPES[:-1], (600, 1000)], adabound.CHUNK_PER_THREAD
STEPS = 200


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch):
    """Ten times larger tensors, in chunks of their real size, take ten times as long."""
    monkeypatch.setattr(adabound, "CHUNK_PER_THREAD", adabound.CHUNK_PER_THREAD // 10)


def make_weights(*, dtype=torch.float32, seed=0):
    """Tensors of several shapes, the last one channels_last."""
    generator = torch.Generator().manual_seed(seed)
    tensors = [torch.randn(shape, generator=generator) for shape in SHAPES]
    tensors.append(torch.randn(16, 8, 3, 3, generator=generator).contiguous(memory_format=torch.channels_last))
    return [Parameter(tensor.to(dtype)) for tensor in tensors]


@cache
def made_up_noise():
    """Never written to."""
    return torch.randn(1_000_003, generator=torch.Generator().manual_seed(1)) * 0.1


def train(optimizer, weights, *, steps, schedule=None, first=0):
    """Steps with made-up gradients that depend on the number of the step alone, in the layout of the weights."""
    noise = made_up_noise()
    for number in range(first, first + steps):
        for weight in weights:
            begin = number * 1009  # other numbers at each step, cheaply
            gradient = noise[begin : begin + weight.numel()].view(weight.shape)
            weight.grad = torch.empty_like(weight).copy_(gradient)
        optimizer.step()
        if schedule is not None:
            schedule.step()


def distance(ours, theirs):
    """The largest of max |a - b| / max |b| over the tensors."""
    return max(((a - b).abs().max() / b.abs().max()).item() for a, b in zip(ours, theirs, strict=True))


def one_weight(value=1.0):
    return Parameter(torch.full((3,), value))


def push(optimizer, *weights, gradient=0.5):
    for weight in weights:
        weight.grad = torch.full_like(weight, gradient)
    optimizer.step()


@pytest.mark.filterwarnings("ignore:This overload of")
@pytest.mark.parametrize("scheduled", [long(False), True])
@pytest.mark.parametrize("amsbound", [False, True])
@pytest.mark.parametrize("weight_decay", [long(0.0), 0.01])
def test_200_steps_are_those_of_the_package(weight_decay, amsbound, scheduled):
    ends = []
    for kind in (AdaBound, Package):
        weights = make_weights()
        optimizer = kind(weights, lr=1e-2, gamma=1e-2, weight_decay=weight_decay, amsbound=amsbound)
        # Warm-up, then down to a tenth: final_lr follows.
        schedule = LambdaLR(optimizer, lambda step: min((step + 1) / 20, 1 - 0.9 * step / STEPS)) if scheduled else None
        train(optimizer, weights, steps=STEPS, schedule=schedule)
        ends.append(weights)
    assert distance(*ends) <= 1e-6
    assert distance(ends[0], make_weights()) > 0.05  # they have gone somewhere


@pytest.mark.long
@pytest.mark.filterwarnings("ignore:This overload of")
@pytest.mark.parametrize("scheduled", [False, True])
@pytest.mark.parametrize("amsbound", [False, True])
@pytest.mark.parametrize("weight_decay", [0.0, 0.01])
def test_200_steps_in_chunks_of_their_real_size(weight_decay, amsbound, scheduled, monkeypatch):
    monkeypatch.setattr(adabound, "CHUNK_PER_THREAD", REAL_CHUNK)
    monkeypatch.setitem(globals(), "SHAPES", REAL_SHAPES)
    test_200_steps_are_those_of_the_package(weight_decay, amsbound, scheduled)


def test_amsbound_is_adabound_with_the_flag():
    ends = []
    for kind, arguments in ((AMSBound, {}), (AdaBound, {"amsbound": True}), (AdaBound, {})):
        weights = make_weights()
        # Gradients that fade: only then is the largest second moment not the last.
        optimizer = kind(weights, lr=1e-2, betas=(0.9, 0.5), **arguments)
        train(optimizer, weights, steps=20)
        ends.append(weights)
    assert distance(ends[0], ends[1]) == 0
    assert distance(ends[0], ends[2]) > 1e-4


@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"amsbound": True},
        {"weight_decay": 0.1, "maximize": True},
        {"weight_decay": 0.1, "amsbound": True},
        {"weight_decay": 0.1, "decoupled_weight_decay": True},
        {"weight_decay": 0.1, "decoupled_weight_decay": True, "amsbound": True, "maximize": True},
    ],
)
def test_all_at_once_in_chunks_and_whole_give_the_same_numbers(arguments, monkeypatch):
    ends = []
    for foreach, small, chunk in ((True, 0, 1), (False, 0, 1000), (False, 0, 2**30), (False, 1000, 1000)):
        monkeypatch.setattr(adabound, "SMALL", small)
        monkeypatch.setattr(adabound, "CHUNK_PER_THREAD", chunk)
        weights = make_weights()
        optimizer = AdaBound(weights, lr=1e-2, foreach=foreach, **arguments)
        train(optimizer, weights[:2], steps=2)  # so that steps differ between the tensors
        train(optimizer, weights, steps=20)
        ends.append(weights)
    assert [distance(ends[0], end) for end in ends[1:]] == [0, 0, 0]


def test_a_tensor_in_any_dense_order_is_taken_in_chunks_of_its_memory(monkeypatch):
    monkeypatch.setattr(adabound, "CHUNK_PER_THREAD", 100)
    for layout in (torch.contiguous_format, torch.channels_last):
        weight = torch.arange(16 * 8 * 9.0).view(16, 8, 3, 3).contiguous(memory_format=layout)
        pieces = [piece for (piece,) in adabound._pieces([weight])]
        assert {len(piece) for piece in pieces[:-1]} == {100 * torch.get_num_threads()}
        pieces[-1].zero_()  # a view
        assert weight[-1, -1, -1, -1] == 0


@pytest.mark.parametrize(
    "make", [lambda: torch.ones(9, 4)[:, ::2], lambda: torch.ones(4, 9).t(), lambda: torch.ones(0)]
)
def test_any_layout_of_weight_and_gradient_is_updated(make, monkeypatch):
    monkeypatch.setattr(adabound, "SMALL", 0)
    monkeypatch.setattr(adabound, "CHUNK_PER_THREAD", 4)
    weight, plain = Parameter(make()), Parameter(torch.ones(make().shape))
    for each in (weight, plain):
        optimizer = AdaBound([each], lr=0.1)
        push(optimizer, each)
        each.grad = torch.full(each.shape, 0.25)  # contiguous, whatever the weight is
        optimizer.step()
    assert torch.equal(weight, plain)
    assert (weight < 1).all()


# --- decoupled weight decay -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "coupled", "decoupled"),
    [
        # Adam's first step is lr, whatever the gradient: 2 - 0.1, and 2 x (1 - 0.1 x 0.5) - 0.1.
        ({"lr": 0.1, "gamma": 0.0, "eps": 0.0}, 1.9, 1.8),
        # The upper bound holds, 0.1 x (1 + 1 / 0.5) = 0.3. Coupled the gradient is 0.5 + 0.5 x 2 = 1.5 and the mean a
        # tenth of it: 2 - 0.3 x 0.15. Decoupled the mean is 0.05: 2 x (1 - 1 x 0.5) - 0.3 x 0.05.
        ({"lr": 1.0, "gamma": 0.5}, 1.955, 0.985),
    ],
)
@pytest.mark.parametrize("kind", [AdaBound, AMSBound])
def test_one_step_with_decay_by_hand(kind, arguments, coupled, decoupled):
    for flag, expected in ((False, coupled), (True, decoupled)):
        weight = Parameter(torch.full((3,), 2.0, dtype=torch.float64))
        push(kind([weight], weight_decay=0.5, decoupled_weight_decay=flag, **arguments), weight)
        assert weight.tolist() == pytest.approx([expected] * 3, rel=1e-12)


@pytest.mark.filterwarnings("ignore:This overload of")
@pytest.mark.parametrize("amsbound", [False, True])
def test_200_steps_are_those_of_the_package_if_weights_shrink_before_each(amsbound):
    ours, theirs = make_weights(), make_weights()
    arguments = {"lr": 1e-2, "gamma": 1e-2, "amsbound": amsbound}
    own, package = AdaBoundW(ours, weight_decay=0.5, **arguments), Package(theirs, **arguments)
    schedules = [LambdaLR(each, lambda step: min((step + 1) / 20, 1 - 0.9 * step / STEPS)) for each in (own, package)]
    for number in range(STEPS):
        with torch.no_grad():
            for weight in theirs:
                weight *= 1 - package.param_groups[0]["lr"] * 0.5
        train(package, theirs, steps=1, first=number, schedule=schedules[1])
    train(own, ours, steps=STEPS, schedule=schedules[0])
    assert distance(ours, theirs) <= 1e-6
    plain = make_weights()
    train(AdaBoundW(plain, **arguments), plain, steps=STEPS)
    assert distance(ours, plain) > 0.05


@pytest.mark.parametrize("foreach", [long(False), True])
@pytest.mark.parametrize("amsbound", [False, True])
def test_200_steps_are_those_of_another_package(amsbound, foreach):
    other = pytest.importorskip("pytorch_optimizer").AdaBound
    ours, theirs = make_weights(dtype=torch.float64), make_weights(dtype=torch.float64)
    arguments = {"lr": 1e-2, "gamma": 1e-2, "weight_decay": 0.5}
    train(AdaBoundW(ours, amsbound=amsbound, **arguments), ours, steps=STEPS)
    optimizer = other(theirs, ams_bound=amsbound, weight_decouple=True, foreach=foreach, **arguments)
    train(optimizer, theirs, steps=STEPS)
    assert distance(ours, theirs) <= 1e-6  # it adds 1e-15 to the second moment


def test_gamma_0_with_decoupled_decay_is_adamw():
    ours, theirs = make_weights(dtype=torch.float64), make_weights(dtype=torch.float64)
    train(AdaBoundW(ours, lr=1e-2, gamma=0.0, eps=1e-30, weight_decay=0.3), ours, steps=10)
    train(torch.optim.AdamW(theirs, lr=1e-2, eps=1e-30, weight_decay=0.3), theirs, steps=10)
    assert distance(ours, theirs) < 1e-12


@few(10, of=30)
@given(
    lr=st.floats(1e-4, 1.0),
    weight_decay=st.floats(1e-6, 1.0),
    final_lr=st.floats(1e-3, 10.0),
    gamma=st.floats(0.0, 0.5),
    betas=st.tuples(st.floats(0.0, 0.99), st.floats(0.5, 0.999)),
    flags=st.fixed_dictionaries({name: st.booleans() for name in ("amsbound", "scale_final_lr", "maximize")}),
)
def test_decoupled_decay_shrinks_the_weights_and_nothing_else(lr, weight_decay, final_lr, gamma, betas, flags):
    """To the bit, in each implementation; the rate falls in between."""
    arguments = {"lr": lr, "final_lr": final_lr, "gamma": gamma, "betas": betas, **flags}
    ends = []
    for foreach, chunk, small in ((True, 1, 0), (False, 20, 0), (False, 2**30, 0), (False, 20, 10)):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(adabound, "SMALL", small)
            patch.setattr(adabound, "CHUNK_PER_THREAD", chunk)
            ours, plain = make_weights()[:3], make_weights()[:3]
            own = AdaBoundW(ours, weight_decay=weight_decay, foreach=foreach, **arguments)
            other = AdaBound(plain, foreach=foreach, **arguments)
            for number, rate in enumerate((lr, lr, 0.1 * lr)):
                for optimizer in (own, other):
                    optimizer.param_groups[0]["lr"] = rate
                with torch.no_grad():
                    for weight in plain:
                        weight *= 1 - rate * weight_decay
                train(own, ours, steps=1, first=number)
                train(other, plain, steps=1, first=number)
            assert all(map(torch.equal, ours, plain))
            ends.append(ours)
    assert all(torch.equal(*pair) for end in ends[1:] for pair in zip(ends[0], end, strict=True))


def test_adaboundw_is_adabound_with_the_flag_and_decays_by_its_group_s_rate():
    ends = []
    for kind, arguments in ((AdaBoundW, {}), (AdaBound, {"decoupled_weight_decay": True})):
        fast, slow, exempt = one_weight(), one_weight(), one_weight()
        groups = [{"params": [fast]}, {"params": [slow], "lr": 0.1}, {"params": [exempt], "weight_decay": 0.0}]
        push(kind(groups, lr=0.2, weight_decay=0.5, **arguments), fast, slow, exempt, gradient=0.0)
        ends.append([weight[0].item() for weight in (fast, slow, exempt)])
    assert ends == [pytest.approx([0.9, 0.95, 1.0])] * 2
    assert AdaBoundW([one_weight()]).defaults == {**AdaBound([one_weight()]).defaults, "decoupled_weight_decay": True}


def test_nothing_decays_at_a_rate_of_0():
    weight = one_weight()
    push(AdaBoundW([weight], lr=0.0, weight_decay=0.5), weight)
    assert torch.equal(weight, one_weight())


@pytest.mark.parametrize(("kind", "decouples"), [(AdaBound, False), (AMSBound, False), (AdaBoundW, True)])
def test_a_state_that_does_not_say_how_its_weights_decay_goes_by_the_class(kind, decouples):
    """One of an earlier version: a pickle, and a state dict that is loaded into an optimizer with another flag."""
    weight = one_weight()
    optimizer = kind([weight], lr=0.1, weight_decay=0.5)
    push(optimizer, weight)
    del optimizer.param_groups[0]["decoupled_weight_decay"], optimizer.defaults["decoupled_weight_decay"]
    loaded_weight, loaded = pickle.loads(pickle.dumps((weight, optimizer)))
    loaded.add_param_group({"params": [one_weight()]})
    assert [group["decoupled_weight_decay"] for group in loaded.param_groups] == [decouples] * 2
    push(loaded, loaded_weight)
    resumed_weight = copy.deepcopy(weight)
    resumed = kind([resumed_weight], **({} if decouples else {"decoupled_weight_decay": True}))
    resumed.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    push(resumed, resumed_weight)
    assert torch.equal(resumed_weight, loaded_weight)


@pytest.mark.parametrize("decoupled", [False, True])
def test_copies_and_states_keep_how_weights_decay(decoupled):
    weight = one_weight()
    optimizer = AMSBound([weight], lr=0.1, weight_decay=0.5, decoupled_weight_decay=decoupled)
    push(optimizer, weight)
    copies = [copy.deepcopy((weight, optimizer)), pickle.loads(pickle.dumps((weight, optimizer)))]
    loaded = copy.deepcopy(weight)
    copies.append((loaded, AMSBound([loaded], decoupled_weight_decay=not decoupled)))
    copies[-1][1].load_state_dict(copy.deepcopy(optimizer.state_dict()))
    push(optimizer, weight)
    for other, copied in copies:
        push(copied, other)
        assert torch.equal(other, weight)


# --- what the package gets wrong ----------------------------------------------------------------------------------


def a_group_added_later_is_updated_by_its_own_rate(kind):
    early, late, alone = one_weight(), one_weight(), one_weight()
    optimizer = kind([early], lr=1e-3)
    optimizer.add_param_group({"params": [late], "lr": 1e-2})
    push(optimizer, early, late)
    push(kind([alone], lr=1e-2), alone)
    assert torch.equal(late, alone)
    assert (early > late).all()


def goes_on_alike(kind, copied):
    """A copy made after the rate has been lowered goes on as the original does."""
    weight = one_weight()
    optimizer = kind([weight], lr=1e-2, gamma=0.5)
    push(optimizer, weight)
    optimizer.param_groups[0]["lr"] = 1e-3
    other_weight, other = copied(weight, optimizer)
    push(optimizer, weight)
    push(other, other_weight)
    assert torch.equal(other_weight, weight)


def a_deep_copy_keeps_the_base_rate(kind):
    goes_on_alike(kind, lambda weight, optimizer: copy.deepcopy((weight, optimizer)))


def a_pickle_keeps_the_base_rate(kind):
    goes_on_alike(kind, lambda weight, optimizer: pickle.loads(pickle.dumps((weight, optimizer))))


def a_state_dict_has_the_base_rate(kind):
    def copied(weight, optimizer):
        other_weight = copy.deepcopy(weight)
        other = kind([other_weight], lr=1e-3, gamma=0.5)  # as a script does that resumes at the lowered rate
        other.load_state_dict(copy.deepcopy(optimizer.state_dict()))
        return other_weight, other

    goes_on_alike(kind, copied)


def no_weight_moves_at_a_rate_of_0(kind):
    weight = one_weight()
    optimizer = kind([weight], lr=0.0)
    push(optimizer, weight)
    assert torch.equal(weight, one_weight())
    optimizer.param_groups[0]["lr"] = 1e-3
    push(optimizer, weight)
    assert (weight < 1).all()
    assert weight.isfinite().all()


def nothing_deprecated_is_called(kind):
    weight = one_weight()
    optimizer = kind([weight], weight_decay=0.1)
    torch.set_warn_always(True)  # PyTorch warns once in a process
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            push(optimizer, weight)
    finally:
        torch.set_warn_always(False)


FAULTS = {
    a_group_added_later_is_updated_by_its_own_rate: AssertionError,
    a_deep_copy_keeps_the_base_rate: AttributeError,
    a_pickle_keeps_the_base_rate: AttributeError,
    a_state_dict_has_the_base_rate: AssertionError,
    no_weight_moves_at_a_rate_of_0: ZeroDivisionError,
    nothing_deprecated_is_called: UserWarning,
}
"""What holds for ours, and how it ends with the package."""


@pytest.mark.parametrize("holds", FAULTS)
@pytest.mark.parametrize("kind", [AdaBound, AMSBound, AdaBoundW])
def test_what_the_package_gets_wrong_holds_for_ours(kind, holds):
    holds(kind)


@pytest.mark.filterwarnings("ignore:This overload of")
@pytest.mark.parametrize(("holds", "fault"), FAULTS.items())
def test_the_package_gets_it_wrong(holds, fault):
    with pytest.raises(fault):
        holds(Package)


# --- PyTorch's conventions ------------------------------------------------------------------------------------------


def test_final_lr_follows_the_rate_unless_told_not_to():
    # At gamma = 0.999 and t = 2000 the bounds are within 0.1 % of final_lr; with beta1 = 0 the step is final_lr * g.
    moved = {}
    for scale in (True, False):
        weight = one_weight(0.0)
        optimizer = AdaBound([weight], lr=1e-2, betas=(0.0, 0.999), final_lr=0.1, gamma=0.999, scale_final_lr=scale)
        push(optimizer, weight)
        optimizer.state[weight]["step"].fill_(2000)
        optimizer.param_groups[0]["lr"] = 1e-3
        before = weight.detach().clone()
        push(optimizer, weight, gradient=1.0)
        moved[scale] = (before - weight)[0].item()
    assert moved == {True: pytest.approx(0.01, rel=2e-3), False: pytest.approx(0.1, rel=2e-3)}


def test_gamma_0_is_adam():
    # But for eps, which later versions of Adam add to the corrected root.
    ours, theirs = make_weights(dtype=torch.float64), make_weights(dtype=torch.float64)
    train(AdaBound(ours, lr=1e-3, gamma=0.0, eps=1e-30), ours, steps=10)
    train(torch.optim.Adam(theirs, lr=1e-3, eps=1e-30), theirs, steps=10)
    assert distance(ours, theirs) < 1e-12


def test_moments_go_on_while_the_rate_is_0():
    weight = one_weight()
    optimizer = AdaBound([weight], lr=1e-2)
    optimizer.param_groups[0]["lr"] = 0.0
    push(optimizer, weight)
    state = optimizer.state[weight]
    assert state["step"].item() == 1
    assert (state["exp_avg"] > 0).all()
    assert torch.equal(weight, one_weight())


def test_the_rate_of_a_group_that_began_at_0_leaves_final_lr_alone():
    weight, other = one_weight(), one_weight()
    risen = AdaBound([weight], lr=0.0)
    risen.param_groups[0]["lr"] = 1e-3
    push(risen, weight)
    push(AdaBound([other], lr=1e-3), other)
    assert torch.equal(weight, other)


def test_a_group_without_gradients_leaves_the_next_one_its_step():
    still, moving = one_weight(), one_weight()
    optimizer = AdaBound([{"params": [still]}, {"params": [moving]}])
    push(optimizer, moving)
    assert torch.equal(still, one_weight())
    assert not torch.equal(moving, one_weight())


def test_steps_are_counted_for_each_weight_and_weights_without_gradient_stay():
    often, seldom, never = one_weight(), one_weight(), one_weight()
    optimizer = AdaBound([often, seldom, never])
    push(optimizer, often)
    push(optimizer, often, seldom)
    assert [optimizer.state[weight]["step"].item() for weight in (often, seldom)] == [2, 1]
    assert never not in optimizer.state
    assert torch.equal(never, one_weight())


def test_maximize_climbs():
    up, down = one_weight(0.0), one_weight(0.0)
    push(AdaBound([up], maximize=True), up)
    push(AdaBound([down]), down)
    assert torch.equal(up, -down)
    assert (up > 0).all()


def test_a_closure_is_called_with_gradients_on_and_its_loss_returned():
    weight = one_weight()
    optimizer = AdaBound([weight])

    def closure():
        optimizer.zero_grad()
        loss = weight.square().sum()
        loss.backward()
        return loss

    assert optimizer.step(closure).item() == 3.0
    assert (weight < 1).all()


@pytest.mark.parametrize("kind", [AdaBound, AMSBound, AdaBoundW])
def test_sparse_and_complex_are_refused(kind):
    weight = one_weight()
    weight.grad = torch.ones(3).to_sparse()
    with pytest.raises(RuntimeError, match=f"{kind.__name__} does not support sparse gradients"):
        kind([weight]).step()
    weight = Parameter(torch.ones(3, dtype=torch.complex64))
    weight.grad = torch.ones_like(weight)
    with pytest.raises(RuntimeError, match=f"{kind.__name__} does not support complex"):
        kind([weight]).step()


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"lr": -1.0}, "learning rate: -1.0"),
        ({"lr": math.nan}, "learning rate: nan"),
        ({"betas": (1.0, 0.9)}, "index 0: 1.0"),
        ({"betas": (0.9, -0.1)}, "index 1: -0.1"),
        ({"final_lr": -0.1}, "final_lr value: -0.1"),
        ({"gamma": 1.0}, "gamma value: 1.0"),
        ({"eps": -1e-8}, "epsilon value: -1e-08"),
        ({"weight_decay": -0.1}, "weight_decay value: -0.1"),
    ],
)
def test_a_value_out_of_range_is_refused_in_the_constructor_and_in_a_group(wrong, words):
    with pytest.raises(ValueError, match=f"Invalid .*{words}"):
        AMSBound([one_weight()], **wrong)
    optimizer = AdaBound([one_weight()])
    with pytest.raises(ValueError, match=f"Invalid .*{words}"):
        optimizer.add_param_group({"params": [one_weight()], **wrong})
    assert len(optimizer.param_groups) == 1


@pytest.mark.parametrize("final_lr", [0.0, 1e-45, 0.1])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_extreme_bounds_keep_weights_finite(final_lr, dtype):
    weight = Parameter(torch.ones(3, dtype=dtype))
    optimizer = AdaBound([weight], lr=1.0, final_lr=final_lr, gamma=1e-6, eps=1e-4)
    for _ in range(3):
        push(optimizer, weight)
    assert weight.isfinite().all()


@pytest.mark.filterwarnings("ignore:This overload of")
def test_a_checkpoint_of_the_package_goes_on():
    theirs, ours = make_weights(), make_weights()
    package = Package(theirs, lr=1e-2)
    train(package, theirs, steps=5)
    with torch.no_grad():
        for weight, other in zip(ours, theirs, strict=True):
            weight.copy_(other)
    optimizer = AdaBound(ours, lr=1e-2)
    optimizer.load_state_dict(copy.deepcopy(package.state_dict()))
    train(package, theirs, steps=5, first=5)
    train(optimizer, ours, steps=5, first=5)
    assert distance(ours, theirs) <= 1e-6


@pytest.mark.filterwarnings("ignore:This overload of")
@pytest.mark.parametrize("scheduled", [False, True])
def test_a_checkpoint_of_the_package_after_the_rate_was_lowered_goes_on(scheduled):
    """By hand the state has the lowered rate alone: the package goes by its constructor's, and so does ours."""
    weight = one_weight()
    package = Package([weight], lr=1e-2, gamma=0.5)
    if scheduled:
        LambdaLR(package, lambda step: 1.0)  # notes `initial_lr`
    push(package, weight)
    package.param_groups[0]["lr"] = 1e-3
    saved = copy.deepcopy(package.state_dict())
    other = copy.deepcopy(weight)
    ours = AdaBound([other], lr=5e-2 if scheduled else 1e-2, gamma=0.5)
    ours.load_state_dict(saved)
    assert ours.param_groups[0]["base_lr"] == 1e-2
    push(package, weight)
    push(ours, other)
    assert distance([other], [weight]) <= 1e-6


def test_an_old_pickle_without_base_rates_goes_by_its_rate():
    optimizer = AdaBound([one_weight()], lr=1e-2)
    del optimizer.param_groups[0]["base_lr"]
    assert pickle.loads(pickle.dumps(optimizer)).param_groups[0]["base_lr"] == 1e-2


@pytest.mark.filterwarnings("ignore:This overload of")
@pytest.mark.parametrize("foreach", [False, True])
def test_half_precision_has_no_nan_where_the_package_has_none(foreach):
    """eps and the least denominator are less than the smallest half: 0 / 0 where the gradient is 0."""

    def end(kind, **arguments):
        weight = Parameter(torch.ones(3, dtype=torch.float16))
        optimizer = kind([weight], lr=1e-5, gamma=1e-4, **arguments)
        for _ in range(3):
            weight.grad = torch.tensor([0, 0.1, 0.2], dtype=torch.float16)
            optimizer.step()
        return weight

    ours, theirs = end(AdaBound, final_lr=1.0, foreach=foreach), end(Package, final_lr=1.0)
    assert torch.equal(ours, theirs)
    assert ours[0] == 1
    assert end(AdaBound, final_lr=1e4, foreach=foreach).isfinite().all()  # too large for the package's halves


def test_steps_are_counted_in_float32_on_the_cpu_whatever_the_defaults_are():
    weight = one_weight()
    optimizer = AdaBound([weight])
    before = torch.get_default_dtype()
    for dtype in (torch.float64, torch.bfloat16):
        torch.set_default_dtype(dtype)
        try:
            with torch.device("meta"):
                fresh = AdaBound([weight])
                push(fresh, weight)
                fresh.load_state_dict(fresh.state_dict())
                optimizer.load_state_dict(fresh.state_dict())
        finally:
            torch.set_default_dtype(before)
        for each in (fresh, optimizer):
            step = each.state[weight]["step"]
            assert (step.dtype, step.device.type, step.item()) == (torch.float32, "cpu", 1)


def test_amsbound_can_be_switched_in_a_group_and_a_kept_maximum_counts_only_while_it_is_on(monkeypatch):
    ends = []
    for foreach, small, chunk in ((True, 0, 1), (False, 0, 1000), (False, 1000, 1000)):
        monkeypatch.setattr(adabound, "SMALL", small)
        monkeypatch.setattr(adabound, "CHUNK_PER_THREAD", chunk)
        weights = make_weights()
        optimizer = AdaBound(weights, lr=1e-2, betas=(0.9, 0.5), foreach=foreach)
        states = []
        for amsbound in (False, True, False, True):
            optimizer.param_groups[0]["amsbound"] = amsbound
            train(optimizer, weights, steps=5, first=len(states) * 5)
            states.append([weight.detach().clone() for weight in weights])
        ends.append(states)
    for states in ends[1:]:
        assert [distance(*pair) for pair in zip(ends[0], states, strict=True)] == [0] * 4
    plain = make_weights()
    optimizer = AdaBound(plain, lr=1e-2, betas=(0.9, 0.5), amsbound=True)
    train(optimizer, plain, steps=5)
    kept = [optimizer.state[weight]["max_exp_avg_sq"].clone() for weight in plain]
    optimizer.param_groups[0]["amsbound"] = False
    train(optimizer, plain, steps=5, first=5)
    assert all(torch.equal(optimizer.state[w]["max_exp_avg_sq"], old) for w, old in zip(plain, kept, strict=True))


def test_what_runs_is_said():
    weights = [one_weight()]
    assert implementation_of(AdaBound(weights)) == "bench.optimizers.adabound.AdaBound (chunks)"
    assert implementation_of(AMSBound(weights, foreach=True)) == "bench.optimizers.adabound.AMSBound (foreach)"
    assert implementation_of(AdaBoundW(weights)) == "bench.optimizers.adabound.AdaBoundW (chunks)"


@pytest.mark.skipif(not torch.cuda.is_available(), reason="skipped: no CUDA device")
@pytest.mark.parametrize("amsbound", [False, True])
@pytest.mark.parametrize(("kind", "weight_decay"), [(AdaBound, 0.0), (AdaBoundW, 0.1)])
def test_a_gpu_gives_the_cpu_s_numbers_and_takes_all_tensors_at_once(kind, weight_decay, amsbound):
    on_cpu = make_weights()
    on_gpu, one_by_one = ([Parameter(weight.detach().cuda()) for weight in make_weights()] for _ in range(2))
    arguments = {"lr": 1e-2, "amsbound": amsbound, "weight_decay": weight_decay}
    train(kind(on_cpu, **arguments), on_cpu, steps=STEPS)
    optimizer = kind(on_gpu, **arguments)
    train(optimizer, on_gpu, steps=STEPS)
    train(kind(one_by_one, foreach=False, **arguments), one_by_one, steps=STEPS)
    assert distance([weight.cpu() for weight in on_gpu], on_cpu) <= 1e-6
    assert distance(on_gpu, one_by_one) <= 1e-6
    assert implementation_of(optimizer) == f"bench.optimizers.adabound.{kind.__name__} (foreach)"
