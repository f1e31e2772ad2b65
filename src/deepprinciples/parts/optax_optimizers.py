"""The optimizers that are optax's own, each with the exact signature and card that optax's mixed ones (None, masks,
callables) cannot give. Users find them in `optimizers.TABLE`; what is not optax's is written there.

Left out, since they would not be what their name says here: lbfgs and sophia (need the loss function), schedule_free
(must be evaluated at other parameters than it trains), dpsgd (per-example gradients: a rule), noisy_sgd (one noise for
all lanes of a vmap: use sgd after transforms.noise).
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import optax
from optax import contrib

from deepprinciples.parts.transforms import CountState, norm
from deepprinciples.types import Array, PyTree, Scalar

Rate = Scalar | Callable[[Array], Array]
Factory = Callable[..., optax.GradientTransformation]

# One sentence per keyword, for the cards.
_ARGS = {
    "learning_rate": "step size, or a function of the step count.",
    "b1": "share of the past kept in the average of gradients.",
    "b2": "share of the past kept in the average of squared gradients.",
    "b3": "share of the past kept in the slowest average.",
    "beta": "share of the past kept in the average of gradients.",
    "decay": "share of the past kept in the average of squared gradients.",
    "momentum": "share of the last step kept.",
    "eps": "small number that keeps divisions finite.",
    "eps_root": "small number under the square root.",
    "weight_decay": "share of the weights (biases too) taken off, times the learning rate.",
    "nesterov": "look one step ahead.",
    "alpha": "weight of the optimism or of the slow average; for cocob the share of the wealth not bet.",
    "optimism": "weight of the change since the last gradient.",
    "trust_coefficient": "step of a layer as a share of the norm of its weights.",
    "threshold": "length of the average from which the variance is trusted.",
    "lower_bound": "smallest loss there can be.",
    "adapt_lower_bound": "estimate that bound while training.",
    "eta_minus": "factor on the step of an entry whose sign changes.",
    "eta_plus": "factor on the step of an entry whose sign stays.",
    "min_step_size": "smallest step of an entry.",
    "max_step_size": "largest step of an entry.",
    "min_norm": "smallest norm divided by.",
    "initial_accumulator_value": "squared gradients counted before the first.",
    "initial_scale": "average of squared gradients before the first.",
    "centered": "divide by the standard deviation instead of the root mean square.",
    "ns_steps": "Newton-Schulz steps of the orthogonalization.",
    "adam_b1": "b1 of the Adam that trains leaves which are no matrix.",
    "adam_b2": "b2 of the Adam that trains leaves which are no matrix.",
    "use_clipping": "clip scaled gradients at step^(1/4).",
    "clipping_threshold": "largest root mean square of the step of a leaf.",
    "decay_rate": "power with which the averages lengthen.",
    "min_dim_size_to_factor": "smallest axis for which squared gradients are kept as two vectors.",
    "multiply_by_parameter_scale": "measure steps in units of the weights.",
    "initial_estimate": "first guess of the distance to the solution.",
    "init_step": "first step as a share of 1 + |params|.",
}


def _part(
    name: str, make: Callable[..., Any], summary: str, formula: str, reference: str, /, **defaults: float | int | bool
) -> Factory:
    """Turn an optax factory into a part: exact annotations, defaults in the signature, a card as docstring."""

    def factory(**given: Any) -> optax.GradientTransformation:
        unknown = set(given) - set(defaults)
        if unknown:
            raise TypeError(f"{name}() got unexpected keywords {sorted(unknown)}; it takes {list(defaults)}")
        return make(**{**defaults, **given})

    kinds = {key: Scalar if isinstance(value, float) else type(value) for key, value in defaults.items()}
    factory.__name__ = factory.__qualname__ = name
    factory.__annotations__ = {**kinds, "return": optax.GradientTransformation}
    parameters = [
        inspect.Parameter(key, inspect.Parameter.KEYWORD_ONLY, default=value, annotation=kinds[key])
        for key, value in defaults.items()
    ]
    signature = inspect.Signature(parameters, return_annotation=optax.GradientTransformation)
    factory.__signature__ = signature  # type: ignore[attr-defined]  # the one public way to give a function a signature
    marks = {key: " *Sweepable.*" if isinstance(value, float) else "" for key, value in defaults.items()}
    for key in ("momentum", "weight_decay"):
        marks[key] = marks.get(key, "") + " *Neutral: 0.0.*"
    lines = "\n".join(f"  {key}: {_ARGS[key]}{marks[key]}" for key in defaults)
    factory.__doc__ = f"""{summary}

