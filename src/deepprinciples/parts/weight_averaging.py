"""Averages of the weights along a run: what is evaluated in place of the last weights, which are evaluated beside it.

Every factory returns an `Average`: init(params) -> state; update(state, params, progress) -> (state, params), after
each step, progress in (0, 1]; value(state, params) -> the weights to evaluate. Only `lookahead` changes the params
that training goes on from. Running statistics of batch normalization belong to the raw weights, so the learner measures
them anew for the averaged ones.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax

from deepprinciples.types import Array, Average, Count, Decay, PyTree, Share, traits


class _Sum(NamedTuple):
    total: PyTree  # an average so far
    steps: Array  # int32: how many weights it is of


class _Window(NamedTuple):
    kept: PyTree  # [window, ...], the latest at held - 1 modulo window
    held: Array  # int32: checkpoints so far
    steps: Array  # int32


class _Slow(NamedTuple):
    params: PyTree
    steps: Array  # int32


def none() -> None:
    """Evaluate the last weights.

    Returns:
        None: there is no average.

    Expect: the last weights, with the noise of the last steps in them.

    Costs: nothing.
    """
    return


@traits(neutral={"decay": 0.0})
def ema(*, decay: Decay = 0.999) -> Average:
    """Average all weights so far, recent ones most.

    m_t = decay m_{t-1} + (1 - decay) theta_t, m_0 = 0; evaluated: m_t / (1 - decay^t), so that the start has no say.

    Args:
        decay: share kept at each step; about 1 / (1 - decay) steps count. *Sweepable.* *Neutral: 0.0.*

    Returns:
        An `Average`.

    Expect: less noise in the weights that are evaluated, most with a large constant rate; little where the rate has
        fallen to 0. It watches: no probe of the training moves.

    Costs: two copies of the weights, and one more forward pass an evaluation.

    References:
        Polyak and Juditsky 1992 (SIAM J. Control Optim. 30); arXiv:2311.18345 and arXiv:2411.18704 (in deep learning).
    """

    def init(params: PyTree) -> _Sum:
        return _Sum(jax.tree.map(jnp.zeros_like, params), jnp.zeros((), jnp.int32))

    def update(state: _Sum, params: PyTree, progress: Array) -> tuple[_Sum, PyTree]:
        del progress
        total = jax.tree.map(lambda m, p: decay * m + (1.0 - decay) * p, state.total, params)
        return _Sum(total, state.steps + 1), params

    def value(state: _Sum, params: PyTree) -> PyTree:
        weight = 1.0 - jnp.asarray(decay, jnp.float32) ** state.steps
        some = weight > 0
        return jax.tree.map(lambda m, p: jnp.where(some, m / jnp.where(some, weight, 1.0), p), state.total, params)

    return Average(init, update, value)


@traits(neutral={"start": 1.0})
def swa(*, start: Share = 0.75) -> Average:
    """Average the weights of the last part of a run, all alike.

    evaluated: the mean of theta_t over the steps with t / steps >= start; before that, the last weights.

    Args:
        start: share of the run that is left out, in [0, 1]. *Sweepable.* *Neutral: 1.0.*

    Returns:
        An `Average`.

    Expect: a flatter place in the middle of where the last part of the run wandered (claimed); sharpness at the
        averaged weights is lower than at the last ones. Nothing where the rate has fallen to 0.

    Costs: two copies of the weights, and one more forward pass an evaluation.

    References:
        Izmailov et al. 2018, arXiv:1803.05407 (there once an epoch, with a constant or cyclic rate; here every step).
    """

    def init(params: PyTree) -> _Sum:
        return _Sum(params, jnp.zeros((), jnp.int32))

    def update(state: _Sum, params: PyTree, progress: Array) -> tuple[_Sum, PyTree]:
        count = state.steps + (progress >= start).astype(jnp.int32)
        share = 1.0 / jnp.maximum(count, 1)  # 1 until the average begins: it follows the weights
        return _Sum(jax.tree.map(lambda m, p: m + share * (p - m), state.total, params), count), params

    def value(state: _Sum, params: PyTree) -> PyTree:
        return jax.tree.map(lambda m, p: jnp.where(state.steps > 1, m, p), state.total, params)

    return Average(init, update, value)


def lawa(*, window: Count = 6, period: Count = 20) -> Average:
    """Average the latest few checkpoints.

    evaluated: the mean of the last `window` of theta_period, theta_2 period, ...; the last weights while there is none.

    Args:
        window: checkpoints averaged, 1 or more; as many copies of the weights are in memory.
        period: steps between two of them, 1 or more.

    Returns:
        An `Average`.

    Expect: an earlier good model (claimed): most in the middle of a run, little at its end.

    Costs: window + 1 copies of the weights, and one more forward pass an evaluation.

    Raises:
        ValueError: window or period below 1.

    References:
        Kaddour 2022, arXiv:2209.14981 (there a checkpoint an epoch).
    """
    if window < 1 or period < 1:
        raise ValueError(f"lawa: window = {window}, period = {period}; expected 1 or more of both")

    def init(params: PyTree) -> _Window:
        kept = jax.tree.map(lambda p: jnp.zeros((window, *p.shape), p.dtype), params)
        return _Window(kept, jnp.zeros((), jnp.int32), jnp.zeros((), jnp.int32))

    def update(state: _Window, params: PyTree, progress: Array) -> tuple[_Window, PyTree]:
        del progress
        steps = state.steps + 1
        due = steps % period == 0
        row = state.held % window
        put = lambda rows, p: rows.at[row].set(jnp.where(due, p, rows[row]))
        return _Window(jax.tree.map(put, state.kept, params), state.held + due.astype(jnp.int32), steps), params

    def value(state: _Window, params: PyTree) -> PyTree:
        count = jnp.minimum(state.held, window)
        mean = lambda rows, p: jnp.where(count > 0, jnp.sum(rows, axis=0) / jnp.maximum(count, 1), p)
        return jax.tree.map(mean, state.kept, params)

    return Average(init, update, value)


def lookahead(*, period: Count = 5, rate: Share = 0.5) -> Average:
    """Let slow weights follow the fast ones, which start again from them every few steps.

    Every `period` steps: slow <- slow + rate (theta - slow), theta <- slow. Judged: slow. The optimizer's own state is
    kept. At rate 1 training is that without it.

    Args:
        period: steps of the fast weights between two of the slow ones, 1 or more.
        rate: share of the way that the slow weights go, in [0, 1]. *Sweepable.*

    Returns:
        An `Average`.

    Expect: less variance of the weights at the same rate: 0.34 of plain descent's on a parabola with period 5 and
        rate 0.5; update_ratio shows the jumps back.

    Costs: two copies of the weights, and one more forward pass an evaluation.

    Raises:
        ValueError: period below 1.

    References:
        Zhang et al. 2019, arXiv:1907.08610.
    """
    if period < 1:
        raise ValueError(f"lookahead: period = {period}; expected 1 or more")

    def init(params: PyTree) -> _Slow:
        return _Slow(params, jnp.zeros((), jnp.int32))

    def update(state: _Slow, params: PyTree, progress: Array) -> tuple[_Slow, PyTree]:
        del progress
        steps = state.steps + 1
        due = steps % period == 0
        moved = optax.tree.add(state.params, optax.tree.scale(rate, optax.tree.sub(params, state.params)))
        pick = lambda new, old: jax.tree.map(lambda a, b: jnp.where(due, a, b), new, old)
        return _Slow(pick(moved, state.params), steps), pick(moved, params)

    return Average(init, update, lambda state, params: state.params)


TABLE = {f.__name__: f for f in (none, ema, swa, lawa, lookahead)}
