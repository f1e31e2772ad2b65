"""Learners that act in environments."""

from __future__ import annotations

from deepprinciples.learners.control.policy_gradient import policy_gradient as policy_gradient
from deepprinciples.learners.control.q_learning import q_learning as q_learning
