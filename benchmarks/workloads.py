"""The workloads: what is trained, on which arrays, for how many steps. Every line of the benchmark reads them here.

Arrays are random but fixed, so a step costs what it costs on real data and nothing is loaded. A new workload is an
entry of WORKLOADS and a model of that name in each module of peers. How it is trained or timed does not belong here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal, NamedTuple

import numpy as np

EXAMPLES, HELD_OUT, CLASSES = 4000, 128, 10
LATENT = 64  # of a generator
LEARNING_RATE = 1e-3
GAME_B1 = 0.5  # of Adam, for both players


class Workload(NamedTuple):
    """One model to train. A repeat takes `steps` steps, or `stock_steps` where Flax's own layers are very slow.

    kind: "classifier", "segmentation" (a label for each pixel), "detection" (boxes), "language" (ids [T], a label for
    each), or "game" for two players; a step of a game is one update of each.
    """

    name: str
    title: str
    shape: tuple[int, ...]
    batch: int
    steps: int
    stock_steps: int
    kind: str = "classifier"
    classes: int = CLASSES

    @property
    def tokens(self) -> int:
        """Count the tokens of a step, 0 where nothing is made of tokens."""
        return self.batch * self.shape[0] if self.kind == "language" else 0


class Effort(NamedTuple):
    """How hard to measure: repeats of each line, how many times the steps of the short form, and which grids."""

    repeats: int
    factor: float
    intervals: tuple[int, ...]
    lanes: tuple[int, ...]


WORKLOADS = {
    one.name: one
    for one in (
        Workload("mlp", "MLP 784-128-128-10, ReLU, batch 128", (784,), 128, 1024, 1024),
        Workload(
            "cnn",
            "CNN on 28x28: convolution 3x3x16, pool 2, convolution 3x3x32, pool 2, dense 64, dense 10, ReLU, batch 128",
            (28, 28, 1),
            128,
            48,
            3,
        ),
        Workload("lstm", "LSTM of 64 units over 40 steps, last state to 10 classes, batch 100", (40, 1), 100, 128, 64),
        Workload(
            "gan",
            "GAN of MLPs: 64-128-128-784 against 784-128-128-1, ReLU, batch 128, one update of each a step",
            (784,),
            128,
            384,
            384,
            "game",
        ),
        Workload(
            "dcgan",
            "GAN on 28x28: dense 7x7x32, 2 x (double, convolution 3x3x32), convolution 3x3x1, against the convolutions "
            "of the CNN and dense 1, ReLU, batch 128, one update of each a step",
            (28, 28, 1),
            128,
            32,
            1,
            "game",
        ),
        Workload(
            "unet",
            "U-Net on 48x48: 3 levels of 8, 16 and 32 channels, convolutions 3x3, ReLU, 4 classes a pixel, batch 8",
            (48, 48, 1),
            8,
            64,
            1,
            "segmentation",
            4,
        ),
        Workload(
            "detector",
            "Detector on 48x48 scenes of digits: convolutions 3x3, 16 and 4 x 32 channels, the first two of stride 2, "
            "group normalization, ReLU, 10 classes and a box at 144 locations, focal loss and giou, batch 8",
            (48, 48, 1),
            8,
            128,
            1,
            "detection",
        ),
        Workload(
            "transformer",
            "Transformer on 64 tokens: 2 blocks of width 64, 4 heads, causal, norms before branches, GELU, batch 16",
            (64,),
            16,
            32,
            1,
            "language",
            64,
        ),
        Workload(
            "transformer_128",
            "Transformer on 128 tokens: 2 blocks of width 128, 4 heads, causal, norms before branches, GELU, batch 32",
            (128,),
            32,
            12,
            1,
            "language",
            64,
        ),
    )
}
# For the number of lanes alone, which no peer trains: 10,000 of the MLP above would take an hour.
SMALL = Workload("small_mlp", "MLP 64-32-10, ReLU, batch 32", (64,), 32, 64, 64)
EFFORTS = {
    "short": Effort(3, 0.45, (25,), (8, 64)),
    "full": Effort(5, 3, (1, 4, 16, 25, 64, 256), (8, 64, 512, 4096, 10_000)),
    "smoke": Effort(1, 0.03, (25,), (2, 8)),  # shows that everything runs; its numbers mean nothing
}


def scaled(steps: int, effort: Effort) -> int:
    """Give the steps of a repeat at an effort."""
    return max(2, round(steps * effort.factor))


def examples(workload: Workload, count: int = EXAMPLES) -> tuple[np.ndarray, Any]:
    """Draw the training examples: inputs [count, ...], and int32 labels [count], [count, H, W], [count, T] or boxes.

    How many objects a scene has decides what a detector learns from, so its scenes are those of the data set
    `scattered`, with targets {boxes [count, 4, 4], classes [count, 4]}.
    """
    if workload.kind == "detection":
        from deepprinciples.domains.detection.scenes import scattered

        scenes = scattered(size=count, held_out=1)
        return scenes.inputs, scenes.targets
    drawn = np.random.default_rng(0)
    if workload.kind == "language":
        ids = drawn.integers(0, workload.classes, (count, workload.shape[0] + 1)).astype(np.int32)
        return ids[:, :-1], ids[:, 1:]
    inputs = drawn.standard_normal((count, *workload.shape), dtype=np.float32)
    shape = (count, *workload.shape[:2]) if workload.kind == "segmentation" else (count,)
    return inputs, drawn.integers(0, workload.classes, shape).astype(np.int32)


def orders(workload: Workload, steps: int) -> np.ndarray:
    """Draw which examples each step sees, for the peers: int32 [steps, batch]."""
    return np.random.default_rng(1).integers(0, EXAMPLES, (steps, workload.batch)).astype(np.int32)


def config(workload: Workload, steps: int, **train: Any) -> dict[str, Any]:
    """Write the workload as a config of ours: Adam, one evaluation of a small split at the end, no probes.

    Args:
        workload: which.
        steps: of a run.
        **train: entries of [train] that differ; `probes=None` asks for the default probes.
    """
    settings = {"steps": steps, "evaluate_every": steps, "probes": (), **train}
    return {
        "data": {**_data(workload), "batch_size": workload.batch},
        "train": {key: value for key, value in settings.items() if value is not None},
        **SECTIONS[workload.kind](OURS[workload.name]()),
    }


def _data(workload: Workload) -> dict[str, Any]:
    # So few that the evaluation does not outweigh few steps of small batches, or of dear ones.
    count = workload.batch // 4 if workload.tokens else min(HELD_OUT, 2 * workload.batch)
    if workload.kind == "detection":
        return {"name": "scattered", "size": EXAMPLES, "held_out": count}
    inputs, targets = examples(workload)
    held = {"inputs": inputs[:count], "targets": targets[:count]}
    parts = {f"{part}_{key}": value for part in ("validation", "test") for key, value in held.items()}
    ids = {"tokens": workload.classes} if workload.kind == "language" else {}
    return {"name": "arrays", "inputs": inputs, "targets": targets, **ids, **parts}


def _supervised(model: dict[str, Any], loss: str = "softmax_cross_entropy", metric: str = "accuracy") -> dict[str, Any]:
    return {
        "model": model,
        "loss": {"name": loss},
        "optimizer": {"name": "adam", "learning_rate": LEARNING_RATE},
        "study": {"metric": metric},
    }


def _game(players: dict[str, Any]) -> dict[str, Any]:
    adam = {"name": "adam", "learning_rate": LEARNING_RATE, "b1": GAME_B1}
    return {
        "learner": {"name": "gan", "loss": "non_saturating", "latent": LATENT},
        **{player: {"model": model, "optimizer": adam} for player, model in players.items()},
        "study": {"metric": {"name": "sliced_wasserstein", "projections": 4}},
    }


SECTIONS: Mapping[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
    "classifier": _supervised,
    "segmentation": _supervised,
    "language": _supervised,
    "detection": lambda model: _supervised(model, "detection", "mean_average_precision"),
    "game": _game,
}


def _image_classifier(*, outputs: int, kernels: Literal["auto", "stock"] = "auto") -> Any:
    """Put a dense layer of 64 between the `cnn` model and its outputs: both models are the library's own."""
    import jax

    from deepprinciples.parts.layers.hidden_layers import with_slope
    from deepprinciples.parts.models.cnn import cnn
    from deepprinciples.parts.models.mlp import mlp
    from deepprinciples.types import ACTIVATION_DERIVATIVE, Model

    body, head = (
        cnn(outputs=64, depth=2, width=16, stages=2, activation="relu", kernels=kernels),
        mlp(outputs=outputs, depth=0),
    )

    def init(key: Any, x: Any) -> tuple[Any, Any]:
        key_body, key_head = jax.random.split(key)
        params, state = body.init(key_body, x)
        hidden, _, _ = body.apply(params, state, x, key=None, train=False)
        return {"body": params, "head": head.init(key_head, hidden)[0]}, {}

    def apply(params: Any, state: Any, x: Any, *, key: Any, train: bool) -> tuple[Any, Any, dict[str, Any]]:
        perturbations = state.get("perturbations", {})
        below = {name: tap for name, tap in perturbations.items() if name not in ("layer_02", "output")}
        read, _, seen = body.apply(params["body"], {"perturbations": below}, x, key=key, train=train)
        hidden, slope = with_slope(jax.nn.relu, read)
        hidden = hidden + perturbations["layer_02"] if "layer_02" in perturbations else hidden
        above = {name: tap for name, tap in perturbations.items() if name == "output"}
        outputs, _, last = head.apply(params["head"], {"perturbations": above}, hidden, key=key, train=train)
        seen = {name: a for name, a in seen.items() if name != "output"}
        return outputs, state, {**seen, "layer_02": hidden, "layer_02" + ACTIVATION_DERIVATIVE: slope, **last}

    return Model(init, apply, takes_perturbations=True, per_example=body.per_example)


_MLP = {"name": "mlp", "depth": 2, "width": 128, "activation": "relu"}
OURS: Mapping[str, Callable[[], dict[str, Any]]] = {
    "mlp": lambda: _MLP,
    "small_mlp": lambda: {"name": "mlp", "depth": 1, "width": 32, "activation": "relu"},
    "cnn": lambda: {"factory": _image_classifier},
    "lstm": lambda: {"name": "lstm", "width": 64},
    "unet": lambda: {"name": "unet", "levels": 3, "width": 8, "activation": "relu"},
    "detector": lambda: {"name": "detector", "depth": 3, "width": 16, "activation": "relu"},
    "transformer": lambda: {"name": "transformer", "depth": 2, "width": 64, "heads": 4},
    "transformer_128": lambda: {"name": "transformer", "depth": 2, "width": 128, "heads": 4},
    "gan": lambda: {"generator": _MLP, "discriminator": _MLP},
    "dcgan": lambda: {
        "generator": {"name": "resize_cnn", "depth": 2, "width": 32, "activation": "relu"},
        "discriminator": {"name": "cnn", "depth": 2, "width": 16, "stages": 2, "activation": "relu"},
    },
}
