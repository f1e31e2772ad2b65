"""Metrics of token sequences against the packages that papers use: jiwer, seqeval, sacrebleu."""

from __future__ import annotations

import sys

import jax
import jax.numpy as jnp
import jiwer
import numpy as np
import pytest
import sacrebleu
from seqeval import metrics as seqeval

from deepprinciples.kernels.sequences.edit_distance import edit_distance, packed
from deepprinciples.parts.metrics import sequence_metrics
from deepprinciples.parts.metrics.sequence_metrics import bleu, chrf, entity_f1, token_error_rate, word_error_rate
from deepprinciples.types import Metric

NAMES = ("a", "b", "c", " ", "d")


def value(metric: Metric, outputs, targets) -> float:
    """Compute a metric as an evaluation does, two batches of a split with padding behind."""
    rows = jax.jit(metric.statistics)(outputs, targets)
    if metric.reduce == "sum":
        return float(metric.compute(jax.tree.map(lambda leaf: leaf.sum(axis=0), rows), jnp.float32(len(outputs))))
    padded = jax.tree.map(lambda leaf: np.concatenate([leaf, leaf[:2]]), rows)
    weights = np.array([1.0] * len(outputs) + [0.0] * 2)
    return float(metric.compute(padded, weights))


def pairs(seed: int = 0, classes: int = 5) -> tuple[jax.Array, jax.Array]:
    """Return token ids found [20, 9] and wanted [20, 7], with -1 anywhere."""
    draw = np.random.default_rng(seed)
    found, wanted = draw.integers(-1, classes, (20, 9)), draw.integers(-1, classes, (20, 7))
    wanted[:, 0] = 1  # no reference without a word
    return jnp.asarray(found), jnp.asarray(wanted)


def words(tokens: jax.Array, names: tuple[str, ...], separator: str) -> list[str]:
    return [separator.join(names[token] for token in row if token >= 0) for row in np.asarray(tokens)]


def test_the_distance_by_hand() -> None:
    """Lost: what an error is. kitten, sitting: two substitutions and an insertion."""
    ids = lambda text, length: jnp.array([ord(letter) for letter in text] + [-1] * (length - len(text)))
    of = jax.jit(edit_distance)
    assert int(of(ids("kitten", 9), ids("sitting", 7))) == 3
    assert int(of(ids("", 9), ids("sitting", 7))) == 7 and int(of(ids("kitten", 9), ids("", 7))) == 6
    assert int(of(jnp.array([-1, 3, -1, 4]), jnp.array([3, -1, -1, 4, -1]))) == 0
    assert packed(jnp.array([-1, 3, -1, 4])).tolist() == [3, 4, -1, -1]


@pytest.mark.parametrize("seed", [0, 1])
def test_error_rates_are_those_of_jiwer(seed: int) -> None:
    """Lost: rates that compare with those of papers: sums over the split, longer sentences count more."""
    found, wanted = pairs(seed)
    letters = ("a", "b", "c", "e", "d")
    expected = jiwer.wer(words(wanted, letters, " "), words(found, letters, " "))
    assert value(token_error_rate(), found, wanted) == pytest.approx(expected, rel=1e-6)
    expected = jiwer.wer(words(wanted, NAMES, ""), words(found, NAMES, ""))
    assert value(word_error_rate(class_names=NAMES), found, wanted) == pytest.approx(expected, rel=1e-6)


def test_scores_of_ctc_are_decoded_first() -> None:
    """Lost: an error rate of frames in place of tokens; or frames behind the end, or an answer of NaN, count."""
    path = jnp.array([[1, 1, 0, 1, 2, 2], [3, 0, 3, 1, 1, 1]])
    scores = 5.0 * jax.nn.one_hot(path, 4)
    targets = {"labels": jnp.array([[1, 1, 2, -1], [3, 3, -1, -1]]), "frames": jnp.array([6, 3])}
    for beams in (1, 3):
        assert value(token_error_rate(beams=beams), scores, targets) == 0
        more = targets | {"frames": jnp.array([6, 6])}
        assert value(token_error_rate(beams=beams), scores, more) == pytest.approx(1 / 5)
        bad = scores.at[0, 0, 0].set(jnp.nan)
        assert value(token_error_rate(beams=beams), bad, targets) == pytest.approx(3 / 5)


def test_scores_at_labels_are_compared_place_by_place() -> None:
    """Lost: what a model without CTC is measured by; positions without a label do not count."""
    labels = jnp.array([[1, 2, -1, 0], [2, 2, -1, -1]])
    answers = jnp.array([[1, 0, 1, 0], [2, 2, 2, 2]])
    scores = jax.nn.one_hot(answers, 3)
    assert value(token_error_rate(), scores, labels) == pytest.approx(1 / 5)
    assert value(token_error_rate(), scores.at[1, 0].set(jnp.nan), labels) == pytest.approx(2 / 5)
    with pytest.raises(ValueError, match=r"token_error_rate: outputs float32\[2, 4, 3\] .* do not pair"):
        token_error_rate().statistics(scores, labels[:, :3])


