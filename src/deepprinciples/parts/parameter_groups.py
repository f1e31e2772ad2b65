"""Groups of parameters: which of them train slower, with an optimizer of their own, or not at all.

What a group does to an optimizer and to a gradient is in `learners.grouping`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated, Any, NamedTuple

from optax import GradientTransformation

from deepprinciples.types import NonNegative, Scalar, Share, traits


class Group(NamedTuple):
    """One group: the patterns that its parameters match, and how they train."""

    match: tuple[str, ...]
    learning_rate: Scalar
    begin: Scalar
    optimizer: GradientTransformation | None
    frozen: bool


def _adds_nothing(section: Mapping[str, Any], table: Mapping[str, Any]) -> bool:
    """Check that a neutral group is the same as none: a parameter belongs to the first group that matches."""
    return not table and not section.get("frozen") and section.get("optimizer") is None


@traits(neutral={"learning_rate": 1.0, "begin": 0.0}, fill=_adds_nothing)
def group(
    *,
    match: str | tuple[str, ...],
    learning_rate: NonNegative = 1.0,
    begin: Share = 0.0,
    optimizer: Annotated[Callable[..., Any], "optimizer"] | None = None,
    frozen: bool = False,
) -> Group:
    """Let some of the parameters train at a rate or with an optimizer of their own, or keep them as they are.

    u'_t = learning_rate u_t from t = begin T on and 0 before it, u the update of the transforms and the optimizer in
    step t of T

    A parameter belongs to the first group of the table that matches its path, such as "layer_00/linear/kernel".

    Args:
      match: pattern of paths, or a list of them: * stands for any text, "/" included, ? for one character, [ab] for one
        of these.
      learning_rate: factor on the update, weight decay included; 0.0 keeps every bit. *Sweepable.* *Neutral: 1.0.*
      begin: share of the run before which these parameters stay as they were, in [0, 1]; 1.0 keeps them for good.
        Groups that begin one after the other, the last layer first, are gradual unfreezing. Averages of the optimizer
        see the gradients before it. *Sweepable.* *Neutral: 0.0.*
      optimizer: used for these parameters in place of [optimizer], with a learning rate of its own and the same
        schedule.
      frozen: leave the parameters as they are, and out of regularizers, transforms, rules and averages; for good, where
        a factor of 0.0 can be compared with others in one program.
    Returns: Group.
    Expect: update_ratio of the group's layers falls with the factor and is 0 at 0.0, before `begin` and where they are
      frozen. A global norm that a clip measures leaves out what is frozen, and counts what has a factor of 0.0.
    Costs: One multiplication a parameter; frozen ones need no gradient and no state of the optimizer.
    References: Howard and Ruder, arXiv:1801.06146 (learning rates by layer, gradual unfreezing).
    """
    return Group((match,) if isinstance(match, str) else tuple(match), learning_rate, begin, optimizer, frozen)


TABLE = {"group": group}
