"""Policy gradients against numbers worked by hand, and their runs as any run."""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

import deepprinciples as dp
from deepprinciples.domains.control import Environment, cartpole
from deepprinciples.learners.control.actions import Policy, noise_of
from deepprinciples.learners.control.actor_critic import actor_critic
from deepprinciples.learners.control.advantages import advantages
from deepprinciples.learners.control.policy_gradient import _objective
from deepprinciples.learners.control.rollouts import begin, returns, rollout
from deepprinciples.types import Batch, Model

KEY = jax.random.key(0)


def test_advantages_by_hand():
    """Lost: a cut that counts as an end, or an end that counts what comes after it."""
    rewards, values, after = jnp.array([[1.0], [2.0], [3.0]]), jnp.array([[0.5], [1.0], [2.0]]), jnp.full((3, 1), 4.0)
    no, at = jnp.zeros((3, 1), bool), jnp.array([[False], [True], [False]])
    estimate = lambda terminated, ended: advantages(
        rewards, values, after, terminated, ended, discount=0.5, trace=0.5
    ).ravel()
    # d = 1 + 2 - 0.5, 2 + 2 - 1, 3 + 2 - 2 = 2.5, 3, 3; A = d + 0.25 A_next
    np.testing.assert_allclose(estimate(no, no), [2.5 + 0.25 * 3.75, 3.75, 3.0])
    np.testing.assert_allclose(estimate(no, at), [2.5 + 0.25 * 3.0, 3.0, 3.0])
    np.testing.assert_allclose(estimate(at, at), [2.5 + 0.25 * 1.0, 1.0, 3.0])


def test_policies_against_scipy():
    """Lost: a gradient of another distribution than the one that acts."""
    scores = jnp.array([[0.2, -1.0, 0.7]])
    p = np.exp(np.asarray(scores)) / np.exp(np.asarray(scores)).sum()
    choice = Policy(scores)
    np.testing.assert_allclose(choice.log_probability(jnp.array([2])), np.log(p[:, 2]), rtol=1e-6)
    np.testing.assert_allclose(choice.entropy(), stats.entropy(p[0]), rtol=1e-6)
    taken = choice.act(noise_of(KEY, (20000, 3), choice=True))
    np.testing.assert_allclose(np.bincount(taken, minlength=3) / 20000, p[0], atol=0.01)
    real = Policy(jnp.array([[0.5, -0.5]]), jnp.log(jnp.array([0.3, 2.0])))
    twin = stats.multivariate_normal([0.5, -0.5], np.diag([0.3**2, 2.0**2]))
    np.testing.assert_allclose(real.log_probability(jnp.array([[0.1, 0.2]])), twin.logpdf([0.1, 0.2]), rtol=1e-6)
    np.testing.assert_allclose(real.entropy(), twin.entropy(), rtol=1e-6)
    drawn = np.asarray(real.act(noise_of(KEY, (20000, 2), choice=False)))
    np.testing.assert_allclose(drawn.std(axis=0), [0.3, 2.0], rtol=0.03)


LINEAR = Model(
    init=lambda key, x: ({}, {}),
    apply=lambda params, state, x, *, key, train: (
        {"policy": x @ params["w"], "spread": None, "value": (x @ params["v"])[:, 0]}, state, {},
    ),
)  # fmt: skip


def losses(params, batch, **settings):
    off = {"clip": math.inf, "value_clip": math.inf, "value_weight": 0.0, "entropy": 0.0, "normalize": 0.0}
    return _objective(LINEAR, **{**off, **settings}).loss(params, {}, batch, KEY)[0]


def transitions(count=6):
    rng = np.random.default_rng(0)
    real = lambda *shape: jnp.asarray(rng.normal(size=shape), jnp.float32)
    targets = {"action": jnp.asarray(rng.integers(0, 3, count)), "log_probability": -1.0 + 0.3 * real(count)}
    batch = Batch(real(count, 2), targets | {"advantage": real(count), "value": real(count), "return": real(count)})
    return {"w": real(2, 3), "v": real(2, 1)}, batch


