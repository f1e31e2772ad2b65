"""Environment steps a second of PPO on CartPole: ours, and PureJaxRL's own on the same machine, in turns.

    git clone https://github.com/luchris429/purejaxrl && .venv/bin/pip install distrax
    make bench-control PUREJAXRL=purejaxrl/purejaxrl

Both train the same network by the same settings, those of PureJaxRL's ppo.py, and run no evaluation but ours at the end
of a run. Theirs runs its seeds as one vmapped program on one device, as its README does, with all cores in XLA's hands.
"""

from __future__ import annotations

import datetime
import os
import statistics
import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

# With a pool of two threads, as two cores have, PureJaxRL's vmapped program waits for ever (jaxlib 0.10).
os.environ.setdefault("NPROC", "8")

from run import machine, versions
from timing import rounds

from deepprinciples import config as configs
from deepprinciples.config.settings import Train
from deepprinciples.engine.population import use_all_cores
from deepprinciples.learners.assembly import from_config
from deepprinciples.study.planning import prepared_group
from deepprinciples.study.planning.groups import arm_of, group_arms

UPDATES, REPEATS = {1: 200, 8: 100, 64: 20}, 5  # of a run, by the seeds side by side
STEPS = 4 * 128  # of environments, between updates
SETTINGS = {
    "LR": 2.5e-4, "NUM_ENVS": 4, "NUM_STEPS": 128, "UPDATE_EPOCHS": 4,
    "NUM_MINIBATCHES": 4, "GAMMA": 0.99, "GAE_LAMBDA": 0.95, "CLIP_EPS": 0.2, "ENT_COEF": 0.01, "VF_COEF": 0.5,
    "MAX_GRAD_NORM": 0.5, "ACTIVATION": "tanh", "ENV_NAME": "CartPole-v1", "ANNEAL_LR": True, "DEBUG": False,
}  # fmt: skip
OURS = {
    "learner": {
        "name": "policy_gradient", "environment": "cartpole", "policy_scale": 0.01, "value_clip": 0.2, "episodes": 1,
    },
    "model": {
        "name": "mlp", "depth": 2, "width": 64, "activation": "tanh",
        "initializer": {"name": "orthogonal", "gain": 2**0.5},
    },
    "optimizer": {"name": "adam", "learning_rate": 2.5e-4, "eps": 1e-5},
    "schedule": {"name": "linear"},
    "transforms": {"clip_by_global_norm": {"max_norm": 0.5}},
}  # fmt: skip


def ours(seeds: int) -> Callable[[int], Any]:
    """Compile our run of so many seeds, laid out as the engine chooses."""
    train = {"steps": UPDATES[seeds], "evaluate_every": UPDATES[seeds], "probes": []}
    resolved = configs.resolve({**OURS, "train": train}, from_config.KINDS, command="train")
    group = group_arms([arm_of("run", resolved)])[0]
    made = prepared_group.set_up(group, from_config.dataset(resolved), Train(**resolved["train"]), [seeds])

    def run(turn: int) -> None:
        rows = [(seed, [{}]) for seed in range(turn * seeds, (turn + 1) * seeds)]
        prepared_group.train(made, rows, on_test=False, progress=lambda steps: None)

    return run


def theirs(folder: Path, seeds: int) -> Callable[[int], Any]:
    """Compile PureJaxRL's run of so many seeds."""
    import jax

    train = jax.jit(jax.vmap(_module(folder).make_train({**SETTINGS, "TOTAL_TIMESTEPS": UPDATES[seeds] * STEPS})))
    return lambda turn: jax.block_until_ready(train(jax.random.split(jax.random.key(turn), seeds)))


def _module(folder: Path) -> Any:
    """Import its ppo.py: what it imports and does not need is stood in for, and so is the step of older gymnax."""
    import gymnax
    import jax.numpy as jnp

    for name in ("brax", "brax.envs", "brax.envs.wrappers", "brax.envs.wrappers.training", "navix"):
        sys.modules.setdefault(name, types.ModuleType(name))
    sys.modules["brax"].envs = sys.modules["brax.envs"]  # type: ignore[attr-defined]
    training: Any = sys.modules["brax.envs.wrappers.training"]
    training.EpisodeWrapper = training.AutoResetWrapper = object
    make = gymnax.make

    class FiveValues:
        def __init__(self, env: Any) -> None:
            self._env = env

        def __getattr__(self, name: str) -> Any:
            return getattr(self._env, name)

        def step(self, *given: Any) -> Any:
            observation, state, reward, terminated, truncated, info = self._env.step(*given)
            return observation, state, reward, jnp.logical_or(terminated, truncated), info

    def older(name: str) -> tuple[Any, Any]:
        env, params = make(name)
        return FiveValues(env), params

    sys.path.insert(0, str(folder))
    import ppo

    ppo.gymnax = types.SimpleNamespace(make=older)
    return ppo


def main(folder: Path, out: Path) -> None:
    """Measure, and write the page."""
    use_all_cores()
    rows = []
    for seeds in UPDATES:
        mine, other = rounds([ours(seeds), theirs(folder, seeds)], REPEATS)
        steps = seeds * UPDATES[seeds] * STEPS
        ratios = [b / a for a, b in zip(mine, other, strict=True)]
        low, middle, high = min(ratios), statistics.median(ratios), max(ratios)
        rates = " | ".join(f"{steps / statistics.median(times):,.0f}" for times in (mine, other))
        rows.append(f"| {seeds} | {UPDATES[seeds]} | {rates} | {middle:.2f} ({low:.2f} to {high:.2f}) |")
        print(rows[-1], flush=True)
    today = datetime.date.today().isoformat()
    packages = ", ".join(f"{name} {number}" for name, number in versions().items() if name != "torch")
    page = [
        "# Reinforcement learning beside PureJaxRL", "",
        f"PPO on CartPole, updates of {STEPS} environment steps, the settings of PureJaxRL's `ppo.py`; "
        f"compiled before, medians of {REPEATS} turns in one process, on {machine()}, {today}, {packages}.", "",
        "| seeds | updates | ours, environment steps a second | PureJaxRL | ours / PureJaxRL (lowest to highest) |",
        "|---|---|---|---|---|", *rows, "",
        "Ours trains its seeds on all cores and measures nothing but the loss; theirs is one program of vmapped "
        "seeds. It is measured by `make bench-control`, which says how PureJaxRL is fetched.", "",
    ]  # fmt: skip
    out.write_text("\n".join(page), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
