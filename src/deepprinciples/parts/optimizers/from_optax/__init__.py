"""The optimizers that are optax's own, each with the exact signature and card that optax's mixed ones cannot give.

Three modules, by what a step is measured with: `moments`, `geometry`, `self_tuning`; `cards` is below
them. Users find all in `optimizers.TABLE`; what is not optax's is written there.

Left out, since they would not be what their name says here: lbfgs and sophia (need the loss function), schedule_free
(must be evaluated at other parameters than it trains), dpsgd (per-example gradients: a rule), noisy_sgd (one noise for
all lanes of a vmap: use sgd after transforms.noise).
"""

from __future__ import annotations

from deepprinciples.parts.optimizers.from_optax.geometry import (
    adadelta,
    adafactor,
    adagrad,
    fromage,
    lamb,
    lars,
    lion,
    madgrad,
    muon,
    novograd,
    optimistic_gradient_descent,
    rmsprop,
    sign_sgd,
    signum,
    sm3,
)
from deepprinciples.parts.optimizers.from_optax.moments import (
    acprop,
    adabelief,
    adam,
    adamax,
    adamaxw,
    adamw,
    ademamix,
    adopt,
    amsgrad,
    nadam,
    nadamw,
    optimistic_adam,
    radam,
    simplified_ademamix,
    yogi,
)
from deepprinciples.parts.optimizers.from_optax.self_tuning import (
    cocob,
    dadapt_adamw,
    dog,
    dowg,
    momo,
    momo_adam,
    prodigy,
)

__all__ = [
    "acprop",
    "adabelief",
    "adadelta",
    "adafactor",
    "adagrad",
    "adam",
    "adamax",
    "adamaxw",
    "adamw",
    "ademamix",
    "adopt",
    "amsgrad",
    "cocob",
    "dadapt_adamw",
    "dog",
    "dowg",
    "fromage",
    "lamb",
    "lars",
    "lion",
    "madgrad",
    "momo",
    "momo_adam",
    "muon",
    "nadam",
    "nadamw",
    "novograd",
    "optimistic_adam",
    "optimistic_gradient_descent",
    "prodigy",
    "radam",
    "rmsprop",
    "sign_sgd",
    "signum",
    "simplified_ademamix",
    "sm3",
    "yogi",
]
