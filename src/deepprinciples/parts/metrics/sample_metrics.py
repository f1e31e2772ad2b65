"""Sample metrics: what a generator is evaluated by; a set of generated examples against a set of real ones.

Every factory returns a `Metric` that gathers samples [N, ...], real examples [N, ...] and weights [N]. None of them is
a mean over examples: how many modes were found, or how far two clouds lie apart, is a property of the whole set. Rows
of weight 0 are padding in both sets and may hold anything, even NaN. `modes` and `mode_std` are those of the data set,
`features` is the build's. What measures one answer at a time belongs to metrics.
"""

from __future__ import annotations

from collections.abc import Callable

import chex
import jax
import jax.numpy as jnp

from deepprinciples.kernels import random
from deepprinciples.kernels.linear_algebra import eigh, svd
from deepprinciples.types import Array, Count, Metric, Scalar, better, traits

Features = Callable[[Array], Array]
ROWS = 64  # rows of a distance matrix made at a time: all N x N x F differences would not fit


@better("max", worst=0.0)
@traits(of_samples=True)
def modes_covered(*, modes: Array, mode_std: float, within: Scalar = 3.0) -> Metric:
    """Count the modes of a known mixture that the generator reaches.

    A sample belongs to the mode with the nearest center and is good if |x - center| <= within mode_std; a mode is
    covered if one good sample belongs to it.

    Args:
      modes: centers [M, D]. Supplied by the data set.
      mode_std: standard deviation of every mode. Supplied by the data set.
      within: how many standard deviations away a sample is still good. Sweepable.
    Returns: Metric, from 0 to M, M is best.
    References: Lin, Khetan, Fanti, Oh, arXiv:1712.04086, section 4.1; Srivastava et al., arXiv:1705.07761.
    """

    def score(samples: Array, real: Array, weights: Array) -> Array:
        del real
        belongs, distance = _nearest(samples, modes, weights)
        good = distance <= within * mode_std  # [N]
        return jnp.sum(jnp.any(belongs & good[:, None], axis=0), dtype=jnp.float32)

    return _of_sets(score)


@better("max", worst=0.0, best=1.0)
@traits(of_samples=True)
def high_quality(*, modes: Array, mode_std: float, within: Scalar = 3.0) -> Metric:
    """Measure the share of samples that lie close to a mode of a known mixture.

    mean over samples of [|x - nearest center| <= within mode_std]; in two dimensions a perfect generator reads
    1 - exp(-within^2 / 2), which is 0.989 at 3

    Args:
      modes: centers [M, D]. Supplied by the data set.
      mode_std: standard deviation of every mode. Supplied by the data set.
      within: how many standard deviations away a sample is still good. Sweepable.
    Returns: Metric, from 0 to 1.
    References: Lin, Khetan, Fanti, Oh, arXiv:1712.04086, section 4.1; Srivastava et al., arXiv:1705.07761.
    """

    def score(samples: Array, real: Array, weights: Array) -> Array:
        del real
        _, distance = _nearest(samples, modes, weights)
        return _mean(distance <= within * mode_std, weights)

    return _of_sets(score)


@better("min", best=0.0)
@traits(of_samples=True)
def reverse_kl(*, modes: Array) -> Metric:
    """Measure how unevenly samples fall on the modes of a known mixture whose modes are equally likely.

    KL(p || uniform) = sum_m p_m log(M p_m), p_m the share of all samples, good or not, nearest to center m; in nats.
    A perfect generator reads about (M - 1) / (2 N), not quite 0.

    Args:
      modes: centers [M, D]. Supplied by the data set.
    Returns: Metric, from 0 (even) to log M (one mode only); NaN where a sample is not finite.
    References: Lin, Khetan, Fanti, Oh, arXiv:1712.04086, section 4.1.
    """

    def score(samples: Array, real: Array, weights: Array) -> Array:
        del real
        belongs, distance = _nearest(samples, modes, weights)
        p = jnp.sum(belongs, axis=0) / jnp.sum(weights)  # [M]
        divergence = jnp.sum(jax.scipy.special.xlogy(p, p.size * p))
        return jnp.where(jnp.all(jnp.isfinite(distance)), divergence, jnp.nan)

    return _of_sets(score)