def test_the_clipped_objective_by_hand():
    """Lost: PPO under its name that is another method."""
    params, batch = transitions()
    given = jax.tree.map(np.asarray, batch.targets)
    scores, values = np.asarray(batch.inputs @ params["w"]), np.asarray(batch.inputs @ params["v"])[:, 0]
    rows = scores - np.log(np.exp(scores).sum(axis=1, keepdims=True))
    ratio = np.exp(rows[np.arange(6), given["action"]] - given["log_probability"])
    gain = (given["advantage"] - given["advantage"].mean()) / given["advantage"].std()
    clipped = np.minimum(ratio * gain, np.clip(ratio, 0.8, 1.2) * gain)
    moved = given["value"] + np.clip(values - given["value"], -0.1, 0.1)
    worse = np.maximum((values - given["return"]) ** 2, (moved - given["return"]) ** 2)
    entropy = -(np.exp(rows) * rows).sum(axis=1)
    found = losses(params, batch, clip=0.2, value_clip=0.1, value_weight=0.5, entropy=0.03, normalize=1.0)
    np.testing.assert_allclose(found, -clipped + 0.25 * worse - 0.03 * entropy, rtol=1e-4)


def test_switched_off_it_is_the_gradient_of_policies():
    """Lost: REINFORCE as a setting of it: the gradient of log p times what was earned."""
    params, batch = transitions()
    rows = lambda w: jax.nn.log_softmax(batch.inputs @ w)[jnp.arange(6), batch.targets["action"]]
    batch.targets["log_probability"] = rows(params["w"])
    expected = jax.grad(lambda w: -jnp.mean(rows(w) * batch.targets["advantage"]))(params["w"])
    found = jax.grad(lambda w: jnp.mean(losses({**params, "w": w}, batch)))(params["w"])
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-7)


def counter(ends=3, horizon=100):
    """Count up from 0: an episode is terminated at `ends`."""
    reset = lambda key: (jnp.zeros((), jnp.int32), jnp.zeros(1))
    step = lambda key, n, action: (n + 1, (n + 1.0)[None], jnp.float32(action), n + 1 >= ends)
    return Environment(reset, step, (1,), actions=2, horizon=horizon)


@pytest.mark.parametrize(("ends", "horizon", "cut"), [(3, 100, False), (100, 3, True)])
def test_episodes_begin_anew(ends, horizon, cut):
    """Lost: an episode that goes on from another's end, or an end that is taken for a cut."""
    world = counter(ends, horizon)
    choose = lambda x, noise: (noise, jnp.ones(len(x), jnp.int32))
    worlds, seen = rollout(world, choose, begin(world, KEY, 2), jnp.zeros((7, 2, 2)), KEY)
    np.testing.assert_array_equal(seen.observation[:, 0, 0], [0, 1, 2, 0, 1, 2, 0])
    np.testing.assert_array_equal(seen.after[:, 0, 0], [1, 2, 3, 1, 2, 3, 1])
    np.testing.assert_array_equal(seen.ended[:, 0], [False, False, True] * 2 + [False])
    np.testing.assert_array_equal(seen.terminated[:, 0], seen.ended[:, 0] & (not cut))
    np.testing.assert_array_equal(worlds.steps, 1)
    earned, steps = returns(world, lambda x, key: jnp.ones(len(x), jnp.int32), KEY, 4)
    np.testing.assert_array_equal(earned, 3.0)
    np.testing.assert_array_equal(steps, 3)


GRID = {
    "learner": {
        "name": "policy_gradient", "environment": {"name": "grid_world", "size": 3}, "environments": 8, "rollout": 16,
        "epochs": 2, "minibatches": 2, "episodes": 8,
    },
    "model": {"name": "mlp", "depth": 1, "width": 16, "activation": "tanh"},
    "optimizer": {"name": "adam", "learning_rate": 0.01},
    "train": {"steps": 60, "probes": ["gradient_norm", "activation_mean_square"]},
    "study": {"seeds": 6, "keep": 1},
}  # fmt: skip


@pytest.fixture(scope="module")
def compared(tmp_path_factory):
    arms = {
        "ppo": {}, "short": {"learner.discount": 0.0, "learner.trace": 0.0},
        "broken": {"optimizer.learning_rate": 1e30},
    }  # fmt: skip
    return dp.compare({**GRID, "arms": arms}, tmp_path_factory.mktemp("control") / "run")


def test_it_finds_its_way_in_one_program_with_its_rivals(compared):
    """Lost: learning, or floats that are compiled in; lanes that diverge and take the others along."""
    score = compared.results.score
    assert (score.sel(arm="ppo") > 0.85).all()  # the best is 0.96
    assert score.sel(arm="short").mean() < score.sel(arm="ppo").mean()
    assert (compared.results.diverged_at.sel(arm="broken") >= 0).all()
    assert len(compared.summary["programs"]) == 1
    norms = compared.results.gradient_norm.sel(arm="ppo")
    layers = [f"{network}.{layer}" for network in ("actor", "critic") for layer in ("layer_00", "output")]
    assert set(layers) <= set(norms.layer.values) and np.isfinite(norms.sel(layer=layers)).all()


