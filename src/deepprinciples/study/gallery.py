"""What a person looks at or listens to: test examples and what the first kept model of every arm says, and its text.

Examples are drawn by the `display` of the data set when a run ends, and kept as pictures among its results, recordings
as samples, so that a report needs neither the data nor the models.
"""

from __future__ import annotations

import functools
import io
from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np
import xarray as xr

from deepprinciples.learners import generating
from deepprinciples.learners.assembly import from_config
from deepprinciples.learners.assembly.factories import trait
from deepprinciples.learners.trained_networks import networks_of
from deepprinciples.learners.writing import write, writer_of
from deepprinciples.parts.text import tokenizer_of
from deepprinciples.study.planning.plan import StudyPlan
from deepprinciples.types import Array, Dataset, Model, PyTree, Sounds

EXAMPLES, SIDE = 5, 144  # how many are drawn, each of SIDE x SIDE pixels
LONGEST = 2**18  # samples of a recording that are kept: 33 seconds at 8 kHz, 5 at 48 kHz


def gallery(plan: StudyPlan, states: Mapping[str, Any], chosen: Mapping[str, Mapping[str, float]]) -> dict[str, Any]:
    """Draw the first test examples, each with the truth and with the outputs of every arm.

    Args:
        plan: of the study, all arms on one data set that has a `display`, or acting in environments that draw
            themselves; otherwise there is no gallery.
        states: arm -> the final states of its learner, leading axis: seed.
        chosen: arm -> the tuned settings of its first seed.

    Returns:
        Variables of the results. "gallery": bytes [gallery_of, example, row, column, channel]; `gallery_of` is "truth"
        and the arms, or the arms alone, with moments of an episode as examples. Of recordings in its place those of
        `_recorded`. Nothing where there is no gallery.
    """
    data = next(iter(plan.data.values()))
    answers = lambda arm: trait("learner", plan.arms[arm].config["learner"], "answers") is not False
    arms = [arm for arm, state in states.items() if hasattr(state, "eval_params") and answers(arm)]
    configs = {arm: from_config.replaced(plan.arms[arm].config, chosen.get(arm, {})) for arm in arms}
    if arms and all(trait("learner", one["learner"], "episode") for one in configs.values()):
        return _episodes(configs, states)
    if data.display is None or not arms or any(one is not data for one in plan.data.values()):
        return {}
    first = lambda tree: jax.tree.map(lambda array: np.asarray(array[:EXAMPLES]), tree)
    inputs, targets = first(data.test.inputs), first(data.test.targets)
    rows = {"truth": targets}
    for arm in arms:
        networks = networks_of(configs[arm], data)
        if "" not in networks:
            return {}
        model, read = networks[""].model, networks[""].read
        lane = lambda tree: jax.tree.map(lambda array: array[0], tree)
        apply = jax.jit(lambda params, state, x, model=model: model.apply(params, state, x, key=None, train=False)[0])
        rows[arm] = first(apply(lane(states[arm].eval_params), lane(states[arm].eval_state), read(inputs)))
    if data.sounds is not None:
        return _recorded(data.sounds, inputs, rows)
    count = len(jax.tree.leaves(inputs)[0])
    drawn = [[_drawn(data, one(inputs, k), one(found, k)) for k in range(count)] for found in rows.values()]
    return _gallery(drawn, rows)


def _gallery(drawn: list[list[np.ndarray]], rows: Mapping[str, Any]) -> dict[str, Any]:
    dims = ("gallery_of", "example", "row", "column", "channel")
    return {"gallery": xr.DataArray(np.array(drawn), dims=dims, coords={"gallery_of": list(rows)})}