@better("min", best=0.0)
@traits(of_samples=True)
def frechet_distance(*, features: Features) -> Metric:
    """Measure the Fréchet distance between the two sets, each taken for a Gaussian.

    |m1 - m2|^2 + tr(C1 + C2 - 2 (C1 C2)^(1/2)), with means m and unbiased covariances C of the features.
    The trace is taken as |C1^(1/2) - C2^(1/2) V U'|^2 with C1^(1/2) C2^(1/2) = U S V', which is a sum of squares: two
    traces less a third would cancel where the sets are alike. Roots come from symmetric eigendecompositions.
    This is not the FID: the FID means the features of one Inception network trained on ImageNet, and these are the
    features of a network trained here. Compare within a study only.

    Args:
      features: maps examples [N, ...] to features [N, F]. Supplied by the build.
    Returns: Metric, 0 is best; biased upward where N is not much larger than F.
    References: Heusel, Ramsauer, Unterthiner, Nessler, Hochreiter, arXiv:1706.08500; Dowson, Landau (1982).
    """

    def score(samples: Array, real: Array, weights: Array) -> Array:
        mean_1, covariance_1 = _moments(_featured(features, samples, weights), weights)
        mean_2, covariance_2 = _moments(_featured(features, real, weights), weights)
        root_1, root_2 = _root(covariance_1), _root(covariance_2)
        # Singular vectors, not roots of eigenvalues of C1^(1/2) C2 C1^(1/2): a root turns rounding of 1e-7 into 3e-4.
        u, _, v = svd(jnp.matmul(root_1, root_2, precision="highest"))
        turned = jnp.matmul(root_2, jnp.matmul(v.T, u.T, precision="highest"), precision="highest")
        return jnp.sum(jnp.square(mean_1 - mean_2)) + jnp.sum(jnp.square(root_1 - turned))

    return _of_sets(score)


@better("max", worst=0.0, best=1.0)
@traits(of_samples=True)
def precision(*, features: Features, neighbors: Count = 5) -> Metric:
    """Measure how many samples look real: the share that falls where real examples are.

    mean over samples of [x in some ball], a ball around every real example that just reaches its k-th nearest other
    real example, border included

    Args:
      features: maps examples [N, ...] to features [N, F]. Supplied by the build.
      neighbors: k, from 1 to N - 1.
    Returns: Metric, from 0 to 1.
    Raises: ValueError where k is not between 1 and N - 1.
    References: Kynkäänniemi, Karras, Laine, Lehtinen, Aila, arXiv:1904.06991.
    """

    def score(samples: Array, real: Array, weights: Array) -> Array:
        x, centers = _featured(features, samples, weights), _featured(features, real, weights)
        radii = _radii(centers, weights, neighbors)
        inside = jax.lax.map(lambda row: jnp.any(_squares(row, centers) <= radii), x, batch_size=ROWS)  # [N]
        return _mean(inside, weights)

    return _of_sets(score)


@better("max", worst=0.0, best=1.0)
@traits(of_samples=True)
def recall(*, features: Features, neighbors: Count = 5) -> Metric:
    """Measure how much of the real is made: the share of real examples that falls where samples are.

    precision with the two sets exchanged: balls around the samples, mean over the real examples

    Args:
      features: maps examples [N, ...] to features [N, F]. Supplied by the build.
      neighbors: k, from 1 to N - 1.
    Returns: Metric, from 0 to 1.
    Raises: ValueError where k is not between 1 and N - 1.
    References: Kynkäänniemi, Karras, Laine, Lehtinen, Aila, arXiv:1904.06991.
    """
    exchanged = precision(features=features, neighbors=neighbors)
    return exchanged._replace(compute=lambda sets, weights: exchanged.compute(sets[::-1], weights))


