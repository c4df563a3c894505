"""Plan a networks study: a trial for each network in each precision. Pure."""

from collections.abc import Sequence

from bench.kinds.networks.spec import NetworksSpec
from bench.trials.phases import CONFIRM
from bench.trials.spec import TrialSpec
from posemodel.config import LoaderSettings, Precision, TrainSettings

LEARNING_RATES = {"rtpose_vgg": 1e-4, "openpose_2019": 1e-4, "lightweight": 1e-3, "small": 2e-3}
"""Adam's learning rate by network. Networks without batch norm spike at 1e-3 (docs/decisions.md)."""
OTHER_RATE = 1e-4
OPTIMIZER = "adam"


def combinations(spec: NetworksSpec) -> list[tuple[str, Precision]]:
    """Return network and precision of each trial, in the order of trial indices."""
    return [(network, precision) for network in spec.networks for precision in spec.precisions]


def plan_networks(spec: NetworksSpec) -> Sequence[TrialSpec]:
    """Return the trials, network by network."""
    return [_trial(spec, index, network, precision) for index, (network, precision) in enumerate(combinations(spec))]


def _trial(spec: NetworksSpec, index: int, network: str, precision: Precision) -> TrialSpec:
    return TrialSpec(
        phase=CONFIRM,
        index=index,
        optimizer=f"{network} in {precision}",
        built_by=OPTIMIZER,
        hyperparameters={"lr": LEARNING_RATES.get(network, OTHER_RATE)},
        data_digest=spec.data_digest,
        train=TrainSettings(
            data=spec.data,
            network=network,
            size=spec.size,
            precision=precision,
            seconds=spec.seconds,
            evaluations=spec.evaluations,
            val_images=spec.scored_images,
            foreground_weight=spec.foreground_weight,
            loader=LoaderSettings(
                batch_size=spec.batch_size,
                num_workers=spec.num_workers,
                pin_memory=spec.device == "cuda",
                persistent_workers=spec.num_workers > 0,
            ),
            seed=spec.seed,
            device=spec.device,
            log_every=10,
        ),
    )
