"""Adam and its kin: an average of gradients over the root of an average of their squares.

What divides by anything else, or by nothing, is in `geometry`; what finds its own step size is in `self_tuning`.
"""

from __future__ import annotations

from functools import partial

import optax
from optax import contrib

from deepprinciples.parts.optax_optimizers.cards import OPTIMISM, part

MOMENTS = "m = b1 m + (1 - b1) g, v = b2 v + (1 - b2) g^2, both corrected for the start at zero"
ADAM = {"learning_rate": 1e-3, "b1": 0.9, "b2": 0.999, "eps": 1e-8}

adam = part(
    "adam",
    optax.adam,
    "Divide the averaged gradient by the root of its averaged square.",
    f"{MOMENTS}; params -= learning_rate m / (sqrt(v) + eps)",
    "Kingma and Ba, arXiv:1412.6980.",
    **ADAM,
    eps_root=0.0,
)
adamw = part(
    "adamw",
    optax.adamw,
    "Take Adam's step and shrink the weights beside it, not through the gradient.",
    f"{MOMENTS}; params -= learning_rate (m / (sqrt(v) + eps) + weight_decay params)",
    "Loshchilov and Hutter, arXiv:1711.05101.",
    **ADAM,
    eps_root=0.0,
    weight_decay=1e-4,
)
amsgrad = part(
    "amsgrad",
    optax.amsgrad,
    "Take Adam's step with the largest second moment seen so far.",
    f"{MOMENTS}; u = max(u, v); params -= learning_rate m / (sqrt(u) + eps)",
    "Reddi et al., arXiv:1904.09237.",
    **ADAM,
    eps_root=0.0,
)
nadam = part(
    "nadam",
    partial(optax.adam, nesterov=True),
    "Take Adam's step with Nesterov's look ahead.",
    f"{MOMENTS}; params -= learning_rate (b1 m + (1 - b1) g) / (sqrt(v) + eps)",
    "Dozat 2016, Incorporating Nesterov momentum into Adam.",
    **ADAM,
    eps_root=0.0,
)
nadamw = part(
    "nadamw",
    partial(optax.adamw, nesterov=True),
    "Take AdamW's step with Nesterov's look ahead.",
    f"{MOMENTS}; params -= learning_rate ((b1 m + (1 - b1) g) / (sqrt(v) + eps) + weight_decay params)",
    "Dozat 2016, Incorporating Nesterov momentum into Adam; Loshchilov and Hutter, arXiv:1711.05101.",
    **ADAM,
    eps_root=0.0,
    weight_decay=1e-4,
)
adamax = part(
    "adamax",
    optax.adamax,
    "Divide the averaged gradient by its largest recent entry.",
    "m = b1 m + (1 - b1) g, u = max(b2 u, |g| + eps); params -= learning_rate m / ((1 - b1^t) u)",
    "Kingma and Ba, arXiv:1412.6980.",
    **ADAM,
)
adamaxw = part(
    "adamaxw",
    optax.adamaxw,
    "Take Adamax's step and shrink the weights beside it.",
    "params -= learning_rate (adamax step + weight_decay params)",
    "Kingma and Ba, arXiv:1412.6980; Loshchilov and Hutter, arXiv:1711.05101.",
    **ADAM,
    weight_decay=1e-4,
)
adabelief = part(
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
adan = part(
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
ademamix = part(
    "ademamix",
    contrib.ademamix,
    "Mix a fast and a very slow average of gradients.",
    "m, s: averages of g with b1, b3; v: of g^2 with b2; params -= learning_rate (m + alpha s) / (sqrt(v) + eps)",
    "Pagliardini et al., arXiv:2409.03137.",
    **ADAM,
    b3=0.9999,
    alpha=5.0,
    weight_decay=0.0,
)
simplified_ademamix = part(
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
adopt = part(
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
acprop = part(
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
radam = part(
    "radam",
    optax.radam,
    "Take Adam's step only once its variance can be trusted.",
    f"{MOMENTS}; params -= learning_rate r m / (sqrt(v) + eps), r the rectification; learning_rate m before",
    "Liu et al., arXiv:1908.03265.",
    **ADAM,
    threshold=5.0,
)
yogi = part(
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
optimistic_adam = part(
    "optimistic_adam",
    optax.optimistic_adam_v2,
    "Add the change of Adam's step to Adam's step, for games.",
    "a = m / (sqrt(v) + eps); params -= learning_rate ((alpha + beta) a - beta a_last)",
    OPTIMISM,
    **ADAM,
    alpha=1.0,
    beta=1.0,
)