@better("max", worst=0.0)
@traits(of_samples=True)
def density(*, features: Features, neighbors: Count = 5) -> Metric:
    """Count in how many balls of real examples a sample lies: precision that one outlier cannot lift.

    mean over samples of (number of balls around real examples that hold x, border left out) / k, balls as for
    precision

    Args:
      features: maps examples [N, ...] to features [N, F]. Supplied by the build.
      neighbors: k, from 1 to N - 1.
    Returns: Metric, 0 is worst; about 1 for samples of the real distribution, more where they crowd.
    Raises: ValueError where k is not between 1 and N - 1.
    References: Naeem, Oh, Uh, Choi, Yoo, arXiv:2002.09797.
    """

    def score(samples: Array, real: Array, weights: Array) -> Array:
        x, centers = _featured(features, samples, weights), _featured(features, real, weights)
        radii = _radii(centers, weights, neighbors)
        balls = jax.lax.map(lambda row: jnp.sum(_squares(row, centers) < radii), x, batch_size=ROWS)  # [N]
        return _mean(balls, weights) / neighbors

    return _of_sets(score)


@better("max", worst=0.0, best=1.0)
@traits(of_samples=True)
def coverage(*, features: Features, neighbors: Count = 5) -> Metric:
    """Measure the share of real examples that have a sample nearby: recall that stray samples cannot lift.

    mean over real examples of [some sample lies in its ball, border left out], balls as for precision

    Args:
      features: maps examples [N, ...] to features [N, F]. Supplied by the build.
      neighbors: k, from 1 to N - 1.
    Returns: Metric, from 0 to 1; samples of the real distribution reach about 1 - 2^-k.
    Raises: ValueError where k is not between 1 and N - 1.
    References: Naeem, Oh, Uh, Choi, Yoo, arXiv:2002.09797.
    """

    def score(samples: Array, real: Array, weights: Array) -> Array:
        x, centers = _featured(features, samples, weights), _featured(features, real, weights)
        radii = _radii(centers, weights, neighbors)
        holds = lambda ball: jnp.any((_squares(ball[0], x) < ball[1]) & (weights > 0))
        return _mean(jax.lax.map(holds, (centers, radii), batch_size=ROWS), weights)

    return _of_sets(score)


@better("min", best=0.0)
@traits(of_samples=True)
def sliced_wasserstein(*, projections: Count = 128) -> Metric:
    """Measure the Wasserstein-1 distance between the two sets as seen from many directions.

    mean over unit vectors u of mean_i |sort(u . samples)_i - sort(u . real)_i|; the directions are drawn once, with a
    fixed key, and are the same for every run

    Args:
      projections: number of directions.
    Returns: Metric, in units of the examples (flattened), 0 is best; not 0 for two sets of one distribution.
    References: Rabin, Peyré, Delon, Bernot (2011); Deshpande, Zhang, Schwing, arXiv:1803.11188.
    """

    def score(samples: Array, real: Array, weights: Array) -> Array:
        x, y = _flat(samples, weights), _flat(real, weights)
        directions = random.normal(jax.random.key(0, impl="threefry2x32"), (projections, x.shape[1]))
        directions /= jnp.linalg.norm(directions, axis=1, keepdims=True)

        def ranked(rows: Array) -> Array:  # [P, N], padding last
            seen = jnp.matmul(directions, rows.T, precision="highest")
            return jnp.sort(jnp.where(weights[None, :] > 0, seen, jnp.inf), axis=1)

        kept = jnp.arange(weights.size)[None, :] < jnp.sum(weights)
        gaps = jnp.where(kept, jnp.abs(ranked(x) - ranked(y)), 0.0)
        return jnp.sum(gaps) / (projections * jnp.sum(weights))

    return _of_sets(score)


