"""Control: environments to act in, for the learners `policy_gradient` and `q_learning`."""

from __future__ import annotations

from deepprinciples.domains.control.classic import acrobot, cartpole
from deepprinciples.domains.control.environment import Environment as Environment
from deepprinciples.domains.control.grid_world import grid_world
from deepprinciples.domains.control.gymnax_games import gymnax

TABLES = {"environment": {f.__name__: f for f in (cartpole, acrobot, grid_world, gymnax)}}