{formula}

Args:
{lines}
Returns: optax.GradientTransformation over params of any shape.
References: {reference}
"""
    return factory


def _first(learning_rate: Rate) -> Scalar:
    """Take the rate of the first step, for methods that keep step sizes of their own."""
    return learning_rate(jnp.zeros((), jnp.int32)) if callable(learning_rate) else learning_rate


def _rprop(learning_rate: Rate, **others: Any) -> optax.GradientTransformation:
    return optax.rprop(_first(learning_rate), **others)


def _sm3(learning_rate: Rate, momentum: Scalar) -> optax.GradientTransformation:
    return optax.chain(optax.scale_by_sm3(momentum), optax.scale_by_learning_rate(learning_rate))


def _resting(optimizer: optax.GradientTransformation) -> optax.GradientTransformation:
    """Skip steps without any gradient, where an estimate of the distance would be 0 / 0."""

    def update(grads: PyTree, state: PyTree, params: PyTree = None, **extra):
        del extra
        moving = norm(grads) != 0.0
        updates, moved = optimizer.update(grads, state, params)
        updates = jax.tree.map(lambda u: jnp.where(moving, u, 0.0), updates)
        return updates, jax.tree.map(lambda new, old: jnp.where(moving, new, old), moved, state)

    return optax.GradientTransformationExtraArgs(optimizer.init, update)


def _prodigy(b1: Scalar, b2: Scalar, **others: Any) -> optax.GradientTransformation:
    return _resting(contrib.prodigy(betas=(b1, b2), **others))


def _dadapt_adamw(b1: Scalar, b2: Scalar, initial_estimate: Scalar, **others: Any) -> optax.GradientTransformation:
    return _resting(contrib.dadapt_adamw(betas=(b1, b2), estim_lr0=initial_estimate, **others))


def _dog(init_step: Scalar, **others: Any) -> optax.GradientTransformation:
    return contrib.dog(init_step=("heuristic", init_step), **others)


def _fromage(learning_rate: Rate, min_norm: Scalar) -> optax.GradientTransformation:
    """Write fromage so that its rate may be a schedule, which optax's may not."""

    def update(grads: PyTree, state: CountState, params: PyTree = None, **extra):
        del extra
        rate = jnp.asarray(learning_rate(state.steps) if callable(learning_rate) else learning_rate)
        shrink = 1.0 / jnp.sqrt(1.0 + jnp.square(rate))

        def step(g: Array, w: Array) -> Array:
            trust = jnp.maximum(norm(w), min_norm) / jnp.maximum(norm(g), min_norm)
            return shrink * (w - rate * trust * g) - w

        return jax.tree.map(step, grads, params), CountState(state.steps + 1)

    return optax.GradientTransformationExtraArgs(lambda params: CountState(jnp.zeros((), jnp.int32)), update)


_MOMENTS = "m = b1 m + (1 - b1) g, v = b2 v + (1 - b2) g^2, both corrected for the start at zero"
_MATRIX_REFERENCE = "Jordan et al. 2024, Muon; Liu et al., arXiv:2502.16982."
_OPTIMISM = "Daskalakis et al., arXiv:1711.00141; Mokhtari et al., arXiv:1901.08511."
_ADAM = {"learning_rate": 1e-3, "b1": 0.9, "b2": 0.999, "eps": 1e-8}

