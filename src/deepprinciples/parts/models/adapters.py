"""Adapters for Flax Linen, Flax NNX and Equinox modules: one call for each, or a bare (init, apply) pair.

An adapter draws all weights from the key it is given, so that lanes differ, and lets no module object through. In a
config a user's model is {"factory": f, ...}, where f returns a `Model` or anything `coerce` understands.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Mapping
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from flax import nnx

from deepprinciples.errors import ConfigError, ResourceError
from deepprinciples.parts.layers.normalization import enough_examples
from deepprinciples.parts.models.switches import (
    check_layer,
    check_switched,
    parameters,
    same_leaves,
    stays_off,
    switches,
)
from deepprinciples.types import Array, Model, PyTree

Activations = dict[str, Array]
Result = tuple[Array, PyTree, Activations]
SILENT = ("intermediates", "perturbations")  # collections that belong to one call, not to the state


def linen(module: nn.Module, *, sown: bool = False) -> Model:
    """Wrap a Flax Linen module.

    The outputs of the layers directly below the module become its activations, under the names of its params.

    Args:
        module: called as module(x), with those of `switches` that it accepts as keywords or, failing these, has as
            attributes; its dropout stream is `key`.
        sown: take what the module sows into "intermediates" as activations in place of the layers' outputs; Linen
            gives no way to perturb these.

    Returns:
        A `Model`; unless `sown`, it takes perturbations. Its apply raises ValueError where dropout or batch
        normalization stays off in training, or batch normalization has too few values.
    """
    called = parameters(type(module).__call__)

    def switched(train: bool) -> tuple[nn.Module, dict[str, Any]]:
        all_of_them: dict[str, Any] = switches(train)
        held = {k for k in type(module).__dataclass_fields__ if isinstance(getattr(module, k, ""), bool | None)}
        own = {k: v for k, v in all_of_them.items() if k in held - called}
        return module.clone(**own) if own else module, {k: v for k, v in all_of_them.items() if k in called}

    def is_layer(layer: nn.Module, method: str) -> bool:
        return len(layer.path) == 1 and method == "__call__"

    def init(key: Array, x: Array) -> tuple[PyTree, PyTree]:
        still, options = switched(False)
        variables = dict(still.init({"params": key, "dropout": jax.random.fold_in(key, 1)}, x, **options))
        return variables.pop("params", {}), {k: v for k, v in variables.items() if k not in SILENT}

    def apply(params: PyTree, state: PyTree, x: Array, *, key: Array | None, train: bool) -> Result:
        state = dict(state)
        perturbations = state.pop("perturbations", {})

        def push(call: Callable, args: tuple, kwargs: dict, context: nn.module.InterceptorContext) -> Any:
            if train and context.method_name == "__call__":
                check_layer(context.module, args, kwargs)
            y = call(*args, **kwargs)
            name = context.module.path[0] if is_layer(context.module, context.method_name) else None
            return y + perturbations[name] if name in perturbations and y.shape == perturbations[name].shape else y

        moving, options = switched(train)
        with nn.intercept_methods(push):
            outputs, changed = moving.apply(
                {"params": params, **state},
                x,
                mutable=[*(state if train else []), "intermediates"],
                rngs={} if key is None else {"dropout": key},
                capture_intermediates=False if sown else is_layer,
                **options,
            )
        changed = dict(changed)
        if train and same_leaves(state.get("batch_stats"), changed.get("batch_stats")):
            raise ValueError(stays_off("batch_stats"))
        seen = _named(changed.pop("intermediates", {}), called=not sown)
        return _perturbed(outputs, {**state, **changed}, perturbations, seen)

    return Model(init, apply, takes_perturbations=not sown)


def nnx_model(make: Callable[[nnx.Rngs], nnx.Module]) -> Model:
    """Wrap a Flax NNX module.

    Args:
        make: (rngs) -> module, called as module(x) with those of `switches` that it accepts as keywords; dropout and
            batch statistics follow module.train() and .eval().

    Returns:
        A `Model`: params are a nested dict of the module's `nnx.Param`s, the state holds its other variables
        but the random ones, and its only activation is "output". Its apply raises ValueError as that of `linen`.
    """

    def parts(module: nnx.Module) -> tuple[Any, ...]:  # graph, weights, random streams, all other variables
        return tuple(nnx.split(module, nnx.Param, nnx.RngState, ...))

    def init(key: Array, x: Array) -> tuple[PyTree, PyTree]:
        del x
        _, params, _, rest = parts(make(nnx.Rngs(key)))
        return nnx.to_pure_dict(params), nnx.to_pure_dict(rest)

    def apply(params: PyTree, state: PyTree, x: Array, *, key: Array | None, train: bool) -> Result:
        state = dict(state)
        perturbations = state.pop("perturbations", {})
        # A fresh module holds the static parts and the random streams; under jit its unused weights cost nothing.
        graph, own, streams, rest = parts(make(nnx.Rngs(jax.random.key(0) if key is None else key)))
        nnx.replace_by_pure_dict(own, params)
        nnx.replace_by_pure_dict(rest, state)
        module = nnx.merge(graph, own, streams, rest)
        begun = jax.tree.leaves(streams), jax.tree.leaves(rest)  # the call changes both in place
        flags = {k: v for k, v in switches(train).items() if k in ("training", "is_training", "inference")}
        (module.train if train else module.eval)(**flags)
        called = parameters(type(module).__call__)
        outputs = module(x, **{k: v for k, v in switches(train).items() if k in called})
        _, _, drawn, after = parts(module)
        if train:
            check_switched(module, x, drew=not same_leaves(begun[0], drawn), moved=not same_leaves(begun[1], after))
        return _perturbed(outputs, nnx.to_pure_dict(after) if train else state, perturbations, {})

    return Model(init, apply, takes_perturbations=True)


def equinox(make: Callable[[Array], Any]) -> Model:
    """Wrap an Equinox module, without state or with it.

    Equinox keeps kernels as [out, in]; parts that care for the axes of a kernel see them so.

    Args:
        make: (key) -> module for one example, called as module(x) with `key` and those of `switches` that it accepts
            as keywords; it follows eqx.nn.inference_mode. A module with state, or `eqx.nn.make_with_state` of such a
            function, is called as module(x, state) and returns (outputs, state). The axis of examples is called as
            eqx.nn.BatchNorm calls it, else "batch".

    Returns:
        A `Model` on batches: params are {"layers.0": {"weight": ..., "bias": ...}, ...}, the state is that of
        `equinox_state.read`, and its only activation is "output".

    Raises:
        ResourceError: Equinox is not installed. Its init raises ValueError where dropout or batch normalization stays
            off in training, or batch normalization has another mode than "batch" or several axes; its apply, where
            batch normalization has too few values.
    """
    try:
        import equinox as eqx
    except ImportError as error:
        message = "model: equinox is not installed; expected the extra; run pip install 'deepprinciples[equinox]'"
        raise ResourceError(message) from error
    from deepprinciples.parts.models import equinox_state

    def place(path: tuple) -> tuple[str, str]:
        *layer, leaf = jax.tree_util.keystr(path, simple=True, separator="/").split("/")
        return ".".join(layer) or "module", leaf

    def drops(node: Any) -> bool:
        return isinstance(node, eqx.nn.Dropout) and node.p not in (0, 0.0)

    def init(key: Array, x: Array) -> tuple[PyTree, PyTree]:
        params: dict[str, dict[str, Array]] = {}
        module, begun = equinox_state.made(make, key)
        for path, value in jax.tree.leaves_with_path(eqx.filter(module, eqx.is_inexact_array)):
            layer, leaf = place(path)
            params.setdefault(layer, {})[leaf] = value
        state = equinox_state.read(module, begun)
        if any(map(drops, jax.tree.leaves(module, is_leaf=drops))):
            both = [
                jax.make_jaxpr(lambda p, t=t: call(p, state, x, key, train=True, drop=t)[0])(params)
                for t in (True, False)
            ]
            if len({re.sub("0x[0-9a-f]+", "", str(one)) for one in both}) == 1:  # functions show their addresses
                raise ValueError(stays_off("Dropout"))
        return params, state

    def call(
        params: PyTree, state: PyTree, x: Array, key: Array | None, *, train: bool, drop: bool = True
    ) -> tuple[Any, PyTree]:
        module, begun = equinox_state.made(make, jax.random.key(0))
        own, static = eqx.partition(module, eqx.is_inexact_array)
        own = jax.tree.map_with_path(lambda path, _: params[place(path)[0]][place(path)[1]], own)
        module = eqx.nn.inference_mode(eqx.combine(own, static), value=not train)
        if not drop:
            still = lambda node: eqx.tree_at(lambda one: one.p, node, 0) if drops(node) else node
            module = jax.tree.map(still, module, is_leaf=drops)
        called = parameters(type(module).__call__)
        options = {k: v for k, v in switches(train).items() if k in called}
        draws = accepts(type(module).__call__, "key")
        keyed = {"key": jax.random.split(key, x.shape[0])} if key is not None and draws else {}

        def one(x: Array, keyed: dict[str, Array], *given: Any) -> tuple[Any, Any]:
            found = module(x, *given, **keyed, **options)
            return found if given else (found, None)

        given = [equinox_state.written(module, begun, state)] if state else []
        axes, name = (0, 0, *(None for _ in given)), equinox_state.axis_of(module)
        outputs, after = jax.vmap(one, in_axes=axes, out_axes=(0, None), axis_name=name)(x, keyed, *given)
        if train and given and equinox_state.stands_still(module, given[0], after):
            raise ValueError(stays_off("BatchNorm"))
        return outputs, equinox_state.read(module, after) if given else {}

    def apply(params: PyTree, state: PyTree, x: Array, *, key: Array | None, train: bool) -> Result:
        state = dict(state)
        perturbations = state.pop("perturbations", {})
        if train and x.ndim == 2 and any(isinstance(one, Mapping) and "mean" in one for one in state.values()):
            enough_examples("BatchNorm", len(x), 1)  # the number of positions between layers is not known
        outputs, after = call(params, state, x, key, train=train)
        return _perturbed(outputs, after if train else state, perturbations, {})

    return Model(init, apply, takes_perturbations=True)


def functions(init: Callable[[Array, Array], PyTree], apply: Callable[[PyTree, Array], Array]) -> Model:
    """Wrap a bare pair of functions.

    Args:
        init: (key, x) -> params.
        apply: (params, x) -> outputs.

    Returns:
        A `Model` without state; its only activation is "output".
    """

    def start(key: Array, x: Array) -> tuple[PyTree, PyTree]:
        return init(key, x), {}

    def run(params: PyTree, state: PyTree, x: Array, *, key: Array | None, train: bool) -> Result:
        del key, train
        state = dict(state)
        perturbations = state.pop("perturbations", {})
        return _perturbed(apply(params, x), state, perturbations, {})

    return Model(start, run, takes_perturbations=True)


def coerce(value: Any) -> Model:
    """Turn what a user's factory returned into a `Model`.

    Args:
        value: a `Model`, a Linen module, or a pair of functions (init, apply).

    Returns:
        A `Model`.

    Raises:
        ConfigError: it is none of these.
    """
    if isinstance(value, Model):
        return value
    if isinstance(value, nn.Module):
        return linen(value)
    if isinstance(value, tuple) and len(value) == 2 and all(callable(f) for f in value):
        return functions(*value)
    if any(base.__module__.startswith("torch.") for base in type(value).__mro__):
        raise ConfigError(
            f"model.factory: found {type(value).__name__}, a module of PyTorch, which cannot be trained here; write it "
            "in Flax or Equinox; its weights can be a start (model.start)"
        )
    raise ConfigError(
        f"model.factory: found {type(value).__name__}; expected a Model, a Linen module or a pair (init, apply); "
        "wrap NNX and Equinox modules with adapters.nnx_model or adapters.equinox, which make them anew from a key"
    )


def accepts(function: Callable, keyword: str) -> bool:
    """Tell whether a function can be called with that keyword."""
    parameters = inspect.signature(function).parameters.values()
    return any(p.name == keyword or p.kind is p.VAR_KEYWORD for p in parameters)


def _perturbed(outputs: PyTree, state: PyTree, perturbations: Mapping[str, Array], seen: Activations) -> Result:
    """Name the arrays of the outputs, "output" or "output.logits" and so on, and add their taps."""
    leaves, structure = jax.tree_util.tree_flatten_with_path(outputs)
    found: Activations = {}
    for path, leaf in leaves:
        words = jax.tree_util.keystr(path, simple=True, separator=".").replace("/", ".")
        name = f"output.{words}" if words else "output"
        found[name] = leaf + perturbations[name] if name in perturbations else leaf
    outputs = jax.tree.unflatten(structure, list(found.values()))
    return (
        outputs,
        state,
        {**seen, **{k: v for k, v in found.items() if jnp.issubdtype(jnp.result_type(v), jnp.inexact)}},
    )


def _named(intermediates: PyTree, *, called: bool) -> Activations:
    """Name sown values by their path; of `called` layers the first call alone: a perturbation acts on all."""
    named: Activations = {}
    for path, value in jax.tree.leaves_with_path(intermediates):
        words = jax.tree_util.keystr(path, simple=True, separator="/").split("/")
        if called and words[1:] != ["__call__", "0"]:
            continue
        named[words[0] if called else ".".join(words).removesuffix(".0")] = value
    return named
