"""Corrupted test sets: the same held-out pictures, changed by what the table of amounts says."""

import numpy as np
import pytest

from deepprinciples.errors import DataError
from deepprinciples.learners.assembly import from_config
from deepprinciples.parts.splitting import corruptions
from deepprinciples.types import Split

RANDOM = np.random.default_rng(0)
PICTURES = RANDOM.random((40, 12, 10, 2), np.float32)
PART = Split(PICTURES, np.arange(40) % 3)


def changed(how, severity, part=PART):
    draw = np.random.RandomState(0)
    return corruptions.corrupted(part, how, severity, PART, draw, "test_sets.hard").inputs


def test_a_config_corrupts_the_held_out_pictures_and_no_others():
    """A network would be tested on other examples than those of the test split, or trained on corrupted ones."""
    sets = {how: {"name": "digits", "corrupt": how} for how in ("none", *corruptions.AMOUNTS)}
    plain = from_config.dataset({"data": {"name": "digits"}})
    data = from_config.dataset({"data": {"name": "digits"}, "test_sets": sets})
    np.testing.assert_array_equal(data.train.inputs, plain.train.inputs)
    np.testing.assert_array_equal(data.test_sets["none"].inputs, data.test.inputs)
    again = from_config.dataset({"data": {"name": "digits"}, "test_sets": sets})
    for how in corruptions.AMOUNTS:
        assert (data.test_sets[how].inputs != data.test.inputs).any()
        np.testing.assert_array_equal(data.test_sets[how].targets, data.test.targets)
        np.testing.assert_array_equal(data.test_sets[how].inputs, again.test_sets[how].inputs)
    noise = data.test_sets["noise"].inputs - data.test.inputs  # standardized: in units of the training pixels
    assert abs(noise.std() - corruptions.AMOUNTS["noise"][2]) < 0.02


def test_amounts_by_hand():
    """The severities of a report would be other amounts than those of the table."""
    scale, mean = PICTURES.std(), PICTURES.mean(axis=(0, 1, 2))
    lifted = (changed("brightness", 2) - PICTURES) / scale
    np.testing.assert_allclose(np.abs(lifted), 0.8, rtol=1e-4)
    assert {-1, 1} == set(np.sign(lifted).ravel())
    flat = changed("contrast", 5)
    np.testing.assert_allclose(flat.std(axis=(1, 2)), 0.2 * PICTURES.std(axis=(1, 2)), rtol=1e-4)
    moved = changed("shift", 3)  # 0.15 of 12 rows and 10 columns are 2 and (1.5, to the even number) 2
    assert all(
        any(np.array_equal(one[2:-2, 2:-2], old[2 - i : 10 - i, 2 - j : 8 - j]) for i in (-2, 2) for j in (-2, 2))
        for one, old in zip(moved, PICTURES, strict=True)
    )
    covered = (changed("occlude", 4) == mean).all(axis=3)
    np.testing.assert_array_equal(covered.sum(axis=(1, 2)), 6 * 5)
    turned = changed("rotate", 5)
    np.testing.assert_allclose(changed("rotate", 5, Split(np.ones_like(PICTURES), PART.targets)), 1.0, atol=1e-6)
    assert not np.allclose(turned[:, 6, 5], PICTURES[:, 6, 5])
    for how in ("noise", "blur", "brightness", "contrast"):
        far = [np.abs(changed(how, s) - PICTURES).mean() for s in (1, 3, 5)]
        assert far == sorted(far) and far[0] > 0 and changed(how, 1).dtype == np.float32


@pytest.mark.parametrize(("changes", "part", "line"), [
    (("noise", 3), Split(np.zeros((4, 3)), np.zeros(4)), "test_sets.hard.corrupt: found inputs that are no pictures"),
    (("fog", 3), PART, "test_sets.hard.corrupt: found 'fog', expected one of none, noise"),
    (("noise", 6), PART, "test_sets.hard.severity: found 6, expected 1 to 5"),
    (("shift", 1), Split(PICTURES, PICTURES[..., 0]), "test_sets.hard.corrupt: shift moves pictures, and these target"),
    (("rotate", 1), Split(PICTURES, {"boxes": PART.targets}), "test_sets.hard.corrupt: rotate moves pictures"),
])  # fmt: skip
def test_what_cannot_be_corrupted_is_one_line(changes, part, line):
    """Vectors would be blurred across features, or masks would lie beside their pictures."""
    with pytest.raises(DataError) as caught:
        changed(*changes, part)
    assert str(caught.value).startswith(line) and "\n" not in str(caught.value)