adam = _part(
    "adam",
    optax.adam,
    "Divide the averaged gradient by the root of its averaged square.",
    f"{_MOMENTS}; params -= learning_rate m / (sqrt(v) + eps)",
    "Kingma and Ba, arXiv:1412.6980.",
    **_ADAM,
    eps_root=0.0,
)
adamw = _part(
    "adamw",
    optax.adamw,
    "Take Adam's step and shrink the weights beside it, not through the gradient.",
    f"{_MOMENTS}; params -= learning_rate (m / (sqrt(v) + eps) + weight_decay params)",
    "Loshchilov and Hutter, arXiv:1711.05101.",
    **_ADAM,
    eps_root=0.0,
    weight_decay=1e-4,
)
amsgrad = _part(
    "amsgrad",
    optax.amsgrad,
    "Take Adam's step with the largest second moment seen so far.",
    f"{_MOMENTS}; u = max(u, v); params -= learning_rate m / (sqrt(u) + eps)",
    "Reddi et al., arXiv:1904.09237.",
    **_ADAM,
    eps_root=0.0,
)
nadam = _part(
    "nadam",
    partial(optax.adam, nesterov=True),
    "Take Adam's step with Nesterov's look ahead.",
    f"{_MOMENTS}; params -= learning_rate (b1 m + (1 - b1) g) / (sqrt(v) + eps)",
    "Dozat 2016, Incorporating Nesterov momentum into Adam.",
    **_ADAM,
    eps_root=0.0,
)
nadamw = _part(
    "nadamw",
    partial(optax.adamw, nesterov=True),
    "Take AdamW's step with Nesterov's look ahead.",
    f"{_MOMENTS}; params -= learning_rate ((b1 m + (1 - b1) g) / (sqrt(v) + eps) + weight_decay params)",
    "Dozat 2016, Incorporating Nesterov momentum into Adam; Loshchilov and Hutter, arXiv:1711.05101.",
    **_ADAM,
    eps_root=0.0,
    weight_decay=1e-4,
)
adamax = _part(
    "adamax",
    optax.adamax,
    "Divide the averaged gradient by its largest recent entry.",
    "m = b1 m + (1 - b1) g, u = max(b2 u, |g| + eps); params -= learning_rate m / ((1 - b1^t) u)",
    "Kingma and Ba, arXiv:1412.6980.",
    **_ADAM,
)
adamaxw = _part(
    "adamaxw",
    optax.adamaxw,
    "Take Adamax's step and shrink the weights beside it.",
    "params -= learning_rate (adamax step + weight_decay params)",
    "Kingma and Ba, arXiv:1412.6980; Loshchilov and Hutter, arXiv:1711.05101.",
    **_ADAM,
    weight_decay=1e-4,
)
adabelief = _part(
    "adabelief",
    optax.adabelief,
    "Divide the averaged gradient by how far gradients stray from it.",
    "m = b1 m + (1 - b1) g, s = b2 s + (1 - b2) (g - m)^2 + eps_root; params -= learning_rate m / (sqrt(s) + eps)",
    "Zhuang et al., arXiv:2010.07468.",
    learning_rate=1e-3,
    b1=0.9,
    b2=0.999,
    eps=1e-16,
    eps_root=1e-16,
)
adadelta = _part(
    "adadelta",
    lambda decay, **others: optax.adadelta(rho=decay, **others),
    "Measure the step in units of past steps.",
    "v, u: averages of g^2 and s^2 with `decay`, s = g sqrt(u + eps) / sqrt(v + eps); params -= learning_rate s",
    "Zeiler, arXiv:1212.5701.",
    learning_rate=1.0,
    decay=0.9,
    eps=1e-6,
    weight_decay=0.0,
)
adafactor = _part(
    "adafactor",
    optax.adafactor,
    "Keep squared gradients of matrices as a row and a column only.",
    "v = outer(row means, column means) / mean; params -= learning_rate clip(g / sqrt(v)) max(rms(params), 1e-3)",
    "Shazeer and Stern, arXiv:1804.04235.",
    learning_rate=1e-2,
    decay_rate=0.8,
    clipping_threshold=1.0,
    eps=1e-30,
    min_dim_size_to_factor=128,
    multiply_by_parameter_scale=True,
)
adagrad = _part(
    "adagrad",
    optax.adagrad,
    "Divide by the root of all squared gradients so far.",
    "v = v + g^2; params -= learning_rate g / sqrt(v + eps)",
    "Duchi et al. 2011, Adaptive subgradient methods.",
    learning_rate=1e-2,
    initial_accumulator_value=0.1,
    eps=1e-7,
)
adan = _part(
    "adan",
    optax.adan,
    "Add the average change of gradients to Adam, Nesterov fashion.",
    "d = g - g_last; m, e, n: averages of g, d, (g + b2 d)^2; params -= learning_rate (m + b2 e) / (sqrt(n) + eps)",
    "Xie et al., arXiv:2208.06677.",
    learning_rate=1e-3,
    b1=0.98,
    b2=0.92,
    b3=0.99,
    eps=1e-8,
    eps_root=1e-8,
    weight_decay=0.0,
)
ademamix = _part(
    "ademamix",
    contrib.ademamix,
    "Mix a fast and a very slow average of gradients.",
    "m, s: averages of g with b1, b3; v: of g^2 with b2; params -= learning_rate (m + alpha s) / (sqrt(v) + eps)",
    "Pagliardini et al., arXiv:2409.03137.",
    **_ADAM,
    b3=0.9999,
    alpha=5.0,
    weight_decay=0.0,
)
simplified_ademamix = _part(
    "simplified_ademamix",
    contrib.simplified_ademamix,
    "Add the present gradient to one sum of gradients.",
    "m = b1 m + g, v: average of g^2; params -= learning_rate (m + alpha g) / (sqrt(v) + eps)",
    "Morwani et al., arXiv:2502.02431.",
    learning_rate=1e-4,
    b1=0.99,
    b2=0.95,
    alpha=0.0,
    eps=1e-8,
    weight_decay=0.0,
)
adopt = _part(
    "adopt",
    contrib.adopt,
    "Divide each gradient by the second moment of the steps before it.",
    "m = b1 m + (1 - b1) clip(g / max(sqrt(v_last), eps)); params -= learning_rate m",
    "Taniguchi et al., arXiv:2411.02853.",
    learning_rate=1e-3,
    b1=0.9,
    b2=0.9999,
    eps=1e-6,
    use_clipping=True,
)
acprop = _part(
    "acprop",
    contrib.acprop,
    "Divide each gradient by the spread of the steps before it.",
    "s: average of (g - m)^2; params -= learning_rate g / (sqrt(s_last) + eps)",
    "Zhuang et al., arXiv:2110.05454.",
    learning_rate=1e-3,
    b1=0.9,
    b2=0.999,
    eps=1e-8,
    eps_root=1e-16,
    weight_decay=0.0,
)
lamb = _part(
    "lamb",
    optax.lamb,
    "Scale Adam's step of each leaf to the norm of its weights.",
    "r = m / (sqrt(v) + eps) + weight_decay params; params -= learning_rate |params| r / |r|",
    "You et al., arXiv:1904.00962.",
    learning_rate=1e-2,
    b1=0.9,
    b2=0.999,
    eps=1e-6,
    weight_decay=0.0,
)
lars = _part(
    "lars",
    optax.lars,
    "Scale the gradient of each leaf to the norm of its weights.",
    "r = g + weight_decay params; params -= momentum sum of learning_rate trust_coefficient |params| r / |r|",
    "You et al., arXiv:1708.03888.",
    learning_rate=1.0,
    momentum=0.9,
    weight_decay=0.0,
    trust_coefficient=1e-3,
)
lion = _part(
    "lion",
    optax.lion,
    "Step by the sign of an averaged gradient.",
    "params -= learning_rate (sign(b1 m + (1 - b1) g) + weight_decay params), then m = b2 m + (1 - b2) g",
    "Chen et al., arXiv:2302.06675.",
    learning_rate=1e-4,
    b1=0.9,
    b2=0.99,
    weight_decay=1e-3,
)
madgrad = _part(
    "madgrad",
    contrib.madgrad,
    "Average iterates of dual averaging with a cube root in place of Adagrad's square root.",
    "z = params_0 - sum(l g) / cbrt(sum(l g^2)), l = learning_rate sqrt(t); params += (1 - momentum) (z - params)",
    "Defazio and Jelassi, arXiv:2101.11075.",
    learning_rate=1e-2,
    momentum=0.9,
    weight_decay=0.0,
    eps=1e-6,
)
muon = _part(
    "muon",
    contrib.muon,
    "Orthogonalize the momentum of each matrix; train all else by AdamW.",
    "M: average of G, M = U S V^T; params -= learning_rate U V^T sqrt(max(1, out / in)), by Newton-Schulz steps",
    _MATRIX_REFERENCE,
    learning_rate=1e-2,
    beta=0.95,
    eps=1e-8,
    weight_decay=0.0,
    adam_b1=0.9,
    adam_b2=0.999,
    ns_steps=5,
    nesterov=True,
)
novograd = _part(
    "novograd",
    optax.novograd,
    "Divide the gradient of each leaf by its averaged norm, then average.",
    "v = b2 v + (1 - b2) |g|^2, m = b1 m + g / (sqrt(v) + eps) + weight_decay params; params -= learning_rate m",
    "Ginsburg et al., arXiv:1905.11286.",
    learning_rate=1e-2,
    b1=0.9,
    b2=0.25,
    eps=1e-6,
    weight_decay=0.0,
)
radam = _part(
    "radam",
    optax.radam,
    "Take Adam's step only once its variance can be trusted.",
    f"{_MOMENTS}; params -= learning_rate r m / (sqrt(v) + eps), r the rectification; learning_rate m before",
    "Liu et al., arXiv:1908.03265.",
    **_ADAM,
    threshold=5.0,
)
rmsprop = _part(
    "rmsprop",
    optax.rmsprop,
    "Divide the gradient by the root of its averaged square.",
    "v = decay v + (1 - decay) g^2; params -= momentum sum of learning_rate g / sqrt(v + eps)",
    "Hinton 2012, Neural networks for machine learning, lecture 6; Graves, arXiv:1308.0850.",
    learning_rate=1e-3,
    decay=0.9,
    momentum=0.0,
    eps=1e-8,
    initial_scale=0.0,
    centered=False,
    nesterov=False,
)
rprop = _part(
    "rprop",
    _rprop,
    "Grow the step of an entry while its sign stays, shrink it when it changes; a schedule sets only the first step.",
    "s = clip(s eta_plus or s eta_minus, min_step_size, max_step_size); params -= s sign(g)",
    "Riedmiller and Braun 1993. Meant for full batches.",
    learning_rate=1e-3,
    eta_minus=0.5,
    eta_plus=1.2,
    min_step_size=1e-6,
    max_step_size=50.0,
)
sign_sgd = _part(
    "sign_sgd",
    optax.sign_sgd,
    "Step by the sign of the gradient.",
    "params -= learning_rate sign(g)",
    "Bernstein et al., arXiv:1802.04434.",
    learning_rate=1e-3,
)
signum = _part(
    "signum",
    optax.signum,
    "Step by the sign of the averaged gradient.",
    "m = beta m + (1 - beta) g; params -= learning_rate sign(m)",
    "Bernstein et al., arXiv:1802.04434.",
    learning_rate=1e-3,
    beta=0.9,
)
sm3 = _part(
    "sm3",
    _sm3,
    "Keep one accumulator per row and column of Adagrad's.",
    "v = min over the axes of their accumulators + g^2; params -= momentum average of learning_rate g / sqrt(v)",
    "Anil et al., arXiv:1901.11150.",
    learning_rate=1e-2,
    momentum=0.9,
)
yogi = _part(
    "yogi",
    optax.yogi,
    "Let Adam's second moment change by a bounded amount a step.",
    "v = v - (1 - b2) sign(v - g^2) g^2; params -= learning_rate m / (sqrt(v) + eps)",
    "Zaheer et al. 2018, Adaptive methods for nonconvex optimization.",
    learning_rate=1e-2,
    b1=0.9,
    b2=0.999,
    eps=1e-3,
)
fromage = _part(
    "fromage",
    _fromage,
    "Scale the gradient of each leaf to the norm of its weights and keep that norm from growing.",
    "params = (params - learning_rate |params| g / |g|) / sqrt(1 + learning_rate^2)",
    "Bernstein et al., arXiv:2002.03432.",
    learning_rate=1e-2,
    min_norm=1e-6,
)
optimistic_gradient_descent = _part(
    "optimistic_gradient_descent",
    optax.optimistic_gradient_descent,
    "Add the change of the gradient to the gradient, for games.",
    "params -= learning_rate ((alpha + beta) g - beta g_last)",
    _OPTIMISM,
    learning_rate=0.1,
    alpha=1.0,
    beta=1.0,
)
optimistic_adam = _part(
    "optimistic_adam",
    optax.optimistic_adam_v2,
    "Add the change of Adam's step to Adam's step, for games.",
    "a = m / (sqrt(v) + eps); params -= learning_rate ((alpha + beta) a - beta a_last)",
    _OPTIMISM,
    **_ADAM,
    alpha=1.0,
    beta=1.0,
)
cocob = _part(
    "cocob",
    contrib.cocob,
    "Bet coins on every weight; needs no learning rate beyond 1.",
    "params = params_0 + bet share times wealth, per entry",
    "Orabona and Tommasi, arXiv:1705.07795.",
    learning_rate=1.0,
    alpha=100.0,
    eps=1e-8,
    weight_decay=0.0,
)
dog = _part(
    "dog",
    _dog,
    "Set the step by the distance travelled over the gradients seen.",
    "params -= learning_rate max_i |params_i - params_0| / sqrt(sum |g_i|^2 + eps) g",
    "Ivgi et al., arXiv:2302.12022.",
    learning_rate=1.0,
    init_step=1e-6,
    eps=1e-8,
    weight_decay=0.0,
)
dowg = _part(
    "dowg",
    contrib.dowg,
    "Set the step by the distance travelled over the gradients seen, weighted by distance.",
    "params -= learning_rate r^2 / sqrt(sum r_i^2 |g_i|^2) g, r = max_i |params_i - params_0|",
    "Khaled et al., arXiv:2305.16284.",
    learning_rate=1.0,
    eps=1e-4,
    weight_decay=0.0,
)
prodigy = _part(
    "prodigy",
    _prodigy,
    "Take AdamW's step times an estimate of the distance to the solution; rest where the gradient is zero.",
    "params -= learning_rate d (m / (sqrt(v) + d eps) + weight_decay params), d growing with <g, params_0 - params>",
    "Mishchenko and Defazio, arXiv:2306.06101.",
    learning_rate=1.0,
    b1=0.9,
    b2=0.999,
    eps=1e-8,
    weight_decay=0.0,
)
dadapt_adamw = _part(
    "dadapt_adamw",
    _dadapt_adamw,
    "Take AdamW's step times an estimate of the distance to the solution; rest where the gradient is zero.",
    "params -= learning_rate d (m / (sqrt(v) + eps) + weight_decay params), d estimated from sums of gradients",
    "Defazio and Mishchenko, arXiv:2301.07733.",
    learning_rate=1.0,
    b1=0.9,
    b2=0.999,
    eps=1e-8,
    initial_estimate=1e-6,
    weight_decay=0.0,
)
momo = _part(
    "momo",
    contrib.momo,
    "Choose the step of averaged momentum from the loss, at most the learning rate.",
    "params -= min(learning_rate, (f + <m, params> - lower_bound)_+ / |m|^2) m; f, m: means of loss - <g, params>, g",
    "Schaipp et al., arXiv:2305.07583.",
    learning_rate=1.0,
    beta=0.9,
    lower_bound=0.0,
    weight_decay=0.0,
    adapt_lower_bound=False,
)
momo_adam = _part(
    "momo_adam",
    contrib.momo_adam,
    "Choose the step of Adam from the loss, at most the learning rate.",
    "as momo, with m / (sqrt(v) + eps) in place of m; needs the loss",
    "Schaipp et al., arXiv:2305.07583.",
    learning_rate=1e-2,
    b1=0.9,
    b2=0.999,
    eps=1e-8,
    lower_bound=0.0,
    weight_decay=0.0,
    adapt_lower_bound=False,
)
