"""The public networks, written from their papers in the layout of their checkpoints, as a reference for weight imports.

Independent of posemodel, down to the channel counts. Each takes normalised images and returns its outputs in the
public order; keys of the state dict are the public ones.
"""

import itertools

import torch
from torch import nn

HEATMAPS, PAFS = 19, 38
VGG = [64, 64, 0, 128, 128, 0, 256, 256, 256, 256, 0, 512, 512, 256, 128]
"""Widths of the front's 3x3 convolutions up to the stages; 0 is a pooling."""


def front(prelu_from: int) -> nn.Sequential:
    """VGG's front and the two convolutions after it; activations are PReLUs from the ``prelu_from``-th layer on."""
    layers: list[nn.Module] = []
    for before, width in itertools.pairwise([3, *VGG]):
        channels = before or VGG[VGG.index(width) - 2]
        if width == 0:
            layers.append(nn.MaxPool2d(2, 2))
            continue
        layers.append(nn.Conv2d(channels, width, 3, 1, 1))
        layers.append(nn.PReLU(width) if len(layers) >= prelu_from else nn.ReLU())
    return nn.Sequential(*layers)


class PublicRtpose(nn.Module):
    """tensorboy's `rtpose_vgg`; forward: PAFs and heatmaps of stage 1, of stage 2, ..."""

    def __init__(self) -> None:
        super().__init__()
        self.model0 = front(prelu_from=1000)
        for stage in range(1, 7):
            for branch, maps in ((1, PAFS), (2, HEATMAPS)):
                if stage == 1:
                    kernels, widths = [3, 3, 3, 1, 1], [128, 128, 128, 128, 512, maps]
                else:
                    kernels, widths = [7] * 5 + [1, 1], [128 + PAFS + HEATMAPS, *[128] * 6, maps]
                chain: list[nn.Module] = []
                for kernel, (channels, width) in zip(kernels, itertools.pairwise(widths), strict=True):
                    chain += [nn.Conv2d(channels, width, kernel, 1, (kernel - 1) // 2), nn.ReLU()]
                self.add_module(f"model{stage}_{branch}", nn.Sequential(*chain[:-1]))

    def forward(self, images: torch.Tensor) -> list[torch.Tensor]:
        features = self.model0(images)
        outputs: list[torch.Tensor] = []
        given = features
        for stage in range(1, 7):
            pafs = self.get_submodule(f"model{stage}_1")(given)
            heatmaps = self.get_submodule(f"model{stage}_2")(given)
            outputs += [pafs, heatmaps]
            given = torch.cat((pafs, heatmaps, features), 1)
        return outputs


class _Unit(nn.Module):
    def __init__(self, channels: int, width: int, kernel: int) -> None:
        super().__init__()
        self.Mconv = nn.Conv2d(channels, width, kernel, 1, kernel // 2)
        self.MPrelu = nn.PReLU(width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.MPrelu(self.Mconv(x))


class _DenseStage(nn.Module):
    def __init__(self, channels: int, width: int, wide: int, maps: int) -> None:
        super().__init__()
        for block, unit in itertools.product(range(1, 6), range(3)):
            given = width if unit else (channels if block == 1 else 3 * width)
            self.add_module(f"Mconv{block}_{unit}", _Unit(given, width, 3))
        self.Mconv6 = _Unit(3 * width, wide, 1)
        self.Mconv7 = nn.Conv2d(wide, maps, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for block in range(1, 6):
            first = self.get_submodule(f"Mconv{block}_0")(x)
            second = self.get_submodule(f"Mconv{block}_1")(first)
            third = self.get_submodule(f"Mconv{block}_2")(second)
            x = torch.cat((first, second, third), 1)
        return self.Mconv7(self.Mconv6(x))


class PublicOpenpose(nn.Module):
    """tensorboy's `openpose`; forward: the four PAF outputs, then the two heatmap outputs."""

    def __init__(self) -> None:
        super().__init__()
        self.feature_extractor = front(prelu_from=22)
        self.l2_stages = nn.ModuleList([_DenseStage(128, 96, 256, PAFS)])
        for _ in range(3):
            self.l2_stages.append(_DenseStage(128 + PAFS, 128, 512, PAFS))
        self.l1_stages = nn.ModuleList(
            [
                _DenseStage(128 + PAFS, 96, 256, HEATMAPS),
                _DenseStage(128 + HEATMAPS + PAFS, 128, 512, HEATMAPS),
            ]
        )

    def forward(self, images: torch.Tensor) -> list[torch.Tensor]:
        features = self.feature_extractor(images)
        outputs = [self.l2_stages[0](features)]
        for stage in list(self.l2_stages)[1:]:
            outputs.append(stage(torch.cat((features, outputs[-1]), 1)))
        pafs = outputs[-1]
        outputs.append(self.l1_stages[0](torch.cat((features, pafs), 1)))
        outputs.append(self.l1_stages[1](torch.cat((features, outputs[-1], pafs), 1)))
        return outputs


def _conv(channels: int, width: int, kernel: int = 3, *, norm: bool = False, dilation: int = 1) -> nn.Sequential:
    layers: list[nn.Module] = [nn.Conv2d(channels, width, kernel, 1, dilation * (kernel // 2), dilation)]
    layers += [nn.BatchNorm2d(width)] if norm else []
    return nn.Sequential(*layers, nn.ReLU())


def _separable(channels: int, width: int, *, norm: bool = True, stride: int = 1, dilation: int = 1) -> nn.Sequential:
    depthwise = nn.Conv2d(channels, channels, 3, stride, dilation, dilation, groups=channels, bias=False)
    pointwise = nn.Conv2d(channels, width, 1, bias=False)
    if not norm:
        return nn.Sequential(depthwise, nn.ELU(), pointwise, nn.ELU())
    return nn.Sequential(depthwise, nn.BatchNorm2d(channels), nn.ReLU(), pointwise, nn.BatchNorm2d(width), nn.ReLU())


class _Cpm(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.align = _conv(512, 128, 1)
        self.trunk = nn.Sequential(*(_separable(128, 128, norm=False) for _ in range(3)))
        self.conv = _conv(128, 128)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        aligned = self.align(x)
        return self.conv(aligned + self.trunk(aligned))


class _RefinementBlock(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.initial = _conv(channels, 128, 1)
        self.trunk = nn.Sequential(_conv(128, 128, norm=True), _conv(128, 128, norm=True, dilation=2))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        begun = self.initial(x)
        return begun + self.trunk(begun)


class _Heads(nn.Module):
    def __init__(self, trunk: list[nn.Module], width: int) -> None:
        super().__init__()
        self.trunk = nn.Sequential(*trunk)
        self.heatmaps = nn.Sequential(_conv(128, width, 1), nn.Sequential(nn.Conv2d(width, HEATMAPS, 1)))
        self.pafs = nn.Sequential(_conv(128, width, 1), nn.Sequential(nn.Conv2d(width, PAFS, 1)))

    def forward(self, x: torch.Tensor) -> list[torch.Tensor]:
        trunk = self.trunk(x)
        return [self.heatmaps(trunk), self.pafs(trunk)]


class PublicLightweight(nn.Module):
    """Osokin's network; forward: heatmaps and PAFs of the initial stage, of the first refinement, ..."""

    def __init__(self, refinements: int) -> None:
        super().__init__()
        stem = nn.Sequential(nn.Conv2d(3, 32, 3, 2, 1, bias=False), nn.BatchNorm2d(32), nn.ReLU())
        self.model = nn.Sequential(
            stem,
            _separable(32, 64),
            _separable(64, 128, stride=2),
            _separable(128, 128),
            _separable(128, 256, stride=2),
            _separable(256, 256),
            _separable(256, 512),
            _separable(512, 512, dilation=2),
            *(_separable(512, 512) for _ in range(4)),
        )
        self.cpm = _Cpm()
        self.initial_stage = _Heads([_conv(128, 128) for _ in range(3)], 512)
        self.refinement_stages = nn.ModuleList()
        for _ in range(refinements):
            blocks = [_RefinementBlock(128 + HEATMAPS + PAFS), *(_RefinementBlock(128) for _ in range(4))]
            self.refinement_stages.append(_Heads(blocks, 128))

    def forward(self, images: torch.Tensor) -> list[torch.Tensor]:
        features = self.cpm(self.model(images))
        outputs = self.initial_stage(features)
        for stage in self.refinement_stages:
            outputs = outputs + stage(torch.cat((features, *outputs[-2:]), 1))
        return outputs


SPREAD = 0.1
"""Standard deviation of every convolution's output on the pixels of `with_random_weights`: maps are of that size."""


def with_random_weights(network: nn.Module, seed: int, *, size: int = 64) -> nn.Module:
    """Weights that neither fade nor grow through the layers, and nothing at its default: biases, slopes, statistics."""
    generator = torch.Generator().manual_seed(seed)

    def drawn(tensor: torch.Tensor, low: float, high: float) -> None:
        tensor.copy_(low + (high - low) * torch.rand(tensor.shape, generator=generator))

    def to_size(module: nn.Conv2d, _given: object, output: torch.Tensor) -> torch.Tensor:
        shrunk = SPREAD / output.std()
        module.weight.mul_(shrunk)
        if module.bias is not None:
            module.bias.mul_(shrunk)
        return output * shrunk

    hooks = []
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, nn.Conv2d):
                module.weight.copy_(torch.randn(module.weight.shape, generator=generator))
                if module.bias is not None:
                    drawn(module.bias, -1, 1)
                hooks.append(module.register_forward_hook(to_size))
            elif isinstance(module, nn.PReLU):
                drawn(module.weight, 0, 0.5)
            elif isinstance(module, nn.BatchNorm2d):
                drawn(module.weight, 0.5, 1.5)
                drawn(module.bias, -0.1, 0.1)
                drawn(module.running_mean, -0.1, 0.1)
                drawn(module.running_var, 0.05, 0.15)
                module.num_batches_tracked.fill_(7)
        network.eval()(torch.randn(1, 3, size, size, generator=generator))
    for hook in hooks:
        hook.remove()
    return network