def _flat(x: Array, weights: Array) -> Array:
    """Make rows [N, D] of examples, zero where they are padding."""
    chex.assert_rank(weights, 1)
    chex.assert_equal_shape_prefix([x, weights], 1)
    rows = x.reshape(x.shape[0], -1).astype(jnp.float32)
    return jnp.where(weights[:, None] > 0, rows, 0.0)


def _featured(features: Features, x: Array, weights: Array) -> Array:
    """Make features [N, F]; padding is taken out before too, so that no NaN enters a network."""
    return _flat(features(_flat(x, weights).reshape(x.shape)), weights)


def _mean(values: Array, weights: Array) -> Array:
    return jnp.sum(jnp.where(weights > 0, values, 0.0)) / jnp.sum(weights)


def _of_sets(score: Callable[[Array, Array, Array], Array]) -> Metric:
    """Make a metric of score(samples [N, ...], real [N, ...], weights [N]) -> scalar."""
    return Metric(
        lambda samples, real: (samples, real), lambda sets, weights: score(sets[0], sets[1], weights), reduce="gather"
    )


def _nearest(samples: Array, modes: Array, weights: Array) -> tuple[Array, Array]:
    """Assign samples to centers: (belongs [N, M], all False for padding; distance to the nearest [N])."""
    x = _flat(samples, weights)
    centers = jnp.asarray(modes, jnp.float32).reshape(len(modes), -1)
    distances = jnp.linalg.norm(x[:, None, :] - centers[None, :, :], axis=-1)  # [N, M]
    nearest = jnp.argmin(distances, axis=1)[:, None] == jnp.arange(len(modes))[None, :]
    return nearest & (weights[:, None] > 0), jnp.min(distances, axis=1)


def _squares(row: Array, rows: Array) -> Array:
    """Square the distances of one row to all: by differences, as |x|^2 - 2 x.y + |y|^2 loses close neighbors."""
    return jnp.sum(jnp.square(rows - row[None, :]), axis=-1)


def _radii(rows: Array, weights: Array, neighbors: int) -> Array:
    """Find the squared distance [N] to the k-th nearest other row; -1, no ball at all, for padding and stray rows."""
    if not 1 <= neighbors < len(rows):
        raise ValueError(f"neighbors = {neighbors} with {len(rows)} examples; expected 1 to {len(rows) - 1}")

    def radius(row: Array) -> Array:
        squares = _squares(row, rows)
        squares = jnp.where((weights > 0) & (squares < jnp.inf), squares, jnp.inf)

        def climb(_: int, at: tuple[Array, Array]) -> tuple[Array, Array]:  # on a CPU ten times as fast as top_k
            height, passed = at
            step = jnp.min(jnp.where(squares > height, squares, jnp.inf))
            height = jnp.where(passed <= neighbors, step, height)  # the row itself, at 0, is passed first
            return height, passed + jnp.sum(squares == step, dtype=jnp.int32)

        return jax.lax.fori_loop(0, neighbors + 1, climb, (jnp.float32(-1.0), jnp.int32(0)))[0]

    radii = jax.lax.map(radius, rows, batch_size=ROWS)
    return jnp.where((weights > 0) & (radii < jnp.inf), radii, -1.0)


def _moments(rows: Array, weights: Array) -> tuple[Array, Array]:
    count = jnp.sum(weights)
    mean = jnp.sum(rows, axis=0) / count
    away = _flat(rows - mean[None, :], weights)
    return mean, jnp.matmul(away.T, away, precision="highest") / jnp.maximum(count - 1.0, 1.0)


def _root(covariance: Array) -> Array:
    values, vectors = eigh(covariance)
    roots = jnp.sqrt(jnp.maximum(values, 0.0))
    return jnp.matmul(vectors * roots[None, :], vectors.T, precision="highest")


TABLE = {f.__name__: f for f in (
    modes_covered, high_quality, reverse_kl, frechet_distance, precision, recall, density, coverage, sliced_wasserstein,
)}  # fmt: skip
