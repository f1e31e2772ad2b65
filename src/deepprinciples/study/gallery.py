"""What a person looks at: test examples with what the first kept model of every arm says, and text that it writes.

Examples are drawn by the `display` of the data set when a run ends, and kept as pictures among its results, so that a
report needs neither the data nor the models.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np
import xarray as xr

from deepprinciples.learners import from_config, generating
from deepprinciples.learners.factories import trait
from deepprinciples.learners.trained_networks import networks_of
from deepprinciples.parts.text import tokenizer_of
from deepprinciples.study.plan import StudyPlan
from deepprinciples.types import Dataset, PyTree

EXAMPLES, SIDE = 5, 144  # how many are drawn, each of SIDE x SIDE pixels


def gallery(
    plan: StudyPlan, states: Mapping[str, Any], chosen: Mapping[str, Mapping[str, float]]
) -> xr.DataArray | None:
    """Draw the first test examples, each with the truth and with the outputs of every arm.

    Args:
        plan: of the study, all arms on one data set that has a `display`; otherwise there is no gallery.
        states: arm -> the final states of its learner, leading axis: seed.
        chosen: arm -> the tuned settings of its first seed.

    Returns:
        Bytes [gallery_of, example, row, column, channel]; `gallery_of` is "truth" and the arms.
    """
    data = next(iter(plan.data.values()))
    answers = lambda arm: trait("learner", plan.arms[arm].config["learner"], "answers") is not False
    arms = [arm for arm, state in states.items() if hasattr(state, "eval_params") and answers(arm)]
    if data.display is None or not arms or any(one is not data for one in plan.data.values()):
        return None
    first = lambda tree: jax.tree.map(lambda array: np.asarray(array[:EXAMPLES]), tree)
    inputs, targets = first(data.test.inputs), first(data.test.targets)
    rows = {"truth": targets}
    for arm in arms:
        networks = networks_of(from_config.replaced(plan.arms[arm].config, chosen.get(arm, {})), data)
        if "" not in networks:
            return None
        model, read = networks[""].model, networks[""].read
        lane = lambda tree: jax.tree.map(lambda array: array[0], tree)
        apply = jax.jit(lambda params, state, x, model=model: model.apply(params, state, x, key=None, train=False)[0])
        rows[arm] = first(apply(lane(states[arm].eval_params), lane(states[arm].eval_state), read(inputs)))
    drawn = [
        [_drawn(data, one(inputs, k), one(found, k)) for k in range(len(_leaf(inputs)))] for found in rows.values()
    ]
    dims = ("gallery_of", "example", "row", "column", "channel")
    return xr.DataArray(np.array(drawn), dims=dims, coords={"gallery_of": list(rows)})


def texts(
    plan: StudyPlan, states: Mapping[str, Any], chosen: Mapping[str, Mapping[str, float]], length: int = 400
) -> dict[str, str]:
    """Let the first kept model of every arm go on with the same line of test text, arm -> text.

    Args:
        plan: of the study.
        states: arm -> the final states of its learner, leading axis: seed.
        chosen: arm -> the tuned settings of its first seed.
        length: tokens that are added.
    """
    found = {}
    for arm, state in states.items():
        data = plan.data[arm]
        if not data.token_names or data.outputs != data.vocabulary or not hasattr(state, "eval_params"):
            continue
        network = networks_of(from_config.replaced(plan.arms[arm].config, chosen.get(arm, {})), data)[""]
        params, own = (jax.tree.map(lambda array: array[0], tree) for tree in (state.eval_params, state.eval_state))
        window = data.train.inputs.shape[1]
        if not generating.is_causal(network.model, params, own, window, data.vocabulary):
            continue
        prompt = data.test.inputs[0][: max(1, window // 4)]
        choice = generating.Choice(temperature=0.8)
        made = generating.sampled(network.model, params, own, prompt[None], length, jax.random.key(0), choice, window)
        found[arm] = tokenizer_of(data.token_names).decode([*prompt.tolist(), *made[0].tolist()])
    return found


def one(tree: PyTree, index: int) -> PyTree:
    """Take one example out of a tree of arrays."""
    return jax.tree.map(lambda array: array[index], tree)


def _leaf(tree: PyTree) -> Any:
    return jax.tree.leaves(tree)[0]


def _drawn(data: Dataset, inputs: PyTree, outputs: PyTree) -> np.ndarray:
    """Draw one example, [SIDE, SIDE, 3] bytes; above it stands its class, where there is one."""
    from matplotlib.figure import Figure
    from PIL import Image

    display: Callable[..., Any] = data.display  # type: ignore[assignment]
    figure = Figure(figsize=(2, 2), dpi=SIDE / 2, facecolor="white")
    named = data.task == "classification" and np.ndim(outputs) < 2
    axes = figure.add_axes((0.02, 0.02, 0.96, 0.8 if named else 0.96))
    display(axes, inputs, outputs)
    axes.set_axis_off()
    if named:
        label = int(np.argmax(outputs) if np.ndim(outputs) else outputs)
        axes.set_title(data.class_names[label] if label < len(data.class_names) else str(label), fontsize=17)
    stream = io.BytesIO()
    figure.savefig(stream, format="png")
    return np.asarray(Image.open(stream).convert("RGB"))
