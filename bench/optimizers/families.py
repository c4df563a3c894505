"""Known families of optimizers by class name: default search spaces, where they are published, and own schedules.

A range is published unless its comment says otherwise. Where a paper gives one value, the range reaches a power of ten
or two to either side of it. Rates are wider than AlgoPerf's (0.0001 to 0.01 for Adam and its relatives, Dahl et al.,
2023, whose spaces are in its repository under `paper_baselines`), as for our own Adam: trainings here are shorter, and
networks smaller. Equal ranges get equal points, so that relatives of Adam are tried with the same settings.

Weight decay is in no space: it is the study's, for all optimizers (`bench.optimizers.weight_decay`).
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from bench.optimizers.registry import ADAM_RATES, OPTIMIZERS
from bench.optimizers.space import Categorical, Fixed, Log, Space

OwnSchedule = Literal["constant", "fixed"]
RELATIVE_STEP = "relative_step"
"""Argument of several Adafactors with which they compute the rate themselves and ignore `lr`."""


@dataclass(frozen=True)
class Family:
    """Facts that hold for all classes of one name, in whatever package."""

    space: Space | None
    """Default space, of which a class takes the hyperparameters that it has; None: the learning rate alone."""
    source: str
    """Paper, with year."""
    schedule: OwnSchedule | None = None
    """Schedule that the method itself fixes: `constant` after a warm-up, or `fixed`, the method's own affair."""
    reason: str = ""
    """Why it has that schedule, where no paper fixes one; empty: the paper does."""
    times_sgd: tuple[float, float] | None = None
    """For a wrapper over SGD that replaces its momentum: its lowest and highest rate, as multiples of SGD's."""


def family_of(class_name: str) -> Family | None:
    """Return the family of a class by its own name, e.g. `Lion`, in upper or lower case; None if it is not known."""
    return FAMILIES.get(class_name.lower())


def fitting_space(family: Family, takes: Callable[[str], bool]) -> Space:
    """Return the part of a family's space that a class has; ``takes``: whether it has a hyperparameter by this name.

    An optimizer that computes its own relative steps has no use for `lr`.
    """
    space = {name: each for name, each in (family.space or {}).items() if takes(name)}
    if space.get(RELATIVE_STEP) == Fixed(True):
        space.pop("lr", None)
    return space


# AlgoPerf: 1 - beta1 from 0.02 to 0.5 for AdamW; 1 - beta2 as our own Adam.
_ADAM: Space = {"lr": ADAM_RATES, "one_minus_beta1": Log(0.02, 0.5), "one_minus_beta2": Log(5e-4, 0.1)}
# AlgoPerf's 1 - beta1 for NAdamW is 0.004 to 0.1, which ends at the default; here it goes on to the 0.5 of AdamW.
_NADAM: Space = {**_ADAM, "one_minus_beta1": Log(4e-3, 0.5)}
# Section 5 of the paper: rates 3 to 10 times smaller than AdamW's, and these two pairs of betas.
_LION: Space = {"lr": Log(1e-6, 1e-2), "betas": Categorical(((0.9, 0.99), (0.95, 0.98)))}
_LION_SOURCE = "Chen et al., NeurIPS 2023"

# The authors' write-ups: 0.02 for transformers, 0.24 for a network on CIFAR-10; 3e-4 in AdamW for what is no matrix.
# PyTorch's default, 0.001, is not at the border.
_MUON: Space = {"lr": Log(5e-4, 1.0), "adamw_lr": ADAM_RATES}
# These scale a matrix's update to the size of AdamW's, so that its rates are AdamW's.
_MUON_AS_ADAMW: Space = {"lr": ADAM_RATES, "adamw_lr": ADAM_RATES}

# The authors' README: 1 to 10 times AdamW's rates, 10 to 50 times SGD's; beta 0.9, or 0.95 or 0.98 for long trainings.
# The default, 0.9, is not at the border.
_BETA_OF_AVERAGE = Log(0.02, 0.2)
_FREE_ADAMW: Space = {"lr": Log(1e-4, 1.0), "one_minus_beta1": _BETA_OF_AVERAGE}
_FREE_SGD: Space = {"lr": Log(1e-2, 100.0), "one_minus_momentum": _BETA_OF_AVERAGE}
_FREE_SOURCE = "Defazio et al., NeurIPS 2024"
_FREE_WITH_ADAMW = Family(_FREE_ADAMW, _FREE_SOURCE, "constant")
_FREE_WITH_SGD = Family(_FREE_SGD, _FREE_SOURCE, "constant")
# The authors' README: neither warm-up nor schedule, since RAdam's rectification is a warm-up.
_FREE_WITH_RADAM = Family(_FREE_ADAMW, f"{_FREE_SOURCE}; Liu et al., ICLR 2020", "fixed")
_FREE_WRAPPER = Family({"one_minus_momentum": _BETA_OF_AVERAGE}, _FREE_SOURCE, "constant", times_sgd=(10.0, 50.0))

