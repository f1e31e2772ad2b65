"""Speech: features against librosa, CTC against PyTorch, decoding against all paths, and that a network learns."""

from __future__ import annotations

import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from jax.test_util import check_grads

import deepprinciples as dp
from deepprinciples.domains.speech.ctc_loss import ctc
from deepprinciples.domains.speech.mel_features import frame_count, log_mel
from deepprinciples.domains.speech.spectrogram_masks import spec_augment
from deepprinciples.domains.speech.tone_sequences import tones
from deepprinciples.errors import DataError
from deepprinciples.kernels.sequences.ctc_decoding import beam_search, greedy
from deepprinciples.types import Batch

KEY = jax.random.key(0)


def noise(count: int, seed: int = 0) -> np.ndarray:
    return 0.1 * np.random.default_rng(seed).standard_normal(count).astype(np.float32)


def by_definition(samples: np.ndarray, rate: int, window: int, hop: int, bands: int) -> np.ndarray:
    """Write the features anew: PyTorch's spectrogram, and triangles by interpolation between their corners."""
    length, step = round(window * rate / 1000), round(hop * rate / 1000)
    size = 2 ** int(np.ceil(np.log2(length)))
    hann = torch.hann_window(length, periodic=True)
    hann = torch.nn.functional.pad(hann, (0, size - length))
    padded = torch.nn.functional.pad(torch.tensor(samples), (0, size - length))
    found = torch.stft(padded, size, step, size, hann, center=False, return_complex=True).abs().numpy() ** 2
    top = 2595 * np.log10(1 + np.array([20.0, rate / 2]) / 700)
    corners = 700 * (10 ** (np.linspace(*top, bands + 2) / 2595) - 1)
    hertz = np.arange(size // 2 + 1) * rate / size
    bank = np.stack([np.interp(hertz, corners[b : b + 3], [0, 1, 0]) for b in range(bands)])
    return np.log(1e-6 + bank @ found).T


@pytest.mark.parametrize(
    ("rate", "window", "bands"), [(8000, 25, 40), (16000, 25, 40), (8000, 32, 20), (22050, 25, 80)]
)
def test_log_mel_is_what_its_formula_says(rate: int, window: int, bands: int) -> None:
    """Lost: features that another program computes alike, so that results compare."""
    samples = noise(rate // 2 + 37)
    ours = log_mel(samples, rate, window=window, bands=bands)
    np.testing.assert_allclose(ours, by_definition(samples, rate, window, 10, bands), atol=2e-5)
    assert ours.dtype == np.float32 and len(ours) == frame_count(len(samples), rate, window=window)


def test_a_tone_is_in_the_band_of_its_frequency() -> None:
    """Lost: a mel bank that is shifted. 40 bands from 20 to 4000 Hz; 1000 Hz is 1000 mel, near the end of band 18."""
    features = log_mel(np.sin(2 * np.pi * 1000 * np.arange(4000) / 8000).astype(np.float32), 8000)
    low, high = 2595 * np.log10(1 + np.array([20.0, 4000.0]) / 700)
    band = (1000 - low) / (high - low) * 41 - 1
    assert set(features.argmax(axis=1)) == {round(band)}


def test_recordings_without_a_frame_and_empty_bands_are_refused() -> None:
    """Lost: an index error from deep inside, or features that are constant."""
    with pytest.raises(DataError, match="found 199 samples at 8000 Hz, expected at least one window of 200"):
        log_mel(noise(199), 8000)
    assert log_mel(noise(200), 8000).shape == (1, 40)
    with pytest.raises(DataError, match=r"data.bands: found 128, of which \d+ hold no frequency at 8000 Hz; choose"):
        log_mel(noise(800), 8000, bands=128)


@functools.cache
def example(seed: int = 0) -> tuple:
    """Return scores [6, 12, 5], and targets with gaps, repeats and padding."""
    draw = np.random.default_rng(seed)
    labels = draw.integers(1, 5, (6, 4))
    labels[::2, -1], labels[1, 1], labels[2, 1:] = -1, -1, -1
    frames = np.array([12, 9, 8, 10, 12, 11])
    scores = 3 * draw.standard_normal((6, 12, 5))
    return jnp.asarray(scores, jnp.float32), {"labels": jnp.asarray(labels), "frames": jnp.asarray(frames)}


def test_the_loss_is_that_of_pytorch_and_of_all_paths() -> None:
    """Lost: what is minimized; or padding, or a label of -1 between others, counts."""
    scores, targets = example()
    ours = jax.jit(ctc())(scores, targets)
    labels, frames = np.asarray(targets["labels"]), np.asarray(targets["frames"])
    there = labels >= 0
    log_p = torch.log_softmax(torch.tensor(np.asarray(scores)), -1).permute(1, 0, 2)
    theirs = torch.nn.functional.ctc_loss(
        log_p, torch.tensor(labels[there]), torch.tensor(frames), torch.tensor(there.sum(1)), reduction="none"
    )
    np.testing.assert_allclose(ours, theirs, rtol=1e-5)
    # By hand: two frames, one label; paths aa, a-, -a.
    p = np.array([[0.5, 0.3, 0.2], [0.1, 0.6, 0.3]])
    small = {"labels": jnp.array([[1, -1]]), "frames": jnp.array([2])}
    hand = -np.log(0.3 * 0.6 + 0.3 * 0.1 + 0.5 * 0.6)
    assert float(ctc()(jnp.log(jnp.asarray(p))[None], small)[0]) == pytest.approx(hand, rel=1e-5)
    behind = scores.at[1, 9:].set(1e4)
    np.testing.assert_array_equal(jax.jit(ctc())(behind, targets), ours)


def test_gradients_of_the_loss() -> None:
    """Lost: training that follows another slope, or NaN behind the frames."""
    scores, targets = example()
    check_grads(jax.jit(lambda x: ctc()(x, targets).sum()), (scores,), order=1, modes=["rev"], rtol=2e-2, atol=2e-2)
    slopes = jax.grad(lambda x: ctc()(x, targets).sum())(scores)
    assert np.isfinite(slopes).all() and not np.any(slopes[1, 9:])


@pytest.mark.parametrize(
    ("outputs", "targets", "message"),
    [
        (jnp.zeros((2, 5, 3)), jnp.zeros((2, 4), int), "ctc: found no table as targets, expected outputs"),
        (jnp.zeros((2, 5, 3)), {"labels": jnp.zeros((2, 4), int)}, "ctc: found a table of labels as targets"),
        (jnp.zeros((2, 3)), {"labels": jnp.zeros((2, 4), int), "frames": jnp.zeros(2, int)}, "do not pair"),
        (jnp.zeros((3, 5, 3)), {"labels": jnp.zeros((2, 4), int), "frames": jnp.zeros(2, int)}, "do not pair"),
    ],
)
def test_what_does_not_pair_is_named(outputs, targets, message) -> None:
    """Lost: a loss that broadcasts."""
    with pytest.raises(ValueError, match=message) as caught:
        ctc()(outputs, targets)
    assert "\n" not in str(caught.value)


def path_sums(scores: np.ndarray) -> dict[tuple[int, ...], float]:
    """Add up the probabilities of all paths by what they become."""
    p = np.exp(np.asarray(jax.nn.log_softmax(scores)))
    found: dict[tuple[int, ...], float] = {}
    for path in itertools.product(range(p.shape[1]), repeat=len(p)):
        tokens = tuple(one for one, _ in itertools.groupby(path) if one)
        found[tokens] = found.get(tokens, 0.0) + float(np.prod(p[np.arange(len(p)), path]))
    return found


def tokens_of(found: jax.Array) -> tuple[int, ...]:
    return tuple(int(token) for token in found if token >= 0)


def test_decoding_against_all_paths() -> None:
    """Lost: the likeliest tokens. A beam that holds every prefix is exact; the likeliest path is often another."""
    wide = jax.jit(functools.partial(beam_search, beams=40))
    narrow = jax.jit(functools.partial(beam_search, beams=4))
    best_path = jax.jit(greedy)
    draw = np.random.default_rng(0)
    close = apart = 0
    for _ in range(40):
        scores, frames = jnp.asarray(draw.standard_normal((5, 3)), jnp.float32), int(draw.integers(1, 6))
        sums = path_sums(scores[:frames])
        likeliest = max(sums, key=sums.get)
        assert tokens_of(wide(scores, frames)) == likeliest
        path = tuple(one for one, _ in itertools.groupby(np.argmax(scores[:frames], axis=1).tolist()) if one)
        assert tokens_of(best_path(scores, frames)) == path
        close += tokens_of(narrow(scores, frames)) == likeliest
        apart += path != likeliest
    assert close >= 38 and apart >= 5, (close, apart)


def test_answers_that_hold_nan_are_empty() -> None:
    """Lost: a diverged network that scores by the chance of what argmax makes of NaN."""
    scores = 5.0 * jax.nn.one_hot(jnp.array([1, 2, 0, 2, 1]), 3)
    assert tokens_of(greedy(scores, 4)) == (1, 2, 2) == tokens_of(beam_search(scores, 4, beams=3))
    bad = scores.at[2, 1].set(jnp.nan)
    assert tokens_of(greedy(bad, 4)) == () == tokens_of(beam_search(bad, 4, beams=3))
    assert tokens_of(greedy(bad, 2)) == (1, 2) == tokens_of(beam_search(bad, 2, beams=3))


def masked(part, frames: int = 40, seed: int = 0) -> np.ndarray:
    targets = {"labels": jnp.zeros((200, 1), int), "frames": jnp.full(200, frames)}
    batch = Batch(jnp.ones((200, 50, 20)), targets)
    return np.asarray(jax.jit(part.apply)(jax.random.key(seed), batch).inputs == 0)


def test_spec_augment_covers_what_it_says() -> None:
    """Lost: the trick of this name: one stretch of at most the width, uniform, within the frames of the recording."""
    one = masked(spec_augment(time_masks=1, time_width=0.5, frequency_masks=0))
    assert (one.all(axis=2) == one.any(axis=2)).all(), "a stretch of time covers all bands"
    rows = one.all(axis=2)  # [200, 50]
    assert not rows[:, 40:].any() and rows[:, :40].any(axis=0).all()
    lengths = rows.sum(axis=1)
    assert lengths.max() <= 21 and 8 < lengths.mean() < 12  # of U(0, 20) frames
    assert (np.abs(np.diff(np.pad(rows, ((0, 0), (1, 1))).astype(int), axis=1)).sum(axis=1) <= 2).all(), "in one piece"
    bands = masked(spec_augment(time_masks=0, frequency_masks=2, frequency_width=0.25)).all(axis=1)
    assert bands.sum(axis=1).max() <= 11 and bands.any(axis=0).all()


def test_widths_of_spec_augment_are_lanes_and_zero_switches_it_off() -> None:
    """Lost: a sweep over widths in one program, and the arm without it."""
    batch = Batch(jax.random.normal(KEY, (3, 20, 8)), jnp.zeros(3))
    of = lambda width: spec_augment(time_width=width, frequency_width=width).apply(KEY, batch).inputs
    lanes = jax.jit(jax.vmap(of))(jnp.array([0.0, 0.3]))
    np.testing.assert_array_equal(lanes[0], batch.inputs)
    np.testing.assert_array_equal(lanes[1], of(0.3))
    assert np.any(lanes[1] == 0)
    with pytest.raises(ValueError, match=r"spec_augment: found inputs float32\[2, 3\], expected floats \[B, T, F\]"):
        spec_augment().apply(KEY, Batch(jnp.zeros((2, 3)), jnp.zeros(2)))


def test_tones_are_the_same_for_a_seed_and_padded_with_zeros() -> None:
    """Lost: arms that see other recordings, or labels that are not what sounds."""
    source, again, other = tones(size=20), tones(size=20), tones(size=20, data_seed=1)
    np.testing.assert_array_equal(source.inputs, again.inputs)
    assert source.inputs.shape != other.inputs.shape or not np.array_equal(source.inputs, other.inputs)
    labels, frames = source.targets["labels"], source.targets["frames"]
    assert labels.max() == 6 and labels[labels >= 0].min() == 1 and source.class_names[0] == "(blank)"
    one = int(np.argmax((labels >= 0).sum(axis=1) == 1))
    assert not source.inputs[one, frames[one] :].any()


def test_a_small_network_learns_to_read_tones(tmp_path) -> None:
    """Lost: speech recognition as a whole: features, loss, decoding and metric pull in one direction."""
    config = {
        "data": {"name": "tones", "size": 400, "most": 3, "tones": 3, "batch_size": 32},
        "model": {"name": "gru", "width": 24, "bidirectional": True, "readout": "every"},
        "loss": "ctc",
        "optimizer": {"name": "adam", "learning_rate": 0.02},
        "metrics": {"words": {"name": "word_error_rate"}},
        "study": {"metric": "token_error_rate"},
        "train": {"steps": 200, "probes": [], "evaluate_every": 100},
    }
    found = dp.train(config, tmp_path / "run").results
    assert float(found.score.mean()) < 0.15, "one that merges equal neighbors has 0.17, an empty answer 1"
    assert 0 <= float(found.test_words.mean()) <= 1
