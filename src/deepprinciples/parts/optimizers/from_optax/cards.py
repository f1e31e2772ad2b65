"""How an optax factory becomes a part: an exact signature and a card, which optax's mixed ones (None, masks, callables)
cannot give. What an optimizer is called, and what it defaults to, stands in the modules beside.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import optax

from deepprinciples.types import (
    Array,
    Count,
    Decay,
    Epsilon,
    LearningRate,
    Limit,
    NonNegative,
    Rate,
    Scalar,
    Strength,
    traits,
)

Schedulable = Scalar | Callable[[Array], Array]
Factory = Callable[..., optax.GradientTransformation]

OPTIMISM = "Daskalakis et al., arXiv:1711.00141; Mokhtari et al., arXiv:1901.08511."

# For each keyword of optax's its annotation, and a sentence for the cards.
_ARGS: dict[str, tuple[Any, str]] = {
    "learning_rate": (LearningRate, "step size, or a function of the step count."),
    "b1": (Decay, "share of the past kept in the average of gradients."),
    "b2": (Decay, "share of the past kept in the average of squared gradients."),
    "b3": (Decay, "share of the past kept in the slowest average."),
    "beta": (Scalar, "share of the past kept in the average of gradients."),
    "decay": (Decay, "share of the past kept in the average of squared gradients."),
    "momentum": (Rate, "share of the last step kept."),
    "eps": (Epsilon, "small number that keeps divisions finite."),
    "eps_root": (NonNegative, "small number under the square root."),
    "eps_in_sqrt": (bool, "add eps under the root, and not to it."),
    "weight_decay": (Strength, "share of the weights (biases too) taken off, times the learning rate."),
    "nesterov": (bool, "look one step ahead."),
    "alpha": (Scalar, "weight of the slow average."),
    "trust_coefficient": (Scalar, "step of a layer as a share of the norm of its weights."),
    "threshold": (Scalar, "length of the average from which the variance is trusted."),
    "lower_bound": (Scalar, "smallest loss there can be."),
    "adapt_lower_bound": (bool, "estimate that bound while training."),
    "min_norm": (Scalar, "smallest norm divided by."),
    "initial_accumulator_value": (Scalar, "squared gradients counted before the first."),
    "initial_scale": (Scalar, "average of squared gradients before the first."),
    "centered": (bool, "divide by the standard deviation instead of the root mean square."),
    "ns_steps": (Count, "Newton-Schulz steps of the orthogonalization."),
    "adam_b1": (Decay, "b1 of the Adam that trains leaves which are no matrix."),
    "adam_b2": (Decay, "b2 of the Adam that trains leaves which are no matrix."),
    "use_clipping": (bool, "clip scaled gradients at step^(1/4)."),
    "clipping_threshold": (Limit, "largest root mean square of the step of a leaf."),
    "decay_rate": (Decay, "power with which the averages lengthen."),
    "min_dim_size_to_factor": (int, "smallest axis for which squared gradients are kept as two vectors."),
    "multiply_by_parameter_scale": (bool, "measure steps in units of the weights."),
    "initial_estimate": (Scalar, "first guess of the distance to the solution."),
    "init_step": (Scalar, "first step as a share of 1 + |params|."),
}
# Where a keyword means something else to one optimizer.
_IN_GRADIENT = {"weight_decay": "share of the weights (biases too) added to the gradient: L2."}
_OPTIMISTIC = {"alpha": "weight of the present step.", "beta": "weight of its change since the last one."}
_OWN_ARGS: dict[str, dict[str, str]] = {
    "adadelta": _IN_GRADIENT,
    "cocob": _IN_GRADIENT | {"alpha": "first bets are 1 / alpha of the wealth."},
    "dog": _IN_GRADIENT,
    "dowg": _IN_GRADIENT,
    "lamb": {"weight_decay": "share of the weights (biases too) added to the step before it is scaled."},
    "lars": _IN_GRADIENT,
    "lion": {
        "b1": "share of the past kept in the direction.",
        "b2": "share of the past kept in the average of gradients.",
    },
    "madgrad": _IN_GRADIENT,
    "muon": {"weight_decay": "share of the matrices, and of nothing else, taken off, times the learning rate."},
    "novograd": {"weight_decay": "share of the weights (biases too) added to the scaled gradient, before momentum."},
    "optimistic_adam": _OPTIMISTIC,
    "optimistic_gradient_descent": _OPTIMISTIC,
    "simplified_ademamix": {
        "alpha": "weight of the present gradient.",
        "b1": "share of the past kept in the sum of gradients.",
    },
}


def part(
    name: str,
    make: Callable[..., Any],
    summary: str,
    formula: str,
    reference: str,
    expect: str = "",
    costs: str = "",
    differs: str = "",
    /,
    **defaults: float | int | bool,
) -> Factory:
    """Turn an optax factory into a part: exact annotations, defaults in the signature, a card as docstring.

    Args:
      name: of the part; make: optax's factory, with the keywords of `defaults`.
      summary, formula, reference, expect, costs: lines of the card.
      differs: how PyTorch or the paper has it, where that is not how it is here.
      defaults: every keyword; a float may be swept, an int or bool may not.
    Returns: a factory with keywords only, which refuses unknown ones.
    """

    def factory(**given: Any) -> optax.GradientTransformation:
        unknown = set(given) - set(defaults)
        if unknown:
            raise TypeError(f"{name}() got unexpected keywords {sorted(unknown)}; it takes {list(defaults)}")
        return make(**{**defaults, **given})

    kinds = {key: _ARGS[key][0] for key in defaults}
    factory.__name__ = factory.__qualname__ = name
    factory.__annotations__ = {**kinds, "return": optax.GradientTransformation}
    parameters = [
        inspect.Parameter(key, inspect.Parameter.KEYWORD_ONLY, default=value, annotation=kinds[key])
        for key, value in defaults.items()
    ]
    signature = inspect.Signature(parameters, return_annotation=optax.GradientTransformation)
    factory.__signature__ = signature  # type: ignore[attr-defined]  # the one public way to give a function a signature
    marks = {key: " *Sweepable.*" if isinstance(value, float) else "" for key, value in defaults.items()}
    neutral: dict[str, float] = {key: 0.0 for key in ("momentum", "weight_decay") if key in defaults}
    for key in neutral:
        marks[key] += " *Neutral: 0.0.*"
    words = {key: _ARGS[key][1] for key in defaults} | _OWN_ARGS.get(name, {})
    lines = "\n".join(f"  {key}: {words[key]}{marks[key]}" for key in defaults)
    body = f"{formula}\n\n{differs}" if differs else formula
    factory.__doc__ = f"""{summary}

{body}

Args:
{lines}
Returns: optax.GradientTransformation over params of any shape.
Expect: {expect}
Costs: {costs}
References: {reference}
"""
    return traits(neutral=neutral)(factory)