FINDS_ITS_RATE = "it finds its rate itself, which no schedule changes here"
"""The reason of parameter-free methods, whose papers fix no schedule: some of their authors use a cosine."""

# The authors' README: 0.1 or 0.5 for a smaller estimate of the rate, 2 or 10 for a larger one; lr stays 1.
_PRODIGY: Space = {"d_coef": Log(0.1, 10.0)}
_PRODIGY_SOURCE = "Mishchenko and Defazio, ICML 2024"
# The rate is estimated, and lr is a factor that the authors leave at 1: the range is that of Prodigy's factor.
_ESTIMATED_RATE: Space = {"lr": Log(0.1, 10.0)}
_D_ADAPTATION = Family(_ESTIMATED_RATE, "Defazio and Mishchenko, ICML 2023", "fixed", FINDS_ITS_RATE)
_DOG = Family(_ESTIMATED_RATE, "Ivgi et al., ICML 2023", "fixed", FINDS_ITS_RATE)

# Section 8 of the paper: relative steps of at most 0.01 that fall as 1 / sqrt(step); beta1 from AlgoPerf's space.
_ADAFACTOR: Space = {"lr": Log(1e-3, 0.1), RELATIVE_STEP: Fixed(True), "one_minus_beta1": Log(0.01, 0.45)}

# AlgoPerf's space of Shampoo.
_BETA1_OF_SHAMPOO = Log(0.01, 0.15)
# Section 3.1 of the SAM paper, a grid from 0.01 to 0.5; AlgoPerf's is within it.
_RADIUS = Log(0.01, 0.5)
_SAM: Space = {"rho": _RADIUS}

_SHIPPED = ("sgd", "adagrad", "adadelta", "adam", "adabound", "amsbound", "adaboundw")
"""Entries of the registry with the name of their class."""

