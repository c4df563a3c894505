"""`posebench train`: train one network with one optimizer, in one process or in those that `torchrun` starts."""

from pathlib import Path
from typing import Annotated

import typer

from bench.cli.data_options import ExifOption, TrainAnnotations, TrainImages, ValAnnotations


def train(
    ctx: typer.Context,
    data: Annotated[
        Path | None, typer.Option("--data", metavar="DIR", help="A data set's folder, in a known layout.")
    ] = None,
    train_annotations: TrainAnnotations = None,
    train_images: TrainImages = None,
    val_annotations: ValAnnotations = None,
    exif: ExifOption = None,
    recipe: Annotated[
        str | None,
        typer.Option(
            "--recipe", help="A published training: 2017, tensorboy or lightweight. Options given here come before it."
        ),
    ] = None,
    network: Annotated[
        str, typer.Option("--network", help="rtpose_vgg, openpose_2019, lightweight (or _2, _3) or small.")
    ] = "small",
    optimizer: Annotated[
        str,
        typer.Option(
            "--optimizer",
            help="sgd, nesterov, adagrad, adadelta, adam, adabound, amsbound, a class of torch.optim (adamw) or any "
            "class by its dotted path (my_package.Lion).",
        ),
    ] = "adam",
    lr: Annotated[
        float | None, typer.Option("--lr", "--learning-rate", help="Learning rate (default: the optimizer's own).")
    ] = None,
    weight_decay: Annotated[float, typer.Option("--wd", "--weight-decay", min=0)] = 0.0,
    option: Annotated[
        list[str] | None,
        typer.Option(
            "--option",
            "-O",
            metavar="NAME=VALUE",
            help="Another hyperparameter, e.g. -O momentum=0.95, -O amsgrad=true, -O 'betas=(0.9,0.99)'.",
        ),
    ] = None,
    batch_size: Annotated[int, typer.Option("--batch-size", min=1, help="Images of a process's batch.")] = 8,
    accumulate: Annotated[int, typer.Option("--accumulate", min=1, help="Batches whose gradients make a step.")] = 1,
    num_workers: Annotated[int, typer.Option("--num-workers", min=0)] = 0,
    pin_memory: Annotated[bool, typer.Option("--pin-memory/--no-pin-memory")] = False,
    prefetch_factor: Annotated[int | None, typer.Option("--prefetch-factor", min=1)] = None,
    persistent_workers: Annotated[bool, typer.Option("--persistent-workers/--no-persistent-workers")] = False,
    start_method: Annotated[str | None, typer.Option("--start-method", help="fork, spawn or forkserver.")] = None,
    steps: Annotated[int | None, typer.Option("--steps", min=1)] = None,
    epochs: Annotated[int | None, typer.Option("--epochs", min=1)] = None,
    seconds: Annotated[
        float | None, typer.Option("--seconds", help="A budget of training time instead of --steps or --epochs.")
    ] = None,
    size: Annotated[
        int | None, typer.Option("--size", help="Input side in pixels (default: that of --weights, or the network's).")
    ] = None,
    train_split: Annotated[str, typer.Option("--train-split")] = "train",
    val_split: Annotated[str, typer.Option("--val-split", help="Split scored during training.")] = "val",
    hold_out_select: Annotated[
        bool,
        typer.Option(
            "--hold-out-select",
            help="Leave the tenths of train that stand in for select and report out of training, as studies do.",
        ),
    ] = False,
    labelled_only: Annotated[
        bool, typer.Option("--labelled-only", help="Score only images that have labelled people.")
    ] = False,
    val_images: Annotated[
        list[str] | None,
        typer.Option(
            "--val-images",
            metavar="N|DIR",
            help="Score at most N images of the val split; or the images of --val-annotations. May be given for each.",
        ),
    ] = None,
    skip_bad: Annotated[
        bool, typer.Option("--skip-bad", help="Leave bad images and annotations out, and count them.")
    ] = False,
    augment: Annotated[bool, typer.Option("--augment/--no-augment")] = True,
    foreground_weight: Annotated[
        float, typer.Option("--foreground-weight", min=1, help="Weight of cells where a map is on (1: published loss).")
    ] = 1.0,
    loss_reduction: Annotated[
        str,
        typer.Option(
            "--loss-reduction", help="What a published --lr is for: cell (ours), sum (Caffe's) or mean (MSELoss)."
        ),
    ] = "cell",
    schedule: Annotated[
        str,
        typer.Option("--schedule", help="cosine, step, multistep, plateau or constant, after the warm-up."),
    ] = "cosine",
    milestones: Annotated[
        str | None,
        typer.Option("--milestones", metavar="SHARES", help="Of multistep: shares of the budget, e.g. 0.5,0.75."),
    ] = None,
    gamma: Annotated[float, typer.Option("--gamma", help="Of multistep and plateau: what the rate falls by.")] = 0.1,
    patience: Annotated[
        int, typer.Option("--patience", min=0, help="Of plateau: validations without a better loss.")
    ] = 10,
    cooldown: Annotated[int, typer.Option("--cooldown", min=0, help="Of plateau: validations that rest after.")] = 0,
    later_stage_lr: Annotated[
        float, typer.Option("--later-stage-lr", help="Multiple of --lr in convolutions after the first stage.")
    ] = 1.0,
    bias_lr: Annotated[float, typer.Option("--bias-lr", help="Multiple of --lr in biases.")] = 1.0,
    bias_weight_decay: Annotated[bool, typer.Option("--bias-weight-decay/--no-bias-weight-decay")] = True,
    norm_weight_decay: Annotated[bool, typer.Option("--norm-weight-decay/--no-norm-weight-decay")] = True,
    depthwise_weight_decay: Annotated[
        bool, typer.Option("--depthwise-weight-decay/--no-depthwise-weight-decay")
    ] = True,
    ema_decay: Annotated[
        float | None, typer.Option("--ema-decay", help="Validate and save a moving average of the weights, e.g. 0.999.")
    ] = None,
    warmup: Annotated[
        float, typer.Option("--warmup", min=0, max=1, help="Share of the budget with a rising rate.")
    ] = 0.05,
    frozen_backbone_epochs: Annotated[int, typer.Option("--frozen-backbone-epochs", min=0)] = 0,
    weights: Annotated[
        Path | None,
        typer.Option("--weights", metavar="FILE", help="Start from a checkpoint (its network, unless --network)."),
    ] = None,
    backbone_weights: Annotated[
        Path | None, typer.Option("--backbone-weights", metavar="FILE", help="torchvision's VGG19 state dict.")
    ] = None,
    targets: Annotated[
        str, typer.Option("--targets", help="Who makes the target maps: loader, device or auto (a GPU its own).")
    ] = "auto",
    precision: Annotated[str, typer.Option("--precision", help="fp32 or bf16 (convolutions only).")] = "fp32",
    device: Annotated[str, typer.Option("--device", help="auto, cuda, mps or cpu.")] = "auto",
    threads: Annotated[
        int | None,
        typer.Option("--threads", min=1, help="Threads of a CPU (default: torch's choice); results depend on them."),
    ] = None,
    seed: Annotated[int, typer.Option("--seed", min=0)] = 0,
    log_every: Annotated[int, typer.Option("--log-every", min=1, help="Steps per measured window.")] = 10,
    val_every: Annotated[
        int | None, typer.Option("--val-every", min=1, help="Steps between validation losses.")
    ] = None,
    ap_every: Annotated[int | None, typer.Option("--ap-every", min=1, help="Steps between AP evaluations.")] = None,
    evaluations: Annotated[
        int | None, typer.Option("--evaluations", min=1, help="With --seconds: AP evaluations at equal shares of them.")
    ] = None,
    checkpoint_every: Annotated[int | None, typer.Option("--checkpoint-every", min=1)] = None,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="DIR", help="Checkpoints (default: runs/NETWORK-OPTIMIZER-seedN).")
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on from DIR/resume.pt.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
) -> None:
    """Train a network; writes last.safetensors, best.safetensors, resume.pt and metrics.jsonl to --out.

    On several GPUs, or in several processes on CPUs: torchrun --nproc-per-node N --no-python posebench train ...
    """
    options = {name: value for name, value in locals().items() if name != "ctx"}
    # By name: Typers have a `ParameterSource` of their own, or click's.
    given = {name for name in options if getattr(ctx.get_parameter_source(name), "name", "") == "COMMANDLINE"}
    if data is None and train_annotations is None:
        raise typer.BadParameter(
            "give the folder of a data set, or --train-annotations FILE with --train-images DIR", param_hint="--data"
        )
    from bench.cli.actions.train import train_network  # PyTorch, OpenCV: seconds that --help must not take

    train_network(options, given)
