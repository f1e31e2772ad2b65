"""What an Equinox module keeps beside its weights, as nested dicts of arrays, for `adapters.equinox`.

It is imported there alone, since Equinox is an extra.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp

from deepprinciples.types import Array, PyTree

AXIS = "batch"  # of examples, where no layer says otherwise


def made(make: Callable[[Array], Any], key: Array) -> tuple[Any, eqx.nn.State]:
    """Make a module and its state, from what makes a module or from `eqx.nn.make_with_state` of that."""
    found = make(key)
    return found if isinstance(found, tuple) else eqx.nn.make_with_state(lambda: found)()


def axis_of(module: Any) -> Any:
    """Return what the axis of examples is called in a module.

    Raises:
        ValueError: batch normalizations differ in it, name several axes, or have a mode other than "batch".
    """
    norms = _parts(module)[0].values()
    names = list({repr(one.axis_name): one.axis_name for one in norms}.values())
    if len(names) > 1 or any(isinstance(one, list | tuple) for one in names):
        found = ", ".join(map(repr, names))
        raise ValueError(f"equinox: found BatchNorm over the axes {found}; expected one axis_name, the same in all")
    return names[0] if names else AXIS


def read(module: Any, state: eqx.nn.State) -> dict[str, PyTree]:
    """Turn the state of a module into nested dicts.

    A batch normalization has its statistics as evaluation uses them, divided by 1 - momentum^count, under the names
    that they have in Linen and NNX: what measures them anew for averaged weights goes by these.

    Args:
        module: with the indices of its states.
        state: of the module.

    Returns:
        {"norm": {"mean": [C], "var": [C], "count": batches seen}, "layers.0.uv_index": any other state, ...}.

    Raises:
        ValueError: a batch normalization has a mode other than "batch".
    """
    norms, others = _parts(module)
    found: dict[str, PyTree] = {name: state.get(index) for name, index in others.items()}
    for name, norm in norms.items():
        count = state.get(norm.batch_counter)
        mean, var = (one / _filled(norm, count) for one in state.get(norm.batch_state_index))
        found[name] = {"mean": mean, "var": var, "count": count}
    return jax.tree.map(
        lambda a: jax.lax.convert_element_type(a, a.dtype), found
    )  # as a file has it, never weakly typed


def written(module: Any, state: eqx.nn.State, given: dict[str, PyTree]) -> eqx.nn.State:
    """Put what `read` made back into a state of the module."""
    norms, others = _parts(module)
    values = [(index, given[name]) for name, index in others.items()]
    for name, norm in norms.items():
        mean, var, count = (given[name][one] for one in ("mean", "var", "count"))
        filled = _filled(norm, count)
        values += [(norm.batch_counter, count), (norm.batch_state_index, (mean * filled, var * filled))]
    # State.set would refuse a type that differs in being weak
    return eqx.tree_at(lambda state: [state.get(index) for index, _ in values], state, [one for _, one in values])


def stands_still(module: Any, before: eqx.nn.State, after: eqx.nn.State) -> bool:
    """Check whether a batch normalization has counted no batch; it reads the identity of arrays, as `switches` does."""
    counters = [norm.batch_counter for norm in _parts(module)[0].values()]
    return any(before.get(one) is after.get(one) for one in counters)


def _parts(module: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the batch normalizations of a module, and the indices of all its other states, by name."""
    kinds = (eqx.nn.BatchNorm, eqx.nn.StateIndex)
    nodes = jax.tree.leaves_with_path(module, is_leaf=lambda node: isinstance(node, kinds))
    name_of = lambda path: jax.tree_util.keystr(path, simple=True, separator=".").replace("/", ".") or "module"
    norms: dict[str, Any] = {name_of(path): node for path, node in nodes if isinstance(node, kinds[0])}
    others: dict[str, Any] = {name_of(path): node for path, node in nodes if isinstance(node, kinds[1])}
    if any(norm.mode != "batch" for norm in norms.values()):
        raise ValueError(
            'equinox: found BatchNorm with mode="ema", which trains on running statistics, so that those of averaged '
            'weights cannot be measured; expected mode="batch"'
        )
    return norms, others


def _filled(norm: Any, count: Array) -> Array:
    """Return which part of a running statistic comes from batches; 1 before the first, as in Equinox."""
    return jnp.where(count == 0, 1.0, 1.0 - norm.momentum**count)
