"""What PyTorch trains: the same networks as ours, and a run of each kind of workload, fused Adam, channels last."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.nn.functional import softplus
from torch_language import Transformer
from torch_pictures import Detector, Unet, detection
from workloads import CLASSES, GAME_B1, LATENT, LEARNING_RATE, WORKLOADS, Workload, examples

Run = Callable[[int], None]


class Lstm(nn.Module):
    """One LSTM of 64 units, read at its last step."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(1, 64, batch_first=True)
        self.output = nn.Linear(64, CLASSES)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map [B, T, 1] to [B, 10]."""
        return self.output(self.lstm(x)[0][:, -1])


class AsMap(nn.Module):
    """Vectors as maps of 7 x 7, channels last in memory."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map [B, 7 * 7 * C] to [B, C, 7, 7]."""
        return x.view(len(x), 7, 7, -1).permute(0, 3, 1, 2)


def perceptron(inputs: int = 784, outputs: int = CLASSES) -> nn.Module:
    """Build an MLP with two hidden layers of 128."""
    return nn.Sequential(
        nn.Linear(inputs, 128), nn.ReLU(), nn.Linear(128, 128), nn.ReLU(), nn.Linear(128, outputs)
    )  # fmt: skip


def convolutional(*dense: nn.Module) -> nn.Module:
    """Build two convolutions with pooling, on [B, C, H, W], and then what is given."""
    return nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1), nn.MaxPool2d(2), nn.ReLU(),
        nn.Conv2d(16, 32, 3, padding=1), nn.MaxPool2d(2), nn.ReLU(),
        nn.Flatten(), *dense,
    )  # fmt: skip


def painter() -> nn.Module:
    """Build a dense map of 7 x 7, doubled and convolved twice, and one more convolution."""
    doubled = [nn.Upsample(scale_factor=2), nn.Conv2d(32, 32, 3, padding=1), nn.ReLU()]
    again = [nn.Upsample(scale_factor=2), nn.Conv2d(32, 32, 3, padding=1), nn.ReLU()]
    return nn.Sequential(
        nn.Linear(LATENT, 7 * 7 * 32), nn.ReLU(), AsMap(), *doubled, *again, nn.Conv2d(32, 1, 3, padding=1)
    )


MODELS = {
    "mlp": perceptron,
    "cnn": lambda: convolutional(nn.Linear(7 * 7 * 32, 64), nn.ReLU(), nn.Linear(64, CLASSES)),
    "lstm": Lstm,
    "unet": lambda: Unet(WORKLOADS["unet"].classes),
    "detector": lambda: Detector(WORKLOADS["detector"].classes, WORKLOADS["detector"].shape[0]),
    "transformer": lambda: Transformer(WORKLOADS["transformer"].classes, 64, 64),
    "transformer_128": lambda: Transformer(WORKLOADS["transformer_128"].classes, 128, 128),
}
PLAYERS = {  # generator, discriminator
    "gan": lambda: (perceptron(LATENT, 784), perceptron(784, 1)),
    "dcgan": lambda: (painter(), convolutional(nn.Linear(7 * 7 * 32, 1))),
}


def ready(module: nn.Module) -> nn.Module:
    """Put the kernels of convolutions into the layout that is fastest here; nothing else has four axes."""
    return module.to(memory_format=torch.channels_last)


def resident(workload: Workload) -> tuple[torch.Tensor, tuple[torch.Tensor, ...]]:
    """Put the data on the default device, images channels last: inputs, and labels or (boxes, labels)."""
    inputs, targets = examples(workload)
    held = torch.get_default_device()
    inputs = torch.from_numpy(inputs).to(held)
    if len(workload.shape) == 3:
        inputs = inputs.permute(0, 3, 1, 2).contiguous(memory_format=torch.channels_last)
    if workload.kind == "detection":
        return inputs, (
            torch.from_numpy(targets["boxes"]).to(held),
            torch.from_numpy(targets["classes"]).long().to(held),
        )
    return inputs, (torch.from_numpy(targets).long().to(held),)


def trainer(workload: Workload, steps: int, threads: int, *, compiled: bool = False) -> Run:
    """Make the run of one model, or of one game."""
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    return TRAINERS[workload.kind](workload, steps, torch.compile if compiled else lambda function: function)


def classify(workload: Workload, steps: int, prepared: Callable[[Any], Any]) -> Run:
    """Make the run of a classifier, of pictures, pixels or tokens, or of a detector: gather a batch, gradient, Adam."""
    module, (inputs, targets) = ready(MODELS[workload.name]()), resident(workload)
    adam = torch.optim.Adam(module.parameters(), LEARNING_RATE, fused=True)
    criterion = detection if workload.kind == "detection" else nn.CrossEntropyLoss()

    @prepared
    def loss(x: torch.Tensor, *y: torch.Tensor) -> torch.Tensor:
        return criterion(module(x), *y)

    def run(turn: int) -> None:
        del turn
        for _ in range(steps):
            index = torch.randint(0, len(inputs), (workload.batch,))
            adam.zero_grad(set_to_none=True)
            loss(inputs[index], *(one[index] for one in targets)).backward()
            adam.step()

    return run


def play(workload: Workload, steps: int, prepared: Callable[[Any], Any]) -> Run:
    """Make the run of a game: the discriminator's update, then the generator's, without gradients that none needs."""
    (generator, discriminator), (inputs, _) = map(ready, PLAYERS[workload.name]()), resident(workload)
    adam_g, adam_d = (
        torch.optim.Adam(player.parameters(), LEARNING_RATE, betas=(GAME_B1, 0.999), fused=True)
        for player in (generator, discriminator)
    )

    @prepared
    def catch(real: torch.Tensor, noise: torch.Tensor) -> torch.Tensor:
        with torch.no_grad():
            fake = generator(noise)
        return softplus(-discriminator(real)).mean() + softplus(discriminator(fake)).mean()

    @prepared
    def fool(noise: torch.Tensor) -> torch.Tensor:
        return softplus(-discriminator(generator(noise))).mean()

    def run(turn: int) -> None:
        del turn
        for _ in range(steps):
            index = torch.randint(0, len(inputs), (workload.batch,))
            adam_d.zero_grad(set_to_none=True)
            catch(inputs[index], torch.randn(workload.batch, LATENT)).backward()
            adam_d.step()
            adam_g.zero_grad(set_to_none=True)
            discriminator.requires_grad_(False)
            fool(torch.randn(workload.batch, LATENT)).backward()
            discriminator.requires_grad_(True)
            adam_g.step()

    return run


TRAINERS = {"classifier": classify, "segmentation": classify, "language": classify, "detection": classify, "game": play}
