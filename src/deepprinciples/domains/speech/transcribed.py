"""From recordings and their transcripts to a data source: features, labels, padding and the checks that CTC asks for.

Inputs are [N, T, bands], 0 from the frame `frames` on. Targets are {labels: [N, L] classes from 1 on, -1 for none,
frames: [N]}; class 0 is the blank.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from deepprinciples.domains.speech.mel_features import frame_count, log_mel
from deepprinciples.errors import DataError
from deepprinciples.parts.files.array_files import shown
from deepprinciples.parts.splitting.array_checks import plural
from deepprinciples.parts.splitting.sources import Source, of_parts
from deepprinciples.parts.splitting.trees import Leaves
from deepprinciples.types import Sounds, Split

BLANK_NAME = "(blank)"


class Recording(NamedTuple):
    """Samples [S] in [-1, 1] and the tokens that are said; `name` is that of errors, such as a path."""

    name: str
    samples: np.ndarray
    tokens: Sequence[str]


class Frames(NamedTuple):
    """How a recording is cut into frames, see `log_mel`."""

    window: int
    hop: int
    bands: int


def vocabulary(recordings: Sequence[Recording]) -> tuple[str, ...]:
    """Return the names of the classes: the blank and every token that is said, in order."""
    return (BLANK_NAME, *sorted({token for one in recordings for token in one.tokens}))


def speech(
    parts: Mapping[str, Sequence[Recording]],
    rate: int,
    frames: Frames,
    *,
    names: tuple[str, ...] = (),
    notes: tuple[str, ...] = (),
    groups: np.ndarray | None = None,
) -> Source:
    """Make a source of recordings: log-mel features, each band of a recording with mean 0 and standard deviation 1.

    Args:
        parts: "train" and, where they are fixed, "validation" and "test".
        rate: samples a second, of all recordings.
        frames: how they are cut.
        names: of the classes, the blank first; none to take all tokens that are said.
        notes: about the set.
        groups: [N] of the training part, see `Source`.

    Raises:
        DataError: a recording is shorter than a frame, silent or not finite, or its frames are too few for its tokens.
    """
    every = [one for part in parts.values() for one in part]
    names = names or vocabulary(every)
    classes = {name: number for number, name in enumerate(names)}
    counts = (frame_count(len(one.samples), rate, window=frames.window, hop=frames.hop) for one in every)
    longest = max(0, *counts)  # below 0 where all are shorter than a frame, which is refused below
    most = max(len(one.tokens) for one in every)
    if not most:
        raise DataError(f"{every[0].name}: no recording has a transcript with a token")
    made = {name: _split(part, rate, frames, classes, longest, most) for name, part in parts.items()}
    heard = [one.samples for one in parts.get("test", parts["train"])]
    return of_parts(
        made, "structured", len(names), standardize=False, notes=notes, leaves=Leaves(0, {"labels": len(names)}),
        class_names=names, groups=groups, display=functools.partial(draw, names=names),
        sounds=Sounds(rate, heard, functools.partial(transcript, names=names)),
    )  # fmt: skip


def _split(
    part: Sequence[Recording], rate: int, frames: Frames, classes: Mapping[str, int], longest: int, most: int
) -> Split:
    inputs = np.zeros((len(part), longest, frames.bands), np.float32)
    labels, counts = np.full((len(part), most), -1, np.int32), np.zeros(len(part), np.int32)
    for row, one in enumerate(part):
        features = features_of(one, rate, frames)
        inputs[row, : len(features)], counts[row] = features, len(features)
        for place, token in enumerate(one.tokens):
            labels[row, place] = classes[token]
    refuse_impossible(labels, counts, [one.name for one in part])
    return Split(inputs, {"labels": labels, "frames": counts})


def features_of(one: Recording, rate: int, frames: Frames) -> np.ndarray:
    """Return the log-mel features [frames, bands] of a recording, each band with mean 0 and standard deviation 1.

    Raises:
        DataError: it is shorter than a frame, silent, or holds NaN.
    """
    if not np.isfinite(one.samples).all():
        raise DataError(f"{one.name}: holds samples that are NaN or infinite")
    if not len(one.samples) or np.ptp(one.samples) == 0:
        what = "no samples" if not len(one.samples) else "silence only"
        raise DataError(f"{one.name}: holds {what}, expected a recording")
    try:
        features = log_mel(one.samples, rate, **frames._asdict())
    except DataError as error:
        text = str(error)
        raise DataError(text if text.startswith("data.") else f"{one.name}: {text}") from None
    spread = features.std(axis=0, keepdims=True)
    return (features - features.mean(axis=0, keepdims=True)) / np.maximum(spread, 1e-2)


def refuse_impossible(labels: np.ndarray, frames: np.ndarray, names: Sequence[str]) -> None:
    """Raise where no path of so few frames becomes the labels: one frame each, and a blank between equal neighbors.

    Args:
        labels: [N, L], -1 behind the last.
        frames: [N].
        names: of the examples.
    """
    repeats = np.sum((labels[:, 1:] == labels[:, :-1]) & (labels[:, 1:] >= 0), axis=1)
    needed = np.sum(labels >= 0, axis=1) + repeats
    wrong = np.flatnonzero(needed > frames)
    if len(wrong):
        first = int(wrong[0])
        raise DataError(
            f"{names[first]}: found {plural(int(frames[first]), 'frame')} for a transcript that needs {needed[first]} "
            f"(its tokens, and a blank between equal ones), as in {plural(len(wrong), 'recording')}; check the "
            "transcript, or make data.hop smaller"
        )


def draw(axes: Any, inputs: Any, outputs: Any = None, *, names: tuple[str, ...] = ()) -> None:
    """Draw the features of a recording, the lowest band below, and over them what is said.

    Args:
        axes: of matplotlib.
        inputs: [T, bands].
        outputs: targets {labels: [L], frames}, or outputs [T, C], whose likeliest path is read.
        names: of the classes, the blank first.
    """
    axes.imshow(np.asarray(inputs).T, cmap="gray", aspect="auto", origin="lower", interpolation="nearest")
    axes.set_axis_off()
    if outputs is None:
        return
    text = transcript(outputs, names=names)
    axes.set_title(text if len(text) <= 40 else f"{text[:39]}\N{HORIZONTAL ELLIPSIS}", fontsize=5)


def transcript(outputs: Any, *, names: tuple[str, ...] = ()) -> str:
    """Return what is said in a recording, by its targets or by the likeliest path of outputs, as in `draw`."""
    if isinstance(outputs, Mapping):
        tokens = [int(token) for token in outputs["labels"] if token >= 0]
    else:
        path = np.argmax(np.asarray(outputs), axis=-1)
        tokens = [int(token) for token in path[np.append(True, path[1:] != path[:-1])] if token > 0]
    words = [names[token] if names else str(token) for token in tokens]
    return ("" if all(len(name) == 1 for name in names[1:]) else " ").join(words)


def characters(text: str, where: str) -> tuple[str, ...]:
    """Cut a transcript into characters: lower case, one space between words.

    Raises:
        DataError: it is empty.
    """
    found = tuple(" ".join(text.lower().split()))
    if not found:
        raise DataError(f"{where}: the transcript is empty; write what is said, or remove the recording")
    if wrong := [one for one in found if not one.isprintable()]:
        raise DataError(f"{where}: found the character {shown(repr(wrong[0]))}, expected printable text")
    return found
