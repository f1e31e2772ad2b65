"""Optimizers that are written here because optax's depart from their papers: twins, and the departures."""

import jax.numpy as jnp
import numpy as np
import optax
import torch

from deepprinciples.parts import optimizers


def path(part: optax.GradientTransformation, gradients: np.ndarray, start: np.ndarray) -> np.ndarray:
    x = jnp.asarray(start)
    state, places = part.init(x), []
    for g in gradients:
        updates, state = part.update(jnp.asarray(g), state, x)
        x = x + updates
        places.append(np.asarray(x))
    return np.stack(places)


def drawn(steps: int = 12, entries: int = 40) -> tuple[np.ndarray, np.ndarray]:
    """Gradients [steps, entries] with some exact zeros, and a start [entries]."""
    random = np.random.default_rng(3)
    gradients = random.standard_normal((steps, entries)).astype(np.float32)
    gradients[random.random((steps, entries)) < 0.1] = 0.0
    return gradients, random.standard_normal(entries).astype(np.float32)


def test_rprop_is_pytorchs() -> None:
    """Lost: steps that grow, shrink and stop with the signs, limits included."""
    gradients, start = drawn()
    limits = {"min_step_size": 0.02, "max_step_size": 0.07}
    ours = path(optimizers.rprop(learning_rate=0.05, **limits), gradients, start)
    w = torch.tensor(start, requires_grad=True)
    twin, places = torch.optim.Rprop([w], lr=0.05, etas=(0.5, 1.2), step_sizes=(0.02, 0.07)), []
    for g in gradients:
        w.grad = torch.tensor(g)
        twin.step()
        places.append(w.detach().numpy().copy())
    np.testing.assert_allclose(ours, np.stack(places), atol=1e-6)


def test_optaxs_rprop_moves_a_step_late() -> None:
    """The reason for ours: optax's first step is 0, ours goes at once."""
    gradients, start = drawn(2, 4)
    assert np.all(path(optax.rprop(0.05), gradients[:1], start)[0] == start)
    np.testing.assert_allclose(
        path(optimizers.rprop(learning_rate=0.05), gradients[:1], start)[0], start - 0.05 * np.sign(gradients[0])
    )


def adan_of_the_paper(gradients: np.ndarray, start: np.ndarray, weight: float) -> np.ndarray:
    """Algorithm 1 of arXiv:2208.06677 in its own counting, b = 1 - ours; the change is weighed by `weight`."""
    b1, b2, b3, rate = 0.02, 0.08, 0.01, 0.1
    x, m, v, n = (np.asarray(a, np.float64) for a in (start, 0 * start, 0 * start, 0 * start))
    last, places = gradients[0], []
    for k, g in enumerate(gradients, 1):
        m = (1 - b1) * m + b1 * g
        v = (1 - b2) * v + b2 * (g - last)
        n = (1 - b3) * n + b3 * (g + weight * (g - last)) ** 2
        corrected = [a / (1 - (1 - b) ** k) for a, b in ((m, b1), (v, b2), (n, b3))]
        x = x - rate * (corrected[0] + weight * corrected[1]) / (np.sqrt(corrected[2]) + 1e-8)
        last = g
        places.append(x)
    return np.stack(places)


def test_adan_is_the_papers() -> None:
    """Lost: the weight of the change, 1 - 0.08 in the paper's counting."""
    gradients, start = drawn()
    gradients[0] = 1.0  # an entry whose first gradient is 0 divides by eps alone
    ours = path(optimizers.adan(learning_rate=0.1), gradients, start)
    np.testing.assert_allclose(ours, adan_of_the_paper(gradients, start, 0.92), atol=2e-5)


def test_optaxs_adan_weighs_the_change_by_a_twelfth() -> None:
    """The reason for ours: with its own default b2 optax's is the algorithm with 0.08 in place of 0.92."""
    gradients, start = drawn()
    gradients[0] = 1.0
    theirs = path(optax.adan(0.1, weight_decay=0.0), gradients, start)
    np.testing.assert_allclose(theirs, adan_of_the_paper(gradients, start, 0.08), atol=2e-5)
    assert np.max(np.abs(theirs - adan_of_the_paper(gradients, start, 0.92))) > 0.05
