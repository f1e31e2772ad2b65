"""Adam and its kin: an average of gradients over the root of an average of their squares.

What divides by anything else, or by nothing, is in `geometry`; what finds its own step size is in `self_tuning`.
"""

from __future__ import annotations

from functools import partial

import optax
from optax import contrib

from deepprinciples.parts.optimizers.from_optax.cards import OPTIMISM, part

MOMENTS = "m = b1 m + (1 - b1) g, v = b2 v + (1 - b2) g^2, both corrected for the start at zero"
_NO_SCHEDULE = (
    "PyTorch and the paper let the momentum rise with the steps, b1 (1 - 0.96^(t / 250) / 2); here it is b1 throughout."
)
ADAM = {"learning_rate": 1e-3, "b1": 0.9, "b2": 0.999, "eps": 1e-8}

adam = part(
    "adam",
    optax.adam,
    "Divide the averaged gradient by the root of its averaged square.",
    f"{MOMENTS}; params -= learning_rate m / (sqrt(v) + eps)",
    "Kingma and Ba, arXiv:1412.6980.",
    "Every weight moves by about the learning rate at most, whatever the scale of its gradient: update_ratio hardly "
    "follows gradient_norm, and scaling the loss changes nothing. Near sgd with momentum where all gradients are "
    "alike in size.",
    "Two copies of the weights.",
    **ADAM,
    eps_root=0.0,
)
adamw = part(
    "adamw",
    optax.adamw,
    "Take Adam's step and shrink the weights beside it, not through the gradient.",
    f"{MOMENTS}; params -= learning_rate (m / (sqrt(v) + eps) + weight_decay params)",
    "Loshchilov and Hutter, arXiv:1711.05101.",
    "As adam, with all weights shrinking at one pace whatever their gradients; claimed to make rate and decay easier "
    "to tune one by one. At weight_decay 0 it is adam, in every probe.",
    "Two copies of the weights.",
    "PyTorch: weight_decay 0.01.",
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
    "Fixes a case in which Adam goes the wrong way. The divisor never falls, so after a peak of gradient_norm "
    "update_ratio stays lower than adam's; while squared gradients grow it is adam.",
    "Three copies of the weights.",
    "PyTorch takes the maximum before the correction for the start at zero, so that a first gradient far above the "
    "later ones shortens all steps here, and there less and less. The paper corrects neither average.",
    **ADAM,
    eps_root=0.0,
)
nadam = part(
    "nadam",
    partial(optax.adam, nesterov=True),
    "Take Adam's step with Nesterov's look ahead.",
    f"{MOMENTS}, m with the count of the next step, g with this one's; "
    "params -= learning_rate (b1 m + (1 - b1) g) / (sqrt(v) + eps)",
    "Dozat 2016, Incorporating Nesterov momentum into Adam.",
    "Claimed to be a little faster than adam: the step follows the last gradient sooner, in the first steps above "
    "all. update_ratio is near adam's where gradients change slowly; at b1 = 0 it is adam.",
    "Two copies of the weights.",
    _NO_SCHEDULE + " PyTorch: learning_rate 0.002.",
    **ADAM,
    eps_root=0.0,
)
nadamw = part(
    "nadamw",
    partial(optax.adamw, nesterov=True),
    "Take AdamW's step with Nesterov's look ahead.",
    f"{MOMENTS}, m with the count of the next step, g with this one's; "
    "params -= learning_rate ((b1 m + (1 - b1) g) / (sqrt(v) + eps) + weight_decay params)",
    "Dozat 2016, Incorporating Nesterov momentum into Adam; Loshchilov and Hutter, arXiv:1711.05101.",
    "As nadam, with the decay beside the step: all weights shrink at one pace whatever their gradients. At "
    "weight_decay 0 it is nadam, in every probe.",
    "Two copies of the weights.",
    _NO_SCHEDULE + " PyTorch: learning_rate 0.002, weight_decay 0.",
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
    "One large gradient shortens the steps of its weight for some 1 / (1 - b2) steps: update_ratio falls after a peak "
    "of gradient_norm, further than adam's. Near adam where gradients keep their size.",
    "Two copies of the weights.",
    "PyTorch: learning_rate 0.002.",
    **ADAM,
)
adamaxw = part(
    "adamaxw",
    optax.adamaxw,
    "Take Adamax's step and shrink the weights beside it.",
    "params -= learning_rate (adamax step + weight_decay params)",
    "Kingma and Ba, arXiv:1412.6980; Loshchilov and Hutter, arXiv:1711.05101.",
    "As adamax, with the decay beside the step: all weights shrink at one pace whatever their gradients. At "
    "weight_decay 0 it is adamax, in every probe.",
    "Two copies of the weights.",
    **ADAM,
    weight_decay=1e-4,
)
adabelief = part(
    "adabelief",
    optax.adabelief,
    "Divide the averaged gradient by how far gradients stray from it.",
    "m = b1 m + (1 - b1) g, s = b2 s + (1 - b2) (g - m)^2 + eps_root, both corrected for the start at zero; "
    "params -= learning_rate m / (sqrt(s) + eps)",
    "Zhuang et al., arXiv:2010.07468.",
    "Claimed to be as fast as Adam and to generalize like sgd. Steps are long where gradients come as expected: "
    "update_ratio is above adam's where gradient_noise is low, and near it where gradients are mostly noise.",
    "Two copies of the weights.",
    learning_rate=1e-3,
    b1=0.9,
    b2=0.999,
    eps=1e-16,
    eps_root=1e-16,
)
ademamix = part(
    "ademamix",
    contrib.ademamix,
    "Mix a fast and a very slow average of gradients.",
    "m, s: averages of g with b1, b3; v: of g^2 with b2; m and v corrected for the start at zero, s not; "
    "params -= learning_rate ((m + alpha s) / (sqrt(v) + eps) + weight_decay params)",
    "Pagliardini et al., arXiv:2409.03137.",
    "Claimed to use old gradients well in long runs. The slow average starts at 0 and takes some 1 / (1 - b3) steps, "
    "10,000 at the default: before, it is near adamw; then update_ratio may rise. At alpha 0 it is adamw.",
    "Three copies of the weights.",
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
    "Claimed to do what ademamix does with one average less. m is a sum: where gradients agree the step is 1 / (1 - "
    "b1) times adam's of the same rate, 100 at the default, and so is update_ratio.",
    "Two copies of the weights.",
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
    "Theory: it converges for any b2, where Adam may not. The first step measures and moves nothing, so update_ratio "
    "is 0 there; near adam in most else.",
    "Two copies of the weights.",
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
    "Claimed to converge more often, since step and divisor do not depend on each other. There is no momentum in the "
    "step, so update_ratio is noisier than adam's and step_cosine should be lower; high where gradients are steady.",
    "Two copies of the weights.",
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
    "Claimed to do the work of a warm-up: in the first few steps it is sgd with averaged momentum at the same rate, "
    "then update_ratio rises over some 1 / (1 - b2) steps, and from there it is adam.",
    "Two copies of the weights.",
    "PyTorch adds eps before v is corrected: in the first 1 / (1 - b2) steps gradients near eps move less there.",
    **ADAM,
    threshold=5.0,
)
yogi = part(
    "yogi",
    optax.yogi,
    "Let Adam's second moment change by a bounded amount a step.",
    "v = v - (1 - b2) sign(v - g^2) g^2 from 1e-6, m: average of g; both corrected for the start; "
    "params -= learning_rate m / (sqrt(v) + eps)",
    "Zaheer et al. 2018, Adaptive methods for nonconvex optimization.",
    "The divisor falls slowly after large gradients, so the rate of a weight does not leap: where gradient_norm "
    "drops, update_ratio rises less than adam's. Near adam where gradients keep their size.",
    "Two copies of the weights.",
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
    "Theory for simple games: it goes to the solution where plain steps circle, so the gradients of both players "
    "(players) should fall. Near adam where steps change slowly; with noisy batches update_ratio rises.",
    "Three copies of the weights.",
    **ADAM,
    alpha=1.0,
    beta=1.0,
)
