"""Text that a trained language model of a run writes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import numpy as np

from deepprinciples.errors import ConfigError
from deepprinciples.learners import generating
from deepprinciples.learners.generating import Choice, Tokenizer, tokenizer_of
from deepprinciples.learners.writing import BEGIN_ID, END_ID, PADDING_ID, Writer, drawn, searched_pairs, writer_of
from deepprinciples.results.finished_run import Run
from deepprinciples.results.trained_model import load_model
from deepprinciples.types import Dataset


class Generated(NamedTuple):
    """What a model wrote.

    Attributes:
        texts: the prompt with what follows it, for each draw; of a beam search the likeliest first. Of a model of pairs
            the target alone.
        ids: the new tokens [draw, token]; of a model of pairs -1 from the end on.
        log_probabilities: of the new tokens of each text, found by a beam search; None for drawn ones.
    """

    texts: tuple[str, ...]
    ids: np.ndarray
    log_probabilities: np.ndarray | None = None

    def __str__(self) -> str:
        return "\n\n".join(self.texts)


def generate(
    run: Run,
    prompt: str = "",
    *,
    length: int = 200,
    count: int = 1,
    temperature: float = 1.0,
    top_k: int = 0,
    top_p: float = 1.0,
    beam: int = 0,
    key: int = 0,
    arm: str = "",
    seed: int = 0,
    config: Mapping[str, Any] | None = None,
) -> Generated:
    """Let a trained language model write; see `Run.generate`."""
    choice = generating.Choice(temperature, top_k, top_p)
    _check(choice, length, count, beam)
    trained, params = load_model(run, arm, seed, config=config)
    model, data = trained.model, trained.data
    tokenizer = readable(data)
    if isinstance(data.train.inputs, Mapping) and "source" in data.train.inputs:
        inputs = _pair(prompt, length, data.train.inputs, tokenizer)
        writer = writer_of(lambda x: trained.predict(params, x), model.unroll, params, trained.state)
        return _target(writer, inputs, choice, count, beam, jax.random.key(key), tokenizer)
    ids = _prompt_ids(prompt, tokenizer)
    window = data.train.targets.shape[1]
    if not generating.is_causal(model, params, trained.state, window, data.vocabulary):
        raise ConfigError(
            "generate: the model gives no scores at every position that rest on earlier ones alone; train a "
            'transformer with causal = true, or a recurrent network with readout = "every"'
        )
    if beam:
        if len(ids) + length > window:
            raise ConfigError(
                f"length: found {length} after a prompt of {len(ids)}; a beam search stays within the {window} "
                "positions of the training windows"
            )
        found, totals = generating.searched(model, params, trained.state, ids, length, beam)
        return Generated(_texts(ids, found, tokenizer), found, totals)
    found = generating.sampled(
        model, params, trained.state, np.tile(ids, (count, 1)), length, jax.random.key(key), choice, window
    )
    return Generated(_texts(ids, found, tokenizer), found)


def _pair(prompt: str, length: int, known: Mapping[str, np.ndarray], tokenizer: Tokenizer) -> dict[str, np.ndarray]:
    """Turn a prompt into the inputs of a model of pairs, as long as those of training."""
    if not prompt.split():
        raise ConfigError("prompt: found none; the model writes the target of a source: give the source")
    ids = np.append(_prompt_ids(prompt, tokenizer), END_ID)
    longest, most = known["source"].shape[1], min(length, known["target"].shape[1])
    if len(ids) > longest:
        raise ConfigError(
            f"prompt: found {len(ids) - 1} tokens; expected {longest - 1} or fewer, as in the sources of training"
        )
    source = np.append(ids, np.full(longest - len(ids), PADDING_ID)).astype(np.int32)
    return {"source": source[None], "target": np.full((1, most), BEGIN_ID, np.int32)}


def _target(
    writer: Writer, inputs: Mapping[str, Any], choice: Choice, count: int, beam: int, key: Any, tokenizer: Tokenizer
) -> Generated:
    """Write the target of a source, drawn or searched for."""
    if beam:
        found, totals = jax.jit(lambda x: searched_pairs(writer, x, beam))(inputs)
        ids, logs = np.asarray(found[0]), np.asarray(totals[0])
    else:
        repeated = {name: np.repeat(one, count, axis=0) for name, one in inputs.items()}
        ids, logs = np.asarray(jax.jit(lambda x, key: drawn(writer, x, choice, key))(repeated, key)), None
    return Generated(tuple(tokenizer.decode(row.tolist()) for row in ids), ids, logs)


def readable(data: Dataset) -> Tokenizer:
    """Return the tokenizer of a data set whose tokens have names."""
    if not data.token_names:
        raise ConfigError("generate: the data set has no names of tokens; train on text, such as data = shakespeare")
    return tokenizer_of(data.token_names)


def _texts(prompt: np.ndarray, ids: np.ndarray, tokenizer: Tokenizer) -> tuple[str, ...]:
    return tuple(tokenizer.decode([*prompt.tolist(), *row.tolist()]) for row in ids)


def _prompt_ids(prompt: str, tokenizer: Tokenizer) -> np.ndarray:
    """Turn a prompt into token ids; the empty one is a line break, or where there is none the first token."""
    if not prompt:
        return tokenizer.encode("\n")[:1] if "\n" in tokenizer.names else np.zeros(1, np.int32)
    if any("\ud800" <= one <= "\udfff" for one in prompt):  # what a terminal makes of bytes that are no text
        raise ConfigError("prompt: holds bytes that are not UTF-8; write it as UTF-8")
    if unknown := generating.unknown_in(prompt, tokenizer):
        raise ConfigError(f'prompt: the model was trained on no "{unknown}"; write without it')
    return tokenizer.encode(prompt)


def _check(choice: generating.Choice, length: int, count: int, beam: int) -> None:
    problems = [
        f"{name}: found {value}; expected {words}"
        for name, value, holds, words in (
            ("length", length, length >= 1, "1 or more"),
            ("count", count, count >= 1, "1 or more"),
            ("temperature", choice.temperature, choice.temperature >= 0, "0 (the likeliest token) or more"),
            ("top_k", choice.top_k, choice.top_k >= 0, "0 (all tokens) or more"),
            ("top_p", choice.top_p, 0 < choice.top_p <= 1, "a number in (0, 1]"),
            ("beam", beam, beam >= 0, "0 (draw) or more"),
        )
        if not holds
    ]
    if problems:
        raise ConfigError(*problems)
