"""Models that say that examples go their own ways keep their word; those in which they meet do not say so."""

import jax
import numpy as np
import pytest

from deepprinciples.parts.models import cnn, lstm, resnet
from deepprinciples.parts.models.generators import resize_cnn, transposed_cnn

KEY = jax.random.key(0)
NORMALIZATIONS = ("none", "layer", "group", "instance", "rms", "weight", "weight_standardized")
IMAGES, SEQUENCES, NOISE = (6, 4, 4, 1), (6, 5, 2), (6, 3)
SMALL = {
    cnn: (IMAGES, {"outputs": 3, "depth": 2, "width": 4, "stages": 1}),
    resnet: (IMAGES, {"outputs": 3, "blocks": 1, "width": 4, "stages": 1}),
    resize_cnn: (NOISE, {"shape": (4, 4, 1), "depth": 1, "width": 4}),
    transposed_cnn: (NOISE, {"shape": (4, 4, 1), "depth": 1, "width": 4}),
    lstm: (SEQUENCES, {"outputs": 3, "width": 4}),
}
CASES = [
    (factory, {"normalization": one})
    for factory in SMALL
    for one in (("none", "layer") if factory is lstm else NORMALIZATIONS)
]


@pytest.mark.parametrize(("factory", "options"), CASES)
def test_a_separate_model_gives_an_example_the_same_outputs_in_any_company(factory, options):
    """The gradients of shares would not add up to the gradient of the batch."""
    shape, small = SMALL[factory]
    model = factory(**small, **options)
    x = np.random.default_rng(0).normal(size=shape).astype(np.float32)

    @jax.jit
    def both():
        params, state = model.init(KEY, x)
        outputs = lambda x: model.apply(params, state, x, key=KEY, train=True)
        return state, outputs(x)[:2], outputs(x[:2])[:2]

    state, (together, after), (apart, _) = both()
    assert model.per_example and state == {} == after
    np.testing.assert_allclose(apart, together[:2], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("factory", "options"),
    [
        *((factory, {"normalization": one}) for factory in (cnn, resnet) for one in ("batch", "ghost", "spectral")),
        (resize_cnn, {"normalization": "batch"}), (transposed_cnn, {"normalization": "batch"}),
        (cnn, {"minibatch_deviation": True}), (cnn, {"dropout": 0.1}), (cnn, {"drop_connect": 0.1}),
        (cnn, {"skip": "residual", "stochastic_depth": 0.1}), (resnet, {"dropout": 0.1}), (lstm, {"dropout": 0.1}),
        (lstm, {"variational_dropout": 0.1}), (lstm, {"zoneout": 0.1}), (lstm, {"cell_zoneout": 0.1}),
    ],
)  # fmt: skip
def test_a_model_that_draws_or_mixes_does_not_say_it_is_separate(factory, options):
    """A share would see other statistics, or the same masks as every other share."""
    assert not factory(**SMALL[factory][1], **options).per_example
