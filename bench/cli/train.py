"""`posebench train`: train one network with one optimizer, in one process or in those that `torchrun` starts."""

from pathlib import Path
from typing import Annotated

import typer

from bench.cli.data_options import (
    Category,
    ExifOption,
    Sigmas,
    SkeletonFile,
    TrainAnnotations,
    TrainImages,
    ValAnnotations,
)


def train(
    ctx: typer.Context,
    data: Annotated[
        Path | None, typer.Option("--data", metavar="DIR", help="Data set folder, in COCO's or another known layout.")
    ] = None,
    train_annotations: TrainAnnotations = None,
    train_images: TrainImages = None,
    val_annotations: ValAnnotations = None,
    category: Category = None,
    skeleton_file: SkeletonFile = None,
    sigmas: Sigmas = None,
    exif: ExifOption = None,
    recipe: Annotated[
        str | None,
        typer.Option(
            "--recipe", help="Published training settings: 2017, tensorboy or lightweight; other options override them."
        ),
    ] = None,
    network: Annotated[
        str,
        typer.Option(
            "--network",
            help="Network: rtpose_vgg, openpose_2019, lightweight (or _2, _3), small, or any class by its path "
            "(my_package:MyNet).",
        ),
    ] = "small",
    optimizer: Annotated[
        str,
        typer.Option(
            "--optimizer",
            help="Optimizer: sgd, nesterov, adagrad, adadelta, adam, adabound, amsbound, adaboundw, a class of "
            "torch.optim (adamw), any class by its dotted path (my_package.Lion), a wrapper over another "
            "(my_package.SAM(adamw)), or one for matrices with one for the rest (muon+adamw). `posebench optimizers` "
            "lists them.",
        ),
    ] = "adam",
    lr: Annotated[
        float | None, typer.Option("--lr", "--learning-rate", help="Learning rate (default: the optimizer's own).")
    ] = None,
    weight_decay: Annotated[float, typer.Option("--wd", "--weight-decay", min=0, help="Weight decay.")] = 0.0,
    option: Annotated[
        list[str] | None,
        typer.Option(
            "--option",
            "-O",
            metavar="NAME=VALUE",
            help="Another hyperparameter of the optimizer, e.g. -O momentum=0.95, -O amsgrad=true, -O "
            "'betas=(0.9,0.99)'; repeatable.",
        ),
    ] = None,
    batch_size: Annotated[int, typer.Option("--batch-size", min=1, help="Images per batch, in each process.")] = 8,
    accumulate: Annotated[
        int,
        typer.Option("--accumulate", min=1, help="Batches whose gradients make one step, as one larger batch would."),
    ] = 1,
    num_workers: Annotated[
        int,
        typer.Option(
            "--num-workers", min=0, help="Worker processes that load batches; 0: load in the training process."
        ),
    ] = 0,
    pin_memory: Annotated[
        bool, typer.Option("--pin-memory/--no-pin-memory", help="Load batches into pinned memory (for a GPU).")
    ] = False,
    prefetch_factor: Annotated[
        int | None,
        typer.Option("--prefetch-factor", min=1, help="Batches that each worker loads ahead (default: PyTorch's)."),
    ] = None,
    persistent_workers: Annotated[
        bool, typer.Option("--persistent-workers/--no-persistent-workers", help="Keep workers alive between epochs.")
    ] = False,
    start_method: Annotated[
        str | None,
        typer.Option("--start-method", help="How workers start: fork, spawn or forkserver (default: the platform's)."),
    ] = None,
    steps: Annotated[
        int | None,
        typer.Option(
            "--steps",
            min=1,
            help="Length of the training in optimizer steps. Give one of --steps, --epochs and --seconds.",
        ),
    ] = None,
    epochs: Annotated[int | None, typer.Option("--epochs", min=1, help="Length of the training in epochs.")] = None,
    seconds: Annotated[
        float | None,
        typer.Option("--seconds", help="Length of the training in seconds; evaluation is not counted."),
    ] = None,
    size: Annotated[
        int | None,
        typer.Option("--size", help="Side of the input in pixels (default: that of --weights, else the network's)."),
    ] = None,
    train_split: Annotated[str, typer.Option("--train-split", help="Split to train on.")] = "train",
    val_split: Annotated[
        str, typer.Option("--val-split", help="Split to validate and score on during training.")
    ] = "val",
    hold_out_select: Annotated[
        bool,
        typer.Option(
            "--hold-out-select",
            help="Do not train on the two tenths of train that studies use as select and report.",
        ),
    ] = False,
    labelled_only: Annotated[
        bool, typer.Option("--labelled-only", help="Score only images with labelled people.")
    ] = False,
    val_images: Annotated[
        list[str] | None,
        typer.Option(
            "--val-images",
            metavar="N|DIR",
            help="N: score at most N images of the val split. DIR: folder of the images in --val-annotations. May be "
            "given twice, once for each.",
        ),
    ] = None,
    skip_bad: Annotated[
        bool,
        typer.Option("--skip-bad", help="Leave out bad images and annotations, and count them, instead of stopping."),
    ] = False,
    augment: Annotated[
        bool,
        typer.Option(
            "--augment/--no-augment", help="Randomly flip, scale, rotate, shift and recolour training images."
        ),
    ] = True,
    foreground_weight: Annotated[
        float,
        typer.Option(
            "--foreground-weight",
            min=1,
            help="Loss weight of cells inside a target relative to background (1: the published loss).",
        ),
    ] = 1.0,
    loss_reduction: Annotated[
        str,
        typer.Option(
            "--loss-reduction",
            help="Reduction of the loss that --lr was published for: cell (posebench), sum (Caffe) or mean (MSELoss).",
        ),
    ] = "cell",
    schedule: Annotated[
        str | None,
        typer.Option(
            "--schedule",
            help="Learning rate schedule after the warm-up: cosine, step, multistep, plateau or constant; fixed: no "
            "warm-up either (default: that of the optimizer's paper if it fixes one, else cosine).",
        ),
    ] = None,
    milestones: Annotated[
        str | None,
        typer.Option(
            "--milestones",
            metavar="SHARES",
            help="For multistep: shares of the training at which the rate falls, e.g. 0.5,0.75.",
        ),
    ] = None,
    gamma: Annotated[
        float, typer.Option("--gamma", help="For multistep and plateau: factor by which the rate falls.")
    ] = 0.1,
    patience: Annotated[
        int,
        typer.Option("--patience", min=0, help="For plateau: validations without a better loss before the rate falls."),
    ] = 10,
    cooldown: Annotated[
        int, typer.Option("--cooldown", min=0, help="For plateau: validations to wait after the rate has fallen.")
    ] = 0,
    later_stage_lr: Annotated[
        float, typer.Option("--later-stage-lr", help="Factor on --lr for convolutions after the first stage.")
    ] = 1.0,
    bias_lr: Annotated[float, typer.Option("--bias-lr", help="Factor on --lr for biases.")] = 1.0,
    bias_weight_decay: Annotated[
        bool, typer.Option("--bias-weight-decay/--no-bias-weight-decay", help="Apply weight decay to biases.")
    ] = True,
    norm_weight_decay: Annotated[
        bool,
        typer.Option("--norm-weight-decay/--no-norm-weight-decay", help="Apply weight decay to normalisation layers."),
    ] = True,
    depthwise_weight_decay: Annotated[
        bool,
        typer.Option(
            "--depthwise-weight-decay/--no-depthwise-weight-decay", help="Apply weight decay to depthwise convolutions."
        ),
    ] = True,
    ema_decay: Annotated[
        float | None,
        typer.Option(
            "--ema-decay",
            help="Validate and save a moving average of the weights with this decay, e.g. 0.999 (default: none).",
        ),
    ] = None,
    warmup: Annotated[
        float,
        typer.Option("--warmup", min=0, max=1, help="Share of the training in which the learning rate rises to --lr."),
    ] = 0.05,
    frozen_backbone_epochs: Annotated[
        int,
        typer.Option(
            "--frozen-backbone-epochs", min=0, help="Epochs at the start in which the backbone is not trained."
        ),
    ] = 0,
    weights: Annotated[
        Path | None,
        typer.Option(
            "--weights", metavar="FILE", help="Checkpoint to start from; its network is used unless --network is given."
        ),
    ] = None,
    backbone_weights: Annotated[
        Path | None,
        typer.Option(
            "--backbone-weights",
            metavar="FILE",
            help="ImageNet weights of torchvision's VGG19 to start the backbone from.",
        ),
    ] = None,
    targets: Annotated[
        str,
        typer.Option(
            "--targets",
            help="Where target maps are made: loader (workers), device, or auto (on a GPU if there is one).",
        ),
    ] = "auto",
    precision: Annotated[
        str, typer.Option("--precision", help="Number format: fp32 or bf16 (in convolutions only).")
    ] = "fp32",
    device: Annotated[
        str, typer.Option("--device", help="Device: auto (a GPU if there is one), cuda, mps or cpu.")
    ] = "auto",
    threads: Annotated[
        int | None,
        typer.Option(
            "--threads", min=1, help="CPU threads of PyTorch (default: its own choice); results depend on their number."
        ),
    ] = None,
    seed: Annotated[
        int, typer.Option("--seed", min=0, help="Seed of the initial weights, data order and augmentation.")
    ] = 0,
    log_every: Annotated[
        int,
        typer.Option(
            "--log-every", min=1, help="Steps between lines in metrics.jsonl, and over which speed is averaged."
        ),
    ] = 10,
    val_every: Annotated[
        int | None,
        typer.Option(
            "--val-every", min=1, help="Steps between evaluations of the validation loss (default: ten in the run)."
        ),
    ] = None,
    ap_every: Annotated[
        int | None,
        typer.Option("--ap-every", min=1, help="Steps between evaluations of AP (default: only at the end)."),
    ] = None,
    evaluations: Annotated[
        int | None,
        typer.Option(
            "--evaluations",
            min=1,
            help="With --seconds: number of AP evaluations, at equal shares of the time (default: one, at the end).",
        ),
    ] = None,
    checkpoint_every: Annotated[
        int | None,
        typer.Option("--checkpoint-every", min=1, help="Steps between checkpoints (default: at every validation)."),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="DIR", help="Folder to write to (default: runs/NETWORK-OPTIMIZER-seedN)."),
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on from resume.pt in the folder of --out.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as one JSON document on stdout.")] = False,
) -> None:
    """Train a network and save its checkpoints.

    Writes last.safetensors, best.safetensors, resume.pt and metrics.jsonl to --out. On several GPUs, or in several CPU
    processes: torchrun --nproc-per-node N --no-python posebench train ...
    """
    options = {name: value for name, value in locals().items() if name != "ctx"}
    # Compare by name: depending on its version, `ParameterSource` is Typer's or click's.
    given_options = {name for name in options if getattr(ctx.get_parameter_source(name), "name", "") == "COMMANDLINE"}
    if data is None and train_annotations is None:
        raise typer.BadParameter(
            "give the folder of a data set, or --train-annotations FILE with --train-images DIR", param_hint="--data"
        )
    from bench.cli.actions.train import train_network  # PyTorch, OpenCV: seconds that --help must not take

    train_network(options, given_options)