def _recorded(sounds: Sounds, features: np.ndarray, rows: Mapping[str, PyTree]) -> dict[str, Any]:
    """Keep recordings for a report: samples, features, and what is said by the truth and by every arm.

    Args:
        sounds: of the first test examples.
        features: [example, T, bands], 0 behind the end of a recording.
        rows: "truth" or arm -> targets or outputs of the examples.

    Returns:
        "recording" [example, sample], of 16 bits, with "recording_length" and "recording_rate"; "spectrogram"
        [example, frame, band], NaN behind the end; "transcript" [gallery_of, example].
    """
    count = min(len(sounds.samples), len(features))
    kept = [np.asarray(one)[:LONGEST] for one in sounds.samples[:count]]
    lengths = np.array([len(one) for one in kept], np.int32)
    recording = np.zeros((count, max(lengths)), np.int16)
    shown = np.array(features[:count], np.float32)
    for k, samples in enumerate(kept):
        recording[k, : len(samples)] = np.clip(np.round(np.float64(samples) * 2**15), -(2**15), 2**15 - 1)
        frames = 1 + np.flatnonzero(np.any(shown[k] != 0, axis=1))[-1]
        shown[k, -(-frames * len(samples) // len(sounds.samples[k])) :] = np.nan
    said = [[sounds.transcript(one(found, k)) for k in range(count)] for found in rows.values()]
    of = {"gallery_of": list(rows)}
    return {
        "recording": xr.DataArray(recording, dims=("example", "sample")),
        "recording_length": xr.DataArray(lengths, dims=("example",)),
        "recording_rate": xr.DataArray(np.int32(sounds.rate)),
        "spectrogram": xr.DataArray(shown, dims=("example", "frame", "band")),
        "transcript": xr.DataArray(np.array(said), dims=("gallery_of", "example"), coords=of),
    }


def texts(
    plan: StudyPlan, states: Mapping[str, Any], chosen: Mapping[str, Mapping[str, float]], length: int = 400
) -> dict[str, str]:
    """Let the first kept model of every arm go on with the same line of test text, or translate, arm -> text.

    Args:
        plan: of the study.
        states: arm -> the final states of its learner, leading axis: seed.
        chosen: arm -> the tuned settings of its first seed.
        length: tokens that are added to a line.
    """
    found = {}
    for arm, state in states.items():
        data = plan.data[arm]
        if not data.token_names or data.outputs != data.vocabulary or not hasattr(state, "eval_params"):
            continue
        network = networks_of(from_config.replaced(plan.arms[arm].config, chosen.get(arm, {})), data)[""]
        params, own = (jax.tree.map(lambda array: array[0], tree) for tree in (state.eval_params, state.eval_state))
        inputs = data.test.inputs
        if isinstance(inputs, Mapping) and "source" in inputs:
            found[arm] = _translations(network.model, params, own, data)
            continue
        if isinstance(inputs, Mapping):  # rows of several documents
            inputs = inputs["tokens"]
        window = inputs.shape[1]
        if not generating.is_causal(network.model, params, own, window, data.vocabulary):
            continue
        prompt = inputs[0][: max(1, window // 4)]
        choice = generating.Choice(temperature=0.8)
        made = generating.sampled(network.model, params, own, prompt[None], length, jax.random.key(0), choice, window)
        found[arm] = tokenizer_of(data.token_names).decode([*prompt.tolist(), *made[0].tolist()])
    return found


def _translations(model: Model, params: PyTree, state: PyTree, data: Dataset) -> str:
    """Translate examples spread over the test part: the source, what is written, and in parentheses the target."""
    places = np.arange(EXAMPLES) * (len(data.test.targets) // EXAMPLES)
    inputs = {side: ids[places] for side, ids in data.test.inputs.items()}

    @jax.jit
    def written(params: PyTree, state: PyTree, inputs: PyTree) -> Array:
        predict = lambda given: model.apply(params, state, given, key=None, train=False)[0]
        return write(writer_of(predict, model.unroll, params, state), inputs)

    made = np.asarray(written(params, state, inputs))
    decode, targets = tokenizer_of(data.token_names).decode, data.test.targets[places]
    three = zip(inputs["source"], made, targets, strict=True)
    return "\n\n".join(f"{decode(a)}\n  {decode(b[b >= 0])}\n  ({decode(c[c >= 0])})" for a, b, c in three)


def _episodes(configs: Mapping[str, Any], states: Mapping[str, Any]) -> dict[str, Any]:
    """Draw moments of an episode of every arm, as far apart as they can be."""
    rows = {}
    for arm, config in configs.items():
        play = trait("learner", config["learner"], "episode")
        seen, count, draw = play(config, one(states[arm], 0), jax.random.key(0, impl="threefry2x32"))
        if draw is None:
            return {}
        moments = np.linspace(0, int(count) - 1, EXAMPLES).round().astype(int)
        show = lambda axes, k, draw=draw, seen=seen: draw(axes, one(seen, k))
        rows[arm] = [_pictured(functools.partial(show, k=k)) for k in moments]
    return _gallery(list(rows.values()), rows)


def one(tree: PyTree, index: int) -> PyTree:
    """Take one example out of a tree of arrays."""
    return jax.tree.map(lambda array: array[index], tree)


def _drawn(data: Dataset, inputs: PyTree, outputs: PyTree) -> np.ndarray:
    """Draw one example; above it stands its class, where there is one."""
    display: Callable[..., Any] = data.display  # type: ignore[assignment]
    title = ""
    if data.task == "classification" and np.ndim(outputs) < 2:
        label = int(np.argmax(outputs) if np.ndim(outputs) else outputs)
        title = data.class_names[label] if label < len(data.class_names) else str(label)
    return _pictured(lambda axes: display(axes, inputs, outputs), title)


def _pictured(draw: Callable[[Any], Any], title: str = "") -> np.ndarray:
    """Let something draw on axes, and return [SIDE, SIDE, 3] bytes."""
    from matplotlib.figure import Figure
    from PIL import Image

    figure = Figure(figsize=(2, 2), dpi=SIDE / 2, facecolor="white")
    axes = figure.add_axes((0.02, 0.02, 0.96, 0.8 if title else 0.96))
    draw(axes)
    axes.set_axis_off()
    if title:
        axes.set_title(title, fontsize=17)
    stream = io.BytesIO()
    figure.savefig(stream, format="png")
    return np.asarray(Image.open(stream).convert("RGB"))