TAGS = ("O", "B-person", "I-person", "B-place", "I-place")


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_entities_are_those_of_seqeval(seed: int) -> None:
    """Lost: an F1 that compares with those of papers: whole entities, types, an I- that begins one, and -1 left out."""
    draw = np.random.default_rng(seed)
    wanted = draw.integers(-1, 5, (30, 8))
    answers = np.where(draw.random((30, 8)) < 0.7, np.maximum(wanted, 0), draw.integers(0, 5, (30, 8)))
    wanted[3], wanted[:, 0] = -1, 0
    names = lambda tags: [[TAGS[tag] for tag, label in zip(*row, strict=True) if label >= 0]
                          for row in zip(tags, wanted, strict=True)]  # fmt: skip
    metric = entity_f1(class_names=TAGS)
    scores, labels = jax.nn.one_hot(answers, 5), jnp.asarray(wanted)
    expected = seqeval.f1_score(names(wanted), names(answers))
    assert value(metric, scores, labels) == pytest.approx(expected, rel=1e-6) and 0.1 < expected < 0.9
    rows = metric.statistics(scores, labels)
    each = metric.per_class(jax.tree.map(lambda leaf: leaf.sum(axis=0), rows), 30)
    np.testing.assert_allclose(each, seqeval.f1_score(names(wanted), names(answers), average=None), rtol=1e-6)


def test_entities_by_hand() -> None:
    """Lost: an entity that ends elsewhere counts as found. Two of three right, three found: F1 = 2 / 3."""
    labels = jnp.array([[1, 2, 0, 3, 1, -1]])
    answers = jnp.array([[1, 2, 0, 3, 4, 1]])  # the last label is none; place 3 runs on over the person
    assert value(entity_f1(class_names=TAGS), jax.nn.one_hot(answers, 5), labels) == pytest.approx(2 * 1 / (2 + 3))
    assert value(entity_f1(class_names=TAGS), jax.nn.one_hot(jnp.maximum(labels, 0), 5), labels) == 1
    with pytest.raises(ValueError, match='entity_f1: found the class "cat", expected O, B-... or I-...'):
        entity_f1(class_names=("O", "cat"))
    with pytest.raises(ValueError, match="entity_f1: found no class B-"):
        entity_f1(class_names=())
    with pytest.raises(ValueError, match=r"entity_f1: found outputs \[1, 6, 4\] for 5 classes"):
        entity_f1(class_names=TAGS).statistics(jnp.zeros((1, 6, 4)), labels)


def test_bleu_and_chrf_are_of_texts_joined_by_names() -> None:
    """Lost: scores that compare with those of papers; padding of a split must not count."""
    names = ("the", "cat", "sat", "on", "mat", "dog")
    draw = np.random.default_rng(0)
    wanted = draw.integers(0, 6, (12, 8))
    found = np.where(draw.random((12, 8)) < 0.8, wanted, draw.integers(-1, 6, (12, 8)))
    texts = words(found, names, " "), [words(wanted, names, " ")]
    given = jnp.asarray(found), jnp.asarray(wanted)
    expected = sacrebleu.corpus_bleu(*texts).score
    assert value(bleu(class_names=names), *given) == pytest.approx(expected, rel=1e-6) and 10 < expected < 90
    assert value(chrf(class_names=names), *given) == pytest.approx(sacrebleu.corpus_chrf(*texts).score, rel=1e-6)
    joined = [words(side, names, "") for side in (found, wanted)]
    expected = sacrebleu.corpus_chrf(joined[0], [joined[1]], word_order=2).score
    assert value(chrf(class_names=names, separator="", word_order=2), *given) == pytest.approx(expected, rel=1e-6)
    assert value(bleu(class_names=names), given[1], given[1]) == pytest.approx(100)


@pytest.mark.parametrize("metric", [bleu, chrf])
def test_without_sacrebleu_one_line_says_how_to_get_it(metric, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lost: an ImportError in the middle of a study."""
    monkeypatch.setitem(sys.modules, "sacrebleu", None)
    with pytest.raises(ValueError, match=rf"{metric.__name__}: needs sacrebleu; install deepprinciples\[text\]"):
        metric(class_names=())


def test_every_metric_of_sequences_says_which_way_is_better() -> None:
    """Lost: a verdict that prefers more errors."""
    found = {name: (factory.direction, factory.best) for name, factory in sequence_metrics.TABLE.items()}
    assert found == {"token_error_rate": ("min", 0.0), "word_error_rate": ("min", 0.0), "entity_f1": ("max", 1.0),
                     "bleu": ("max", 100.0), "chrf": ("max", 100.0)}  # fmt: skip
