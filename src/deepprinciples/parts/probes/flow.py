"""Probes of what a step has at hand: gradients, activations, their slopes and updates, layer by layer."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated, Any

import jax
import jax.numpy as jnp

from deepprinciples.types import ACTIVATION_DERIVATIVE, AUXILIARY, Array, ClipState, Info, PyTree, Range

Measured = dict[str, Any]


def _by_layer(tree: PyTree) -> dict[str, list[Array]]:
    """Group leaves by the top-level key of a params tree; a tree without keys is one layer, `params`."""
    if isinstance(tree, Mapping):
        return {str(name): jax.tree.leaves(branch) for name, branch in tree.items() if jax.tree.leaves(branch)}
    return {"params": jax.tree.leaves(tree)}


def over_layers(statistic: Callable[..., Array], layers: Mapping[str, PyTree]) -> dict[str, Array]:
    """Compute a statistic of every layer: {name: arrays} -> {name: scalar}.

    Layers whose arrays have equal shapes are stacked and go through it at once: a deep network has one kernel to
    compile in place of one for each layer.
    """
    alike: dict[Any, list[str]] = {}
    for name, arrays in layers.items():
        leaves, structure = jax.tree.flatten(arrays)
        alike.setdefault((structure, *((a.shape, a.dtype) for a in leaves)), []).append(name)
    found: dict[str, Array] = {}
    for names in alike.values():
        if len(names) == 1:
            found[names[0]] = statistic(layers[names[0]])
        else:
            stacked = jax.tree.map(lambda *a: jnp.stack(a), *(layers[name] for name in names))
            found |= dict(zip(names, jax.vmap(statistic)(stacked), strict=True))
    return {name: found[name] for name in layers}


def _norm(leaves: list[Array]) -> Array:
    return jnp.sqrt(sum((jnp.sum(jnp.square(leaf)) for leaf in leaves), start=jnp.zeros(())))


def gradient_norm() -> Callable[[Info], Measured]:
    """Measure the norm of each layer's gradient, before any transform.

    Formula: ||g_l|| = sqrt(sum over the layer's parameters of g^2).

    Returns:
        (info) -> {"gradient_norm": {layer: scalar}}.

    Expect: about even over layers where signals pass; by a factor a layer where they vanish or explode.

    Costs: hardly anything: the gradient is there.

    References:
        Glorot and Bengio 2010 (AISTATS), on gradients by layer.
    """
    return lambda info: {"gradient_norm": over_layers(_norm, _by_layer(info.grads))}


def update_ratio() -> Callable[[Info], Measured]:
    """Measure how large a step is against the weights it changes; about 1e-3 is usual.

    Formula: ||delta theta_l|| / ||theta_l||.

    Returns:
        (info) -> {"update_ratio": {layer: scalar}}; 0 where a layer's weights are all 0.

    Expect: about 1e-3 in a usual run; far above, weights are overwritten, far below, they stand still.

    Costs: hardly anything.

    References:
        Bottou 2015, quoted in Karpathy's CS231n notes.
    """

    def ratio(layer: tuple[list[Array], list[Array]]) -> Array:
        weights, step = _norm(layer[0]), _norm(layer[1])
        return jnp.where(weights > 0, step / jnp.maximum(weights, 1e-30), 0.0)

    def probe(info: Info) -> Measured:
        weights, steps = _by_layer(info.params), _by_layer(info.updates)
        return {"update_ratio": over_layers(ratio, {name: (weights[name], steps[name]) for name in weights})}

    return probe


def activation_mean_square() -> Callable[[Info], Measured]:
    """Measure the signal going forward: the mean square of what each layer gives on.

    Formula: q_l = mean over batch and units of h_l^2.

    Returns:
        (info) -> {"activation_mean_square": {layer: scalar}}.

    Expect: even over layers at a critical initialization.

    Costs: hardly anything.

    References:
        Poole et al. 2016, arXiv:1606.05340.
    """

    def probe(info: Info) -> Measured:
        named = {name: h for name, h in info.activations.items() if not name.endswith(AUXILIARY)}
        return {"activation_mean_square": over_layers(lambda h: jnp.mean(jnp.square(h)), named)} if named else {}

    return probe


def gradient_mean_square() -> Callable[[Info], Measured]:
    """Measure the signal going backward: the mean square gradient of one example's loss at each layer's output.

    Formula: mean over batch and units of (B dL/dh_l)^2, where L is the mean over B examples.

    Returns:
        (info) -> {"gradient_mean_square": {layer: scalar}}; nothing for models whose activations take no perturbations.

    Expect: even over layers at a critical initialization; falling from the top where gradients vanish.

    Costs: one more backward pass, without gradients of weights.

    References:
        Schoenholz et al. 2017, arXiv:1611.01232.
    """

    def probe(info: Info) -> Measured:
        grads = info.activation_grads()
        values = over_layers(lambda g: jnp.mean(jnp.square(g * g.shape[0])), grads)
        return {"gradient_mean_square": values} if values else {}

    return probe


def _units(slope: Array) -> Array:
    return slope.reshape(-1, slope.shape[-1])


def dead_units() -> Callable[[Info], Measured]:
    """Measure the share of units that pass no gradient for any input of the batch.

    Formula: mean over units of [phi'(z) = 0 on every input]; for ReLU that is z <= 0 on every input.

    Returns:
        (info) -> {"dead_units": {layer: share in [0, 1]}}.

    Expect: 0 for smooth activations; grows for ReLU at large rates.

    Costs: hardly anything.

    References:
        Lu et al. 2019, arXiv:1903.06733.
    """

    def probe(info: Info) -> Measured:
        slopes = {
            name.removesuffix(ACTIVATION_DERIVATIVE): s
            for name, s in info.activations.items()
            if name.endswith(ACTIVATION_DERIVATIVE)
        }
        values = over_layers(lambda s: jnp.mean(jnp.all(_units(s) == 0, axis=0)), slopes)
        return {"dead_units": values} if values else {}

    return probe


def saturated_units(*, threshold: Annotated[float, Range("[0, inf)")] = 0.01) -> Callable[[Info], Measured]:
    """Measure the share of activations on a flat part of their function.

    Formula: mean over batch and units of [|phi'(z)| < threshold].

    Args:
        threshold: slopes below it count as flat.

    Returns:
        (info) -> {"saturated_units": {layer: share in [0, 1]}}.

    Expect: grows with the scale of the weights where the activation is bounded.

    Costs: hardly anything.

    References:
        Glorot and Bengio 2010 (AISTATS).
    """

    def probe(info: Info) -> Measured:
        slopes = {
            name.removesuffix(ACTIVATION_DERIVATIVE): s
            for name, s in info.activations.items()
            if name.endswith(ACTIVATION_DERIVATIVE)
        }
        values = over_layers(lambda s: jnp.mean(jnp.abs(s) < threshold), slopes)
        return {"saturated_units": values} if values else {}

    return probe


def trigger_rate() -> Callable[[Info], Measured]:
    """Measure how often each clipping transform acted, from the first step to this one.

    Formula: (steps on which it changed the gradient) / (steps so far); for clips by layer or unit, shares of a step.

    Returns:
        (info) -> {"trigger_rate": {transform: share in [0, 1]}, "clip_norm": {transform: norm before clipping}};
        nothing where nothing clips.

    Expect: 0 where a clip never acts and is worth nothing; near 1 where it has become a normalization of every
        step.

    Costs: nothing: the transforms count.

    References:
        Pascanu, Mikolov and Bengio 2013, arXiv:1211.5063.
    """

    def probe(info: Info) -> Measured:
        nodes, _ = jax.tree_util.tree_flatten_with_path(info.opt_state, is_leaf=lambda n: isinstance(n, ClipState))
        clips = {_key_of(path): node for path, node in nodes if isinstance(node, ClipState)}
        if not clips:
            return {}
        rates = {name: clip.triggered / jnp.maximum(clip.steps, 1) for name, clip in clips.items()}
        return {"trigger_rate": rates, "clip_norm": {name: clip.norm for name, clip in clips.items()}}

    return probe


def players() -> Callable[[Info], Measured]:
    """Measure both players of a game: where the discriminator puts real and made examples, and what drives each.

    Formula: discriminator_real = mean s(D(x)), discriminator_fake = mean s(D(G(z))), s the logistic function;
    critic_gap = mean D(x) - mean D(G(z)); penalty; generator_loss; generator_gradient and discriminator_gradient, the
    norms of all their gradients; diversity = mean distance of two made examples / mean distance of two real ones.

    Returns:
        (info) -> {name: scalar}; nothing where no game is played.

    Expect: discriminator_real and discriminator_fake near 0.5 where neither player wins.

    Costs: two passes of the generator.

    References:
        arXiv:1406.2661; arXiv:1701.07875 (the gap).
    """
    return lambda info: {name: measure() for name, measure in info.measures.items() if name != "rotation"}


def rotation() -> Callable[[Info], Measured]:
    """Measure how far a game turns: the cosine between the gradients before and after a step, on the same batch.

    Formula: cos(v_t, v_{t+1}), v the gradients of both players as one vector; 1 goes straight on, below 0 turns back.

    Returns:
        (info) -> {"rotation": scalar in [-1, 1]}; nothing where no game is played.

    Expect: 1 where a game goes straight on, below 0 where it turns around its fixed point.

    Costs: four gradients.

    References:
        arXiv:1906.04848 (rotation of the game's field).
    """
    return lambda info: {name: measure() for name, measure in info.measures.items() if name == "rotation"}


def _key_of(path: tuple) -> str:
    """Name a state by the key it has in its chain."""
    keys = [str(entry.key) for entry in path if isinstance(entry, jax.tree_util.DictKey)]
    return keys[-1] if keys else "clip"


TABLE = {
    f.__name__: f
    for f in (
        gradient_norm,
        update_ratio,
        activation_mean_square,
        gradient_mean_square,
        dead_units,
        saturated_units,
        trigger_rate,
        players,
        rotation,
    )
}
