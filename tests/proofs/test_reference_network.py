"""On the reference network (52 million weights) two processes, and accumulated batches, equal one big batch.

Their short siblings, in tests/posemodel/test_distributed.py and test_accumulation.py, have a network of 45,000.
"""

from tests.posemodel.test_accumulation import accumulated
from tests.posemodel.test_distributed import agree
from tests.support.several_processes import Trainings

SHARD = "real"
COVERS = (
    "posemodel/training/processes.py",
    "posemodel/launch.py",
    "posemodel/training/loss.py",
    "posemodel/training/parameter_groups.py",
    "posemodel/training/loop.py",
    "posemodel/training/step.py",
    "posemodel/data/loader.py",
    "posemodel/data/batch.py",
    "posemodel/data/dataset.py",
    "posemodel/data/sampler.py",
    "posemodel/network/rtpose_vgg.py",
    "tests/posemodel/test_accumulation.py",
    "tests/posemodel/test_distributed.py",
    "tests/support/several_processes.py",
)


def test_two_processes_follow_the_loss_curve_of_one(coco_builder, tmp_path, figures):
    """Plain, and with accumulated batches, rates by group and a front that is released after an epoch."""
    with Trainings() as trainings:
        figures["largest difference of a loss, relative"] = agree("rtpose_vgg", trainings, coco_builder, tmp_path)


def test_accumulated_batches_are_one_big_batch(tiny_set, one_thread):
    """3 batches of 4 are one of 12, an epoch."""
    accumulated("rtpose_vgg", tiny_set)
