"""How an optax factory becomes a part: an exact signature and a card, which optax's mixed ones (None, masks, callables)
cannot give. What an optimizer is called, and what it defaults to, stands in the rooms beside.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import optax

from deepprinciples.types import Array, Scalar

Rate = Scalar | Callable[[Array], Array]
Factory = Callable[..., optax.GradientTransformation]

OPTIMISM = "Daskalakis et al., arXiv:1711.00141; Mokhtari et al., arXiv:1901.08511."

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
    "eps_in_sqrt": "add eps under the root, and not to it.",
    "weight_decay": "share of the weights (biases too) taken off, times the learning rate.",
    "nesterov": "look one step ahead.",
    "alpha": "weight of the optimism or of the slow average.",
    "optimism": "weight of the change since the last gradient.",
    "trust_coefficient": "step of a layer as a share of the norm of its weights.",
    "threshold": "length of the average from which the variance is trusted.",
    "lower_bound": "smallest loss there can be.",
    "adapt_lower_bound": "estimate that bound while training.",
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
# Where a keyword means something else to one optimizer.
_IN_GRADIENT = {"weight_decay": "share of the weights (biases too) added to the gradient: L2."}
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
    words = _ARGS | _OWN_ARGS.get(name, {})
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
    return factory
