"""Keywords that several networks share: one definition of their annotations, defaults and documentation.

A factory takes them as one NamedTuple; `flat_keywords` gives it the flat signature and docstring that a config sees.
"""

from __future__ import annotations

import functools
import inspect
import re
import typing
from collections.abc import Callable, Collection
from typing import Any, Literal, NamedTuple

from deepprinciples.types import Activation, Count, Initializer, Model, Rate, Scalar

Skip = Literal["none", "residual", "highway", "dense", "rezero"]
Normalization = Literal[
    "none", "batch", "ghost", "layer", "group", "instance", "rms", "weight", "weight_standardized", "spectral"
]
Kernels = Literal["auto", "stock"]
# The values that switch off what every network has: each declares them as its neutral ones.
OFF = {"dropout": 0.0, "branch_scale": 1.0, "stream_scale": 1.0, "drop_connect": 0.0, "stochastic_depth": 0.0}
# The keywords of `Layers` that a network without skips and dropout does not take.
BEYOND_PLAIN = ("skip", *OFF, "ghost_size", "lsuv")


class Layers(NamedTuple):
    """The keywords of the layers of a network.

    Args:
        activation: of the hidden layers, elementwise.
        initializer: of all kernels, [in, out] or [window, (window,) in, out].
        bias_initializer: of all biases [out].
        skip: how a layer, or a block of a resnet, passes on its input.
        normalization: of the input of each activation; "weight" normalizes kernels instead, and "spectral" divides them
            by their largest singular value; "weight_standardized" standardizes kernels and then normalizes by groups.
            Outputs, and the code of an autoencoder, have none but "spectral". "instance" needs positions, which an mlp
            does not have.
        dropout: rate applied to the output of each layer, before the next linear map; in a resnet, between the two
            convolutions of a block and before the outputs. *Sweepable.* *Neutral: 0.0.*
        branch_scale: factor of each branch with skip "residual" or "rezero", such as 1 / sqrt(depth). *Sweepable.*
            *Neutral: 1.0.*
        stream_scale: factor of the stream that such a branch is added to: 1 / sqrt(2) for both keeps the variance.
            *Sweepable.* *Neutral: 1.0.*
        drop_connect: rate at which single weights are dropped, for a batch at a time. *Sweepable.* *Neutral: 0.0.*
        stochastic_depth: rate at which an example skips the last hidden layer or block, with skip "residual" or
            "rezero"; it falls in proportion to the number of the layer, to 0 at the first. *Sweepable.*
            *Neutral: 0.0.*
        ghost_size: examples in a part of the batch, with normalization "ghost".
        lsuv: scale every kernel so that its product with the first batch has variance 1; the paper's initializer is
            orthogonal.
        kernels: "auto" convolves and pools in the form that is quickest here, "stock" leaves both to XLA.
    """

    activation: Activation | str = "relu"
    initializer: Initializer | str = "he_normal"
    bias_initializer: Initializer | str = "zeros"
    skip: Skip = "none"
    normalization: Normalization = "none"
    dropout: Rate = 0.0
    branch_scale: Scalar = 1.0
    stream_scale: Scalar = 1.0
    drop_connect: Rate = 0.0
    stochastic_depth: Rate = 0.0
    ghost_size: Count = 16
    lsuv: bool = False
    kernels: Kernels = "auto"


def flat_keywords(
    without: Collection[str] = (), **defaults: Any
) -> Callable[[Callable[..., Model]], Callable[..., Model]]:
    """Replace each parameter of a factory that is a NamedTuple, such as `Layers`, by the keywords it consists of.

    Signature, annotations and docstring of the result are flat, as if every keyword stood in the factory. Where the
    docstring documents a keyword itself, its words are kept; else those of the first NamedTuple that does are taken.

    Args:
        without: keywords that the factory does not take; they keep their defaults.
        **defaults: defaults that differ from those of the NamedTuple.

    Returns:
        A decorator.
    """

    def flatten(build: Callable[..., Model]) -> Callable[..., Model]:
        hints = typing.get_type_hints(build, include_extras=True)
        own = inspect.signature(build).parameters.values()
        groups = {p.name: hints[p.name] for p in own if hasattr(hints[p.name], "_field_defaults")}
        flat: dict[str, inspect.Parameter] = {}
        for parameter in own:
            group = groups.get(parameter.name)
            if group is None:
                flat[parameter.name] = parameter.replace(annotation=hints[parameter.name])
                continue
            inner = typing.get_type_hints(group, include_extras=True)
            for name in group._fields:
                if name not in without and name not in flat:  # the first NamedTuple that has a keyword owns it
                    default = defaults.get(name, group._field_defaults[name])
                    flat[name] = inspect.Parameter(name, parameter.kind, default=default, annotation=inner[name])
        signature = inspect.Signature(list(flat.values()), return_annotation=hints["return"])

        @functools.wraps(build)
        def factory(**given: Any) -> Model:
            try:
                bound = signature.bind(**given)
            except TypeError as error:
                raise TypeError(f"{build.__name__}() {error}") from None
            bound.apply_defaults()
            values = bound.arguments
            made = {
                name: group(**{key: values.pop(key) for key in group._fields if key in values})
                for name, group in groups.items()
            }
            return build(**values, **made)

        factory.__signature__ = signature  # type: ignore[attr-defined]  # the one public way to set it
        factory.__annotations__ = {name: p.annotation for name, p in flat.items()} | {"return": hints["return"]}
        factory.__doc__ = _documented(build, groups, flat)
        return factory

    return flatten


def _documented(build: Callable[..., Model], groups: dict[str, Any], flat: Collection[str]) -> str:
    """Replace "see `Layers`." in the docstring of a factory by the entries of its keywords."""
    text = inspect.getdoc(build) or ""
    known = set(_entries(text))
    shared = [_entries(inspect.getdoc(group) or "") for group in groups.values()]
    for name, group in groups.items():
        words = "".join(
            next(one[key] for one in shared if key in one) for key in group._fields if key in {*flat} - known
        )
        text = text.replace(f"    {name}: see `{group.__name__}`.\n", words)
    return text


def _entries(text: str) -> dict[str, str]:
    """Return the entries under "Args:" in a docstring by name, each with its further lines."""
    section = text.partition("\nArgs:\n")[2].partition("\n\n")[0] + "\n"
    return {one[1]: one[0] for one in re.finditer(r"^    (\w+): .*\n(?:     .*\n)*", section, flags=re.MULTILINE)}