FAMILIES: dict[str, Family] = {
    # Spaces as in the registry, for the same classes by their paths and those of other packages.
    **{name: Family(OPTIMIZERS[name].space, OPTIMIZERS[name].source) for name in _SHIPPED},
    # Adam and its relatives.
    "adamw": Family(_ADAM, "Loshchilov and Hutter, ICLR 2019"),
    "nadam": Family(_NADAM, "Dozat, ICLR workshop 2016"),
    "radam": Family(_ADAM, "Liu et al., ICLR 2020"),
    # The table of the authors' README: eps 1e-8 to 1e-16 by task.
    "adabelief": Family(
        {"lr": ADAM_RATES, "eps": Categorical((1e-16, 1e-12, 1e-8))}, "Zhuang et al., NeurIPS 2020"
    ),
    # Section 5 of the paper: 0.01, with eps 0.001.
    "yogi": Family({"lr": Log(1e-4, 1.0)}, "Zaheer et al., NeurIPS 2018"),
    # The authors' README: rates 5 to 10 times AdamW's.
    "adan": Family({"lr": Log(1e-4, 1.0)}, "Xie et al., TPAMI 2024"),
    # The authors' default is 0.01.
    "madgrad": Family({"lr": Log(1e-4, 1.0)}, "Defazio and Jelassi, JMLR 2022"),
    # Signs.
    "lion": Family(_LION, _LION_SOURCE),
    # Second derivatives. The clipped step of SophiaH is at most lr * p, with p 0.01: Adam's rates over p.
    "adahessian": Family({"lr": Log(1e-3, 10.0)}, "Yao et al., AAAI 2021"),
    "sophiah": Family({"lr": Log(1e-3, 10.0)}, "Liu et al., ICLR 2024"),
    "sophiag": Family({"lr": ADAM_RATES, "rho": Log(0.01, 0.1)}, "Liu et al., ICLR 2024"),
    # Matrices.
    "muon": Family(_MUON, "Jordan et al., 2024"),
    "distributedmuon": Family(_MUON, "Jordan et al., 2024"),
    "normuon": Family(_MUON, "Li et al., 2025"),
    "adago": Family(_MUON, "Zhang et al., 2025"),
    "adamuon": Family(_MUON_AS_ADAMW, "Si et al., 2025"),
    "muonclip": Family(_MUON_AS_ADAMW, "Kimi Team, 2025"),
    # Without grafting Shampoo sums squares as Adagrad does: the rates of our own Adagrad.
    "shampoo": Family({"lr": Log(1e-4, 1.0)}, "Gupta et al., ICML 2018"),
    # Grafted to SGD, whose momentum sums gradients: SGD's rates. Preconditioners every 20 steps instead of 1000, which
    # many trainings here do not reach.
    "scalableshampoo": Family(
        {"lr": Log(1e-4, 3.0), "one_minus_beta1": _BETA1_OF_SHAMPOO, "preconditioning_compute_steps": Fixed(20)},
        "Anil et al., 2020",
    ),
    # The authors' default is 0.003.
    "soap": Family({"lr": ADAM_RATES, "one_minus_beta1": _BETA1_OF_SHAMPOO}, "Vyas et al., ICLR 2025"),
    # Layers. AlgoPerf's space of LAMB. LARS multiplies its rate by 0.001; published rates for ImageNet are up to 30.
    "lamb": Family({"lr": ADAM_RATES, "one_minus_beta1": Log(0.05, 0.3)}, "You et al., ICLR 2020"),
    "lars": Family({"lr": Log(1e-2, 100.0)}, "You et al., 2017"),
    # Rates that the method computes.
    "adafactor": Family(_ADAFACTOR, "Shazeer and Stern, ICML 2018", "fixed"),
    "prodigy": Family(_PRODIGY, _PRODIGY_SOURCE, "fixed", FINDS_ITS_RATE),
    "prodigyplusschedulefree": Family(_PRODIGY, f"{_PRODIGY_SOURCE}; {_FREE_SOURCE}", "fixed", FINDS_ITS_RATE),
    "dadaptadagrad": _D_ADAPTATION,
    "dadaptadam": _D_ADAPTATION,
    "dadaptadamip": _D_ADAPTATION,
    "dadaptadan": _D_ADAPTATION,
    "dadaptlion": _D_ADAPTATION,
    "dadaptsgd": _D_ADAPTATION,
    "dog": _DOG,
    "ldog": _DOG,
    "adamg": Family(_ESTIMATED_RATE, "Pang et al., 2024", "fixed", FINDS_ITS_RATE),
    # The paper: a largest rate, momentum 0.9, and no schedule.
    "alig": Family({"max_lr": Log(1e-2, 10.0), "momentum": Fixed(0.9)}, "Berrada et al., ICML 2020", "fixed"),
    # Its rates follow from a smoothness and a noise, which the package sets to 10.
    "a2grad": Family({"lips": Log(1.0, 100.0), "beta": Log(1.0, 100.0)}, "Deng et al., 2018", "fixed"),
    # Schedules within the class: decay by its own factors; warm-up and decay over the run down to 3e-5.
    "amos": Family(None, "Tian and Parikh, 2022", "constant"),
    "ranger21": Family({"lr": Log(1e-4, 0.1)}, "Wright and Demeure, 2021", "fixed"),
    # Its own warm-up of 500 steps, longer than many trainings here, is left to the study.
    "apollodqn": Family({"lr": Log(1e-4, 1.0), "warmup_steps": Fixed(0)}, "Ma, 2020"),
    # Without a schedule.
    "schedulefreeadamw": _FREE_WITH_ADAMW,
    "schedulefreeradam": _FREE_WITH_RADAM,
    "schedulefreesgd": _FREE_WITH_SGD,
    "schedulefreewrapper": _FREE_WRAPPER,
    "schedulefreewrapperreference": _FREE_WRAPPER,
    "adamwschedulefree": _FREE_WITH_ADAMW,
    "adamwschedulefreeclosure": _FREE_WITH_ADAMW,
    "adamwschedulefreepaper": _FREE_WITH_ADAMW,
    "adamwschedulefreereference": _FREE_WITH_ADAMW,
    "radamschedulefree": _FREE_WITH_RADAM,
    "radamschedulefreeclosure": _FREE_WITH_RADAM,
    "sgdschedulefree": _FREE_WITH_SGD,
    "sgdschedulefreeclosure": _FREE_WITH_SGD,
    "sgdschedulefreereference": _FREE_WITH_SGD,
    # Sharpness: the radius; LookSAM's paper computes it every 5th or 10th step.
    "sam": Family(_SAM, "Foret et al., ICLR 2021"),
    "friendlysam": Family(_SAM, "Li et al., CVPR 2024"),
    "looksam": Family({**_SAM, "k": Categorical((5, 10))}, "Liu et al., CVPR 2022"),
    "wsam": Family(_SAM, "Yue et al., KDD 2023"),
    "bsam": Family({"lr": Log(1e-2, 10.0), **_SAM}, "Möllenhoff and Khan, ICLR 2023"),
    # Section 5.1 of the paper.
    "lookahead": Family({"k": Categorical((5, 10)), "alpha": Categorical((0.5, 0.8))}, "Zhang et al., NeurIPS 2019"),
}  # fmt: skip
"""Lower-case name of a class -> its family."""
