"""A study that never ran, with every field the report reads: numbers from a generator, shapes as in a real one."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

RATE = "optimizer.learning_rate"
FOUND = " for the settings found"
VERDICTS = ("better", "no evidence", "worse", "equivalent", "cannot be judged", "better" + FOUND)
SEARCHES = 4


def fake_study(arms=("plain", "glorot", "clipping", "skip", "layer_norm"), seeds=20, layers=17, steps=50, trials=8):
    """Return (results, summary, manifest) of a comparison; the first arm fares worst and often diverges."""
    results = fake_results(list(arms), seeds, layers, steps, trials)
    return results, fake_summary(results, list(arms), seeds), fake_manifest()


def fake_results(arms, seeds, layers, steps, trials):
    draw = np.random.default_rng(7)
    a, n = len(arms), len(arms)
    when = np.linspace(0, 1470, steps).astype(int)
    evaluations = when[::5] if steps >= 5 else when
    level = np.linspace(0.55, 0.97, n)[:, None]
    score = np.clip(level + 0.02 * draw.normal(size=(1, seeds)) + 0.015 * draw.normal(size=(a, seeds)), 0, 1)
    diverged = np.full((a, seeds), -1)
    diverged[0, ::6] = when[len(when) // 2]
    rate = np.linspace(0.4, 3.0, n)[:, None, None]
    time = (when / 1470)[None, None, :]
    wobble = 1 + 0.1 * draw.normal(size=(a, seeds, steps))
    loss = 2.3 * np.exp(-rate * 1.6 * time) * np.abs(wobble) + 0.01
    validation = level[:, :, None] * (1 - np.exp(-6 * (evaluations / 1470)))[None, None, :] + 0.02 * draw.normal(
        size=(a, seeds, len(evaluations))
    )
    depth = np.arange(layers)[None, None, None, :]
    fade = np.linspace(1.2, 0.05, n)[:, None, None, None]
    flow = 10.0 ** (-fade * (layers - depth) / 2 - time[..., None] + 0.1 * draw.normal(size=(a, seeds, steps, layers)))
    gone = (diverged[:, :, None] >= 0) & (when[None, None, :] >= diverged[:, :, None])
    loss = np.where(gone, np.nan, loss)
    flow = np.where(gone[..., None], np.nan, flow)
    if n > 1 and layers > 2:
        flow[1, :, :, -2:] = np.nan  # this arm has fewer layers
    per_layer = ("arm", "seed", "step", "layer")
    points = 10 ** np.linspace(-3, 0, trials)[None, None, :, None] * np.ones((a, SEARCHES, 1, 1))
    tuning = level[:, :, None, None] - 0.1 * (np.log10(points) + 1.2) ** 2
    tuning = tuning + 0.02 * draw.normal(size=(a, SEARCHES, trials, 3))
    tuning_at = np.where(points > 0.5, 40, -1) * np.ones((a, SEARCHES, trials, 3), dtype=int)
    tried = ("arm", "search", "trial", "replicate")
    unit = lambda x: np.where(np.isfinite(flow), np.clip(x * np.ones_like(flow), 0, 1), np.nan)
    trigger = np.full((a, seeds, steps, 1), np.nan)
    if n > 2:
        trigger[2, :, :, 0] = np.exp(-4 * time[0]) * np.ones((seeds, 1))
    return xr.Dataset(
        {
            "score": (("arm", "seed"), np.where(diverged >= 0, np.nan, score)),
            "diverged_at": (("arm", "seed"), diverged),
            "train_loss": (("arm", "seed", "step"), loss),
            "validation": (("arm", "seed", "eval_step"), np.clip(validation, 0, 1)),
            "gradient_norm": (per_layer, flow),
            "update_ratio": (per_layer, 1e-3 * flow / (1 + flow)),
            "activation_mean_square": (per_layer, 0.3 * flow**0.3),
            "gradient_mean_square": (per_layer, flow**2 * 1e-3),
            "dead_units": (per_layer, unit(0.2 * fade * time[..., None])),
            "saturated_units": (per_layer, unit(0.4 * fade * (1 - time[..., None]))),
            "trigger_rate": (("arm", "seed", "step", "transform"), trigger),
            "tuning_score": (tried, np.where(tuning_at >= 0, np.nan, tuning)),
            "tuning_diverged_at": (tried, tuning_at),
            "tuning_point": ((*tried[:3], "parameter"), points),
            "chosen_trial": (tried[:2], np.where(tuning_at >= 0, -np.inf, tuning).mean(axis=3).argmax(axis=2)),
        },
        coords={
            "arm": arms,
            "seed": np.arange(seeds) + 100,
            "step": when,
            "eval_step": evaluations,
            "layer": [f"layer_{index:02d}" for index in range(layers)],
            "transform": ["clip_by_global_norm"],
            "trial": np.arange(trials),
            "search": np.arange(SEARCHES),
            "tuning_seed": (("search", "replicate"), np.arange(3 * SEARCHES).reshape(SEARCHES, 3) + 2**31),
            "block": ("seed", np.arange(seeds) * SEARCHES // seeds),
            "parameter": [RATE],
        },
    )


def fake_summary(results, arms, seeds):
    score = np.where(results["diverged_at"].values >= 0, 0.0, results["score"].values)
    rows = []
    for index, arm in enumerate(arms):
        values, failed = score[index], int((results["diverged_at"].values[index] >= 0).sum())
        half = 2 * float(values.std()) / np.sqrt(seeds)
        rows.append(
            {
                "name": arm, "n": seeds, "mean": float(values.mean()),
                "interval": [float(values.mean() - half), float(values.mean() + half)],
                "diverged": failed, "diverged_interval": [failed / seeds / 2, min(1.0, failed / seeds + 0.15)],
                "blocks": SEARCHES, "tuned_point": {RATE: 0.1389},
                "chosen": [{RATE: 0.03 * 1.5**k * (1 + index)} for k in range(SEARCHES)],
                "regions": [{"path": RATE, "ends": [0.001, 0.01, 0.1, 1.0], "counts": [0, 3, 1], "log": True}],
                "on_edge": index == 1, "edges": [RATE] if index == 1 else [],
                "variance": {"search": 0.54, "seed": 0.33, "rest": 0.13},
                "promise": {"promised": 0.91, "fresh": 0.9 - 0.1 * (index == 2), "drop": 0.01 + 0.1 * (index == 2),
                            "interval": [-0.02 + 0.1 * (index == 2), 0.04 + 0.1 * (index == 2)],
                            "broken": index == 2},
                "changes": {} if index == 0 else {"model.initializer": {"name": "glorot_normal"}},
            }
        )  # fmt: skip
    comparisons = [fake_comparison(arms, rows, index, seeds) for index in range(1, len(arms))]
    return {
        "schema_version": 1, "kind": "compare", "title": "What lets a 16-layer MLP learn to read digits?",
        "metric": "accuracy", "direction": "max",
        "headline": f"{arms[-1]} is better than {arms[0]}: +0.420 accuracy [0.301, 0.545]; it won 20 of 20 pairs "
        "(exploratory: 20 seeds; a claim needs 30).",
        "arms": rows, "comparisons": comparisons,
        "programs": [
            {"group": 0, "arms": arms[:3], "lanes": 60, "width": 32, "devices": 2, "compile_seconds": 3.2,
             "run_seconds": 41.0, "compiles": 1},
            {"group": 1, "arms": arms[3:], "lanes": 40, "width": 32, "devices": 2, "compile_seconds": 4.1,
             "run_seconds": 39.5, "compiles": 1},
        ],
        "cost": {"model_steps": 330000, "gradient_evaluations": 330000, "seconds": 88.1, "compile_seconds": 7.3,
                 "run_seconds": 80.5, "probe_share": 0.12},
        "budget": fake_budget(arms), "importance": fake_importance(arms),
        "protocol": {"searches": SEARCHES, "trials": 8, "tuning_seeds": 3, "seeds": seeds, "blocks": SEARCHES,
                     "can_show": {"p": 0.125, "needed": 7, "difference": 2.1}, "confidence": 0.95,
                     "equivalence_margin": 0.0},
        "warnings": [f"glorot: in most searches the best {RATE} is the smallest or largest tried"],
        "command": "deepprinciples compare configs/digits_depth.toml study.seeds=20",
        "config_toml": 'title = "What lets a 16-layer MLP learn to read digits?"\n[data]\nname = "digits"\n' * 4,
        "limits": ["One data set and one architecture: nothing is said of others.",
                   "Eight trials tuned one value; a finer search may change the order of close arms."],
    }  # fmt: skip


def fake_budget(arms, trials=8):
    counts = list(range(1, trials + 1))
    rows = [
        {"name": arm, "trials": counts, "expected": [0.5 + 0.05 * k + 0.4 * (1 - 0.7**n) / (1 + k) for n in counts],
         "spread": [0.1 * (1 - n / trials) for n in counts],
         "low": [0.5 + 0.05 * k + 0.4 * (1 - 0.8**n) / (1 + k) for n in counts],
         "high": [0.55 + 0.05 * k + 0.4 * (1 - 0.6**n) / (1 + k) for n in counts]}
        for k, arm in enumerate(arms)
    ]  # fmt: skip
    return {
        "arms": rows,
        "leaders": [{"arms": arms[-1:], "first": 1, "last": 3}, {"arms": arms, "first": 4, "last": 8}],
    }


def fake_importance(arms, trials=8):
    row = {"trials": trials, "seeds": 3, "log": False, "setting": 0.93, "interval": [0.81, 0.97], "seed": 0.07}
    two = [{"path": RATE, "share": 0.7, "interval": [0.5, 0.8]}, {"path": "optimizer.momentum", "share": 0.2,
           "interval": [0.1, 0.3]}]  # fmt: skip
    none = {"parameters": [], "jointly": None, "note": ""}
    return [{"name": arm, **row, **none} for arm in arms[:-1]] + [
        {"name": arms[-1], **row, **none, "parameters": two, "jointly": 0.1}
    ]


def fake_test(arms=("plain", "adam"), steps=120, seeds=5):
    """Return (results, summary, manifest) of a range test of learning rates."""
    rate = 1e-6 * 1e7 ** (np.arange(steps) / steps)
    draw, arms = np.random.default_rng(2), list(arms)
    edges = np.array([0.5, 0.02, 3.0])[: len(arms), None, None]
    fall = 2.3 - 1.8 / (1 + (0.05 * edges / rate) ** 1.5)
    loss = fall + 3 * (rate / edges) ** 4 + 0.05 * draw.normal(size=(len(arms), seeds, steps))
    loss = np.where(rate > 3 * edges, np.nan, loss)
    results = xr.Dataset(
        {"train_loss": (("arm", "seed", "step"), loss), "learning_rate": (("step",), rate),
         "diverged_at": (("arm", "seed"), np.where(np.isnan(loss).any(axis=2), 90, -1))},
        coords={"arm": arms, "seed": np.arange(seeds), "step": np.arange(steps)},
    )  # fmt: skip
    rows = [
        {"name": arm, "steepest": 0.05 * e, "lowest": 0.3 * e, "breaks": e, "breaks_range": [0.8 * e, 1.2 * e],
         "low": 0.005 * e, "high": e, "note": "",
         "tune": f'tune = {{ "{RATE}" = {{ low = {0.005 * e:g}, high = {e:g}, scale = "log" }} }}'}
        for arm, e in zip(arms, edges[:, 0, 0].tolist(), strict=True)
    ]  # fmt: skip
    _, summary, manifest = fake_study(arms=tuple(arms), seeds=seeds, layers=2, steps=4)
    summary |= {"kind": "lr-find", "metric": "train_loss", "direction": "min", "comparisons": [], "rates": rows,
                "headline": "A guess, to tune in: plain 0.0025 to 0.5. A tuned comparison overrides it.",
                "warnings": []}  # fmt: skip
    return results, summary, manifest


def fake_comparison(arms, rows, index, seeds):
    difference = rows[index]["mean"] - rows[0]["mean"]
    return {
        "a": arms[index], "b": arms[0], "n": seeds, "unit": "seed", "lanes": seeds, "needed": 7, "identical": False,
        "difference": difference,
        "interval": [difference - 0.11, difference + 0.12], "probability": 0.97, "probability_interval": [0.84, 0.99],
        "p": 0.00021, "p_adjusted": 0.00084, "correlation": 0.31, "smallest_visible": 0.02, "meaningful": True,
        "verdict": VERDICTS[(index - 1) % len(VERDICTS)], "diverged": {"a": 0, "b": rows[0]["diverged"]},
        "sentence": f"{arms[index]} is better than {arms[0]}: +{difference:.3f} accuracy, wins 20 of 20 pairs, "
        "p = 0.0008 after Holm; meaningful.",
    }  # fmt: skip


def fake_manifest():
    return {
        "created": "2026-01-02T03:04:05+00:00", "device": "cpu, 2 devices", "width": 32,
        "versions": {"deepprinciples": "0.1.0", "jax": "0.10.2", "numpy": "2.4.0"},
    }  # fmt: skip


def fake_training():
    """Return (results, summary, manifest) of one training run: one arm, no tuning, no comparison."""
    results, summary, manifest = fake_study(arms=("run",), seeds=1, layers=3, steps=12)
    results = results.drop_vars(
        ["tuning_score", "tuning_diverged_at", "tuning_point", "chosen_trial", "tuning_seed", "trigger_rate"]
    )
    for row in summary["arms"]:
        row |= {"tuned_point": {}, "chosen": [], "regions": [], "promise": None, "on_edge": False, "edges": []}
    summary = summary | {
        "kind": "train",
        "comparisons": [],
        "programs": [],
        "protocol": None,
        "budget": None,
        "importance": None,
    }
    return results, summary, manifest


@pytest.fixture(scope="session")
def study():
    """Return the maker of a comparison that never ran."""
    return fake_study


@pytest.fixture(scope="session")
def range_test():
    """Return the maker of a range test that never ran."""
    return fake_test


@pytest.fixture(scope="session")
def training():
    """Return the maker of a training run that never ran."""
    return fake_training
