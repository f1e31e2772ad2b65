"""Two networks of one kind as one model: an actor that chooses and a critic that values."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp

from deepprinciples.domains.control.environment import Environment
from deepprinciples.kernels.keys import stream
from deepprinciples.types import Array, Info, Model, PyTree, Scalar

# (outputs, shape of an input) -> the model of the config
Network = Callable[[int, tuple[int, ...]], Model]


def actor_critic(network: Network, environment: Environment, scale: Scalar, spread: Scalar) -> Model:
    """Join an actor and a critic into a model of observations.

    Args:
        network: makes each of them.
        environment: that they observe.
        scale: of the last layer of the actor at the start.
        spread: sigma of real-valued actions at the start.

    Returns:
        A `Model` with parameters {"actor", "critic"}, and "spread", log sigma, for real-valued actions; its outputs are
        {"policy": [B, actions], "spread", "value": [B]}, its activations "actor.NAME" and "critic.NAME".
    """
    parts = {"actor": network(environment.actions or environment.controls, environment.observation)}
    parts["critic"] = network(1, environment.observation)

    def init(key: Array, x: Array) -> tuple[PyTree, PyTree]:
        made = {name: one.init(stream(key, name), x) for name, one in parts.items()}
        params = {name: params for name, (params, _) in made.items()}
        params["actor"] = _scaled(params["actor"], scale)
        if environment.controls:
            params["spread"] = jnp.full(environment.controls, jnp.log(spread))
        return params, {name: state for name, (_, state) in made.items()}

    def apply(params: PyTree, state: PyTree, x: Array, *, key: Array | None, train: bool) -> tuple[Any, PyTree, Any]:
        state = dict(state)
        pushed = state.pop("perturbations", {})
        outputs, activations = dict[str, Array](), dict[str, Array]()
        for name, one in parts.items():
            own = {k.removeprefix(f"{name}."): v for k, v in pushed.items() if k.startswith(f"{name}.")}
            given = {**state[name], "perturbations": own} if own else state[name]
            drawn = None if key is None else stream(key, name)
            outputs[name], state[name], seen = one.apply(params[name], given, x, key=drawn, train=train)
            activations |= {f"{name}.{layer}": a for layer, a in seen.items()}
        made = {"policy": outputs["actor"], "spread": params.get("spread"), "value": outputs["critic"][..., 0]}
        return made, state, activations

    return Model(init, apply, takes_perturbations=all(one.takes_perturbations for one in parts.values()))


def by_layer(info: Info) -> Info:
    """Name the layers of both networks for the probes as the activations are: "actor.layer_00"."""

    def flat(tree: PyTree) -> PyTree:
        branches = {name: one if isinstance(one, Mapping) else {"": one} for name, one in tree.items()}
        return {f"{name}.{layer}".rstrip("."): one for name, kept in branches.items() for layer, one in kept.items()}

    def nested(tree: PyTree) -> PyTree:
        found: dict[str, Any] = {}
        for path, one in tree.items():
            name, _, layer = path.partition(".")
            found[name] = {**found.get(name, {}), layer: one} if layer else one
        return found

    gradient, objective, forward = info.gradient, info.objective, info.forward
    return info._replace(
        params=flat(info.params),
        grads=flat(info.grads),
        updates=flat(info.updates),
        gradient=gradient and (lambda params, batch: flat(gradient(nested(params), batch))),
        objective=objective and (lambda params, batch: objective(nested(params), batch)),
        forward=forward and (lambda params, inputs: forward(nested(params), inputs)),
        named=flat,
    )


def _scaled(params: PyTree, scale: Scalar) -> PyTree:
    """Multiply the parameters of the layer "output"."""
    if isinstance(scale, float) and scale == 1.0:
        return params
    if not (isinstance(params, dict) and "output" in params):
        raise ValueError('learner.policy_scale: the model has no layer called "output"; leave it at 1.0')
    return {**params, "output": jax.tree.map(lambda leaf: scale * leaf, params["output"])}
