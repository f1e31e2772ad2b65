"""The U-Net and the detector in PyTorch, the same networks as ours, and the detector's loss."""

from __future__ import annotations

import math

import torch
from torch import nn
from torch.nn.functional import logsigmoid, one_hot, relu, softplus

STRIDE, RADIUS = 4, 1.5  # of the detector's grid, in pixels; of positive locations, in strides
PRIOR = 0.01  # probability of each class at the start
BALANCE = 0.25  # of an object in the focal loss


def convolution(inputs: int, outputs: int, *, stride: int = 1) -> nn.Conv2d:
    """Build a convolution 3x3 that keeps the size, or halves it.

    A stride of 2 pads the first row and column, ours the last: the same network on mirrored pictures.
    """
    return nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1)


class Unet(nn.Module):
    """Three levels of 8, 16 and 32 channels, one convolution on each on the way down and two on the way up."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.down = nn.ModuleList([convolution(1, 8), convolution(8, 16), convolution(16, 32)])
        self.up = nn.ModuleList([convolution(32, 16), convolution(16, 8)])
        self.joined = nn.ModuleList([convolution(32, 16), convolution(16, 8)])
        self.pool, self.doubled = nn.MaxPool2d(2), nn.Upsample(scale_factor=2)
        self.output = nn.Conv2d(8, classes, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map [B, 1, H, W] to [B, classes, H, W]."""
        maps = []
        for level, layer in enumerate(self.down):
            x = relu(layer(self.pool(x) if level else x))
            maps.append(x)
        for up, joined, skipped in zip(self.up, self.joined, maps[-2::-1], strict=True):
            x = relu(joined(torch.cat([skipped, relu(up(self.doubled(x)))], dim=1)))
        return self.output(x)


class Detector(nn.Module):
    """Two convolutions of stride 2 and three more, group normalization, and at each location classes and a box."""

    def __init__(self, classes: int, side: int) -> None:
        super().__init__()
        widths, strides = (1, 16, 32, 32, 32, 32), (2, 2, 1, 1, 1)
        self.trunk = nn.Sequential(*(
            nn.Sequential(convolution(a, b, stride=stride), nn.GroupNorm(8, b, eps=1e-6), nn.ReLU())
            for a, b, stride in zip(widths, widths[1:], strides, strict=False)
        ))  # fmt: skip
        self.classes, self.boxes = nn.Conv2d(32, classes, 1), nn.Conv2d(32, 4, 1)
        nn.init.constant_(self.classes.bias, math.log(PRIOR / (1.0 - PRIOR)))
        self.register_buffer("places", locations(side // STRIDE))

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Map [B, 1, H, W] to log-odds [B, M, classes] and corners [B, M, 4] in pixels, at M locations."""
        seen = self.trunk(x)
        odds, sides = (head(seen).permute(0, 2, 3, 1).flatten(1, 2) for head in (self.classes, self.boxes))
        reach = STRIDE * softplus(sides)
        return odds, torch.cat([self.places - reach[..., :2], self.places + reach[..., 2:]], dim=-1)


def locations(side: int) -> torch.Tensor:
    """Return the places (y, x) of a grid of side x side locations: [M, 2]."""
    middles = (torch.arange(side) + 0.5) * STRIDE
    return torch.stack(torch.meshgrid(middles, middles, indexing="ij"), dim=-1).reshape(-1, 2)


def detection(outputs: tuple[torch.Tensor, torch.Tensor], true: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Compute the mean over pictures of focal loss and 1 - giou, as our loss `detection` does by default.

    Args:
        outputs: log-odds [B, M, C] and boxes [B, M, 4].
        true: boxes [B, N, 4].
        labels: their classes [B, N], -1 where there is no object.
    """
    odds, found = outputs
    side = math.isqrt(odds.shape[1])
    points = locations(side)[:, None]  # [M, 1, 2]
    low, high = true[:, None, :, :2], true[:, None, :, 2:]  # [B, 1, N, 2]
    center = 0.5 * (low + high)
    near = ((points - center).abs() <= RADIUS * STRIDE) & (points >= low) & (points < high)
    own = (center / STRIDE).floor().clamp(max=side - 1) == (points / STRIDE).floor()
    held = (near.all(-1) | own.all(-1)) & (labels >= 0)[:, None]  # [B, M, N]
    smallest = torch.where(held, area(true)[:, None], torch.inf).argmin(2)  # [B, M]
    positive = held.any(2)
    kinds = labels.gather(1, smallest).clamp(min=0)
    wanted = one_hot(kinds, odds.shape[-1]) * positive[..., None]
    chance, yes, no = odds.sigmoid(), logsigmoid(odds), logsigmoid(-odds)
    focal = torch.where(wanted > 0, -BALANCE * (1.0 - chance) ** 2 * yes, -(1.0 - BALANCE) * chance**2 * no)
    apart = 1.0 - giou(found, true.gather(1, smallest[..., None].expand(-1, -1, 4)))
    total = focal.sum((1, 2)) + torch.where(positive, apart, 0.0).sum(1)
    return (total / positive.sum(1).clamp(min=1)).mean()


def area(box: torch.Tensor) -> torch.Tensor:
    """Compute the area of boxes [..., 4]."""
    return (box[..., 2:] - box[..., :2]).clamp(min=0.0).prod(-1)


def giou(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """Compute the generalized IoU [...] of boxes [..., 4]."""
    shared = area(torch.cat([torch.maximum(a[..., :2], b[..., :2]), torch.minimum(a[..., 2:], b[..., 2:])], dim=-1))
    around = area(torch.cat([torch.minimum(a[..., :2], b[..., :2]), torch.maximum(a[..., 2:], b[..., 2:])], dim=-1))
    union = area(a) + area(b) - shared
    return shared / union.clamp(min=1e-9) - (around - union) / around.clamp(min=1e-9)