def test_an_episode_is_shown_and_curves_know_their_steps(compared):
    """Lost: what a policy does, or curves that cannot be set beside those of others."""
    assert compared.results.gallery.gallery_of.values.tolist() == ["ppo", "short", "broken"]
    moments = compared.results.gallery.sel(gallery_of="ppo").values
    assert (moments[0] != moments[-1]).any()
    report = (compared.path / "report.html").read_text()
    assert "Moments of a fresh episode" in report and 'id="returns"' in report
    assert [row["name"] for row in compared.summary["returns"]["arms"]] == ["ppo", "short", "broken"]
    assert compared.results.environment_steps.values.tolist() == [128 * int(n) for n in compared.results.eval_step]
    assert (compared.results.parameters == 9 * 16 + 16 + 16 * 4 + 4).all()  # those of the actor
    model, params = compared.model(arm="ppo", seed=0, player="actor")
    assert model.predict(params, np.zeros((5, 9), np.float32)).shape == (5, 4)


def test_schedules_count_its_updates(tmp_path):
    """Lost: a rate that has fallen to the ground after an eighth of the run."""
    config = {key: value for key, value in GRID.items() if key != "study"}
    config |= {"schedule": {"name": "linear"}, "train": {"steps": 3, "probes": ["update_ratio"], "probe_every": 1}}
    config |= {"optimizer": {"name": "sgd", "learning_rate": 0.1}, "transforms": {"sign": {}}}
    ratio = dp.train(config, tmp_path / "run").results.update_ratio.squeeze().max("layer")
    # of 12 updates the last of each step are the fourth, eighth and twelfth, at 9, 5 and 1 twelfth of the rate
    np.testing.assert_allclose(ratio / ratio[0], [1.0, 5 / 9, 1 / 9], rtol=0.1)


BAD = {
    "a number that is none": ({"reward": math.nan}, "found a reward that is no finite number after 0 steps"),
    "another shape": ({"observation": (3,)}, r"reset gave an observation float32\[2\], expected float32\[3\]"),
    "no actions": ({"actions": 0}, "found 0 actions and 0 controls"),
    "no end": ({"horizon": 0}, "found horizon 0, expected at least 1"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_environments_are_refused_in_one_line(name, tmp_path):
    """Lost: a run that is found to be worth nothing when it is done."""
    changes, message = BAD[name]
    reward = changes.pop("reward", 1.0)

    def mine():
        step = lambda key, state, action: (state, jnp.zeros(2), jnp.float32(reward), jnp.bool_(False))
        made = Environment(lambda key: (jnp.zeros(()), jnp.zeros(2)), step, (2,), actions=2, horizon=20)
        return made._replace(**changes)

    config = {**GRID, "learner": {**GRID["learner"], "environment": {"factory": mine}}}
    with pytest.raises(dp.errors.ConfigError, match=f"learner.environment: {message}") as caught:
        dp.train({key: value for key, value in config.items() if key != "study"}, tmp_path / "run")
    assert len(str(caught.value).splitlines()) == 1 and not (tmp_path / "run").exists()


def test_shares_that_do_not_divide_are_refused(tmp_path):
    """Lost: a shape error deep inside."""
    with pytest.raises(
        dp.errors.ConfigError, match="learner.minibatches: 3 do not divide environments x rollout = 128"
    ):
        dp.train({**GRID, "learner": {**GRID["learner"], "minibatches": 3}}, tmp_path / "run")


def test_cartpole_differs_by_its_force():
    """Lost: a float of the environment that cannot be swept."""
    state, _ = cartpole().reset(KEY)
    push = lambda force: cartpole(force=force).step(KEY, state, jnp.int32(1))[0].speed
    pushed = jax.vmap(push)(jnp.array([1.0, 10.0, 20.0]))
    assert (np.diff(pushed) > 0).all()


def test_real_actions_scatter_at_the_start_as_they_are_told():
    """Lost: a spread that is taken for its logarithm: a cloned driver that leaves its lane at once."""
    mean = Model(
        init=lambda key, x: ({"output": jnp.zeros(1)}, {}),
        apply=lambda params, state, x, *, key, train: (jnp.zeros((len(x), 2)), state, {}),
    )
    world = counter()._replace(actions=0, controls=2)
    model = actor_critic(lambda outputs, shape: mean, world, 1.0, 0.25)
    params, state = model.init(KEY, jnp.zeros((1, 1)))
    found = model.apply(params, state, jnp.zeros((20000, 1)), key=None, train=False)[0]
    drawn = Policy(found["policy"], found["spread"]).act(noise_of(KEY, (20000, 2), choice=False))
    np.testing.assert_allclose(np.std(drawn, axis=0), 0.25, rtol=0.03)
