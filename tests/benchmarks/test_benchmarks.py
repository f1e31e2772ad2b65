"""The benchmark's words and numbers, from made-up rows, and that its games are one game."""

from __future__ import annotations

import collections
import importlib
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

ROOT = Path(__file__).parents[2]
SCRIPTS = ("workloads", "timing", "reading", "pages", "figure", "run", "games", "serial_jax", "stock_flax", "ours",
         "limits", "streaming", "gpu")  # fmt: skip


@pytest.fixture(scope="module")
def scripts():
    """Import the scripts of the benchmark as they import each other, and leave no trace of them."""
    sys.path.insert(0, str(ROOT / "benchmarks"))
    try:
        yield SimpleNamespace(**{name: importlib.import_module(name) for name in SCRIPTS})
    finally:
        sys.path.remove(str(ROOT / "benchmarks"))
        for name in (*SCRIPTS, "torch_models", "torch_pictures", "torch_language"):
            sys.modules.pop(name, None)


def line(model, name, milliseconds, compile_seconds=0.0, **more):
    """Make up a row."""
    low, high = 0.9 * milliseconds, 1.2 * milliseconds
    return {"model": model, "line": name, "ms_per_model_step": milliseconds, "low": low, "high": high,
            "compile_seconds": compile_seconds, **more}  # fmt: skip


def verdict(seconds, ratio):
    """Make up what a row of a whole study has beside."""
    return {"table": "verdict", "title": "the demo", "steps": 90_000, "seconds": seconds, "fastest": seconds - 1,
            "slowest": seconds + 1, "ratio": ratio}  # fmt: skip


ROWS = [
    line("mlp", "ours solo", 0.4, 1.5, lanes=1),
    line("mlp", "ours population", 0.15, 1.5, lanes=2),
    line("mlp", "ours population, 8 lanes", 0.14, 1.5, lanes=8),
    line("mlp", "torch eager", 0.6),
    line("mlp", "torch eager, two processes", 0.5, lanes=2),
    line("cnn", "ours solo", 8.0, 2.5, lanes=1),
    line("cnn", "ours population", 6.0, 2.5, lanes=2),
    line("cnn", "torch eager", 5.0),
    line("cnn", "torch.func ensemble", 4.0, lanes=8),
    line("cnn", "stock flax, scan", 150.0, 1.0),
    line("mlp", "ours, one core", 0.31, 1.5, table="engine"),
    line("mlp", "minimal scan", 0.30, 1.0, table="engine"),
    line("mlp", "probes off", 0.20, 1.0, table="probes"),
    line("mlp", "probes every 25", 0.24, 1.0, table="probes"),
    line("mlp", "its products alone", 0.2, table="limits", ratio=0.64, gigaflop=0.03, rate=150.0),
    line("mlp", "a whole step", 0.31, table="limits", ratio=1.0),
    line("verdict_mlp", "ours, cold", 0.4, **verdict(40.0, 0.3)),
    line("verdict_mlp", "ours, once more", 0.4, **verdict(30.0, 0.225)),
    line("verdict_mlp", "torch eager, a process a core", 0.4, **verdict(133.0, 1.0)),
]
RESULT = {
    "date": "2026-01-01", "form": "short", "machine": "a processor, 2 cores", "gpu": False, "versions": {"jax": "1"},
    "threads": "all", "rows": ROWS, "missing": [{"line": "CNN torch peer compile", "why": "no compiler"}],
}  # fmt: skip


def test_the_ratio_is_to_the_best_pytorch_line_whichever_it_is(scripts):
    """We would look good against the slowest way to run PyTorch."""
    found = {goal.what: goal for goal in scripts.reading.goals(ROWS)}
    mlp, cnn = (found[f"{name} population, ratio to the best PyTorch line"] for name in ("MLP", "CNN"))
    assert mlp.found == pytest.approx(0.14 / 0.5) and mlp.holds
    assert cnn.found == pytest.approx(6.0 / 4.0) and not cnn.holds


def test_goals_that_were_not_measured_are_not_said_to_hold(scripts):
    """A missing line would pass as a success."""
    whats = " ".join(goal.what for goal in scripts.reading.goals(ROWS))
    assert "LSTM" not in whats and "CNN: our train" not in whats and "time to verdict, mlp: ours, cold" in whats


def test_the_scale_is_time_and_memory_of_the_most_lanes_against_the_fewest(scripts):
    """Lost: that 10,000 lanes may cost more a lane than 8, or a memory that grows with them, in the table of goals."""
    facts = {"table": "lanes", "peak_mb": 700.0}
    rows = [
        line("small_mlp", "lanes 8", 0.02, lanes=8, ratio=1.0, memory_ratio=1.0, **facts),
        line("small_mlp", "lanes 10000", 0.03, lanes=10_000, ratio=1.5, memory_ratio=1.05, **facts),
    ]
    found = {goal.what: goal for goal in scripts.reading.goals(rows)}
    assert not found["10,000 lanes against 8: time of a model-step"].holds
    assert found["10,000 lanes against 8: peak memory of the process"].holds
    page = scripts.pages.markdown({**RESULT, "rows": [*ROWS, *rows]})
    assert "## Cost against the number of lanes, MLP 64-32-10, ReLU, batch 32" in page
    assert "| lanes 10000 | 0.03 | 0.027 to 0.036 | 1.500 | 700 |" in page
    assert "| 10,000 lanes against 8: time of a model-step | 1.5 | 1.1 | no |" in page


def test_the_job_of_lanes_trains_as_many_as_it_says(scripts, monkeypatch):
    """Lost: the measured cost of 10,000 lanes, of which a part was trained."""
    effort = scripts.workloads.EFFORTS["smoke"]
    trained = []
    real = scripts.ours.prepared_group.train
    count = lambda one, rows, **more: (trained.append([seed for seed, _ in rows]), real(one, rows, **more))[1]
    monkeypatch.setattr(scripts.ours.prepared_group, "train", count)
    made = scripts.ours.lanes(None, effort)
    assert [row["lanes"] for row in made] == list(effort.lanes) and made[0]["ratio"] == 1.0
    assert all(row["model"] == "small_mlp" and row["peak_mb"] > 0 for row in made)
    sizes = collections.Counter(map(len, trained))
    assert sizes == {2: 2 * 4, 8: 2}, "as many lanes in a turn of few as of many, a warm turn and one that counts"
    seeds = [seed for rows in trained if len(rows) == 2 for seed in rows]
    assert len(set(seeds)) == len(seeds), "an order that was drawn before would cost nothing"


def test_a_stream_is_held_against_the_slower_of_reading_and_training(scripts, tmp_path):
    """Lost: whether training on data larger than memory waits for the engine."""
    made = scripts.streaming.stream(None, scripts.workloads.EFFORTS["smoke"])
    assert [row["line"] for row in made] == ["reader alone", "resident", "stream"]
    assert made[1]["ratio"] == 1.0 > made[0]["ratio"], "this reader is faster than any training"
    (goal,) = (goal for goal in scripts.reading.goals(made) if "stream" in goal.what)
    assert goal.found == made[2]["ratio"] and goal.goal == pytest.approx(10 / 9)
    page = scripts.pages.markdown({**RESULT, "rows": [*ROWS, *made]})
    assert "## A stream of batches of 256 rows" in page and "| resident |" in page
    scripts.run.write({**RESULT, "rows": made}, tmp_path / "benchmarks-scale")  # no model is compared: no figure
    scripts.run.write(RESULT, tmp_path)
    alone = (tmp_path / "benchmarks-scale" / "benchmarks.md").read_text(encoding="utf-8")
    assert "| stream |" in alone and "benchmarks.svg" not in alone
    assert "streams alone](benchmarks-scale/benchmarks.md)" in (tmp_path / "benchmarks.md").read_text(encoding="utf-8")


def test_where_we_lose_names_every_faster_peer_and_every_missed_goal(scripts):
    """A reader would learn only where we win."""
    said = scripts.reading.losses(ROWS)
    assert said[:3] == [
        "CNN, many models: torch.func ensemble is 1.5 times as fast as ours population (4 against 6 ms a model-step).",
        "CNN, many models: torch eager is 1.2 times as fast as ours population (5 against 6 ms a model-step).",
        "CNN, one model: torch eager is 1.6 times as fast as ours solo (5 against 8 ms a model-step).",
    ]
    assert "Goal missed, CNN: compile time: 2.5 s, not 2 s." in said
    assert "Goal missed, MLP: default probes every 25 steps: 1.2, not 1.1." in said
    assert "Goal missed, time to verdict, mlp: ours, once more, ratio to PyTorch: 0.225, not 0.2." in said
    assert "Goal missed, time to verdict, mlp: the second run, ratio to the first: 0.75, not 0.55." in said
    assert not any("ours, cold" in one for one in said) and not any(one.startswith("MLP") for one in said)


def test_a_tie_is_not_a_loss(scripts):
    """Noise of a percent would be told as a fact."""
    rows = [line("mlp", "ours population", 1.0, 1.0), line("mlp", "torch eager", 0.99)]
    assert not [one for one in scripts.reading.losses(rows) if "as fast" in one]
    near = scripts.reading.losses([rows[0], line("mlp", "torch eager", 0.96)])
    assert "torch eager is 1.04 times as fast" in near[0]


def test_the_page_tells_lines_losses_and_what_was_not_measured(scripts):
    """docs/benchmarks.md would leave out what speaks against us."""
    page = scripts.pages.markdown(RESULT)
    assert "| torch eager, two processes | 0.5 | 0.45 to 0.6 | 1.00 |  |" in page
    assert "| ours population | 6 | 5.4 to 7.2 | 1.50 | 2.5 |" in page
    assert "| MLP | 0.03 | 0.2 | 150 | 0.31 | 0.64 |" in page
    assert "| the demo; 90,000 model-steps | ours, cold | 40.0 | 39.0 to 41.0 | 0.30 |" in page
    for words in ("## Where we lose", "No GPU was at hand", "- CNN torch peer compile: no compiler"):
        assert words in page
    for table in re.findall(r"(?:^\|.*\n)+", page, re.MULTILINE):
        assert len({row.count("|") for row in table.splitlines()}) == 1, table


def test_runs_on_other_machines_are_linked(scripts, tmp_path):
    """A ratio that holds on one kind of processor would pass for one that holds on all."""
    scripts.run.write({**RESULT, "machine": "another, 8 cores"}, tmp_path / "benchmarks-another")
    scripts.run.write(RESULT, tmp_path)
    page = (tmp_path / "benchmarks.md").read_text(encoding="utf-8")
    assert "- Another run: [another, 8 cores, 2026-01-01, MLP, CNN alone](benchmarks-another/benchmarks.md)" in page
    assert "Another run" not in (tmp_path / "benchmarks-another" / "benchmarks.md").read_text(encoding="utf-8")


def test_studies_of_another_run_have_a_table_with_its_conditions(scripts, tmp_path):
    """The time to a verdict would be hidden behind a link where it was measured in a run of its own."""
    scripts.run.write({**RESULT, "rows": ROWS[-3:]}, tmp_path / "benchmarks-verdict")
    scripts.run.write({**RESULT, "rows": ROWS[:-3]}, tmp_path)
    page = (tmp_path / "benchmarks.md").read_text(encoding="utf-8")
    assert "2026-01-01, whole studies alone](benchmarks-verdict/benchmarks.md)" in page
    own = page.partition("## Time to the verdict of a study")[2]
    assert "| ours, cold | 40.0 |" in own and "From [another run](benchmarks-verdict/benchmarks.md)" in own


def test_models_of_another_run_have_a_table_with_its_conditions(scripts, tmp_path):
    """A model that was measured later would be hidden behind a link, or pass for one of this run."""
    later = {**RESULT, "machine": "a busy one", "load": [7.5, 9.0], "rows": [*ROWS, line("unet", "ours solo", 9.0, 3.0),
             line("unet", "ours population", 7.0, 3.0), line("unet", "torch eager", 6.0)]}  # fmt: skip
    scripts.run.write(later, tmp_path / "benchmarks-later")
    scripts.run.write(RESULT, tmp_path)
    page = (tmp_path / "benchmarks.md").read_text(encoding="utf-8")
    assert page.count("| ours population | 6 |") == 1 and page.count("## U-Net on 48x48") == 1
    own = page.partition("## U-Net on 48x48")[2].partition("\n## ")[0]
    for words in (
        "](benchmarks-later/benchmarks.md)",
        "- Machine: a busy one",
        "- Load average: 7.5 to 9.0",
        "- UNET, one model: torch eager is 1.5 times as fast",
        "| ours population | 7 | 6.3 to 8.4 | 1.17 |",
    ):
        assert words in own, words


def test_the_terminal_tells_the_same(scripts, capsys):
    """The command would end without a table, or without the losses."""
    scripts.pages.printed(RESULT)
    said = capsys.readouterr().out
    assert "WHERE WE LOSE" in said and "torch.func ensemble" in said and "no compiler" in said


def test_the_figure_shows_every_compared_line(scripts, tmp_path):
    """A slow line of ours could be missing from the picture."""
    scripts.figure.save(ROWS, tmp_path / "a.svg")
    scripts.figure.save(ROWS, tmp_path / "b.svg")
    labels = [tick.get_text() for axes in scripts.figure.draw(ROWS).axes for tick in axes.get_yticklabels()]
    assert sorted(labels) == sorted(row["line"] for row in ROWS if "table" not in row)
    assert (tmp_path / "a.svg").read_bytes() == (tmp_path / "b.svg").read_bytes()


def test_a_row_is_the_median_of_its_repeats(scripts):
    """One slow moment of the machine would be the result."""
    row = scripts.timing.row("mlp", "x", [3.0, 1.0, 100.0], 1000, 0.5)
    assert (row["ms_per_model_step"], row["low"], row["high"]) == pytest.approx((3.0, 1.0, 100.0))


def test_the_warm_turn_is_not_counted_and_turns_alternate(scripts):
    """Compile time would be told as training time, or a slow minute blamed on one of two rivals."""
    order = []
    times = scripts.timing.rounds([lambda turn: order.append(("a", turn)), lambda turn: order.append(("b", turn))], 2)
    assert [len(one) for one in times] == [2, 2]
    assert order == [("a", 0), ("b", 0), ("b", 1), ("a", 1), ("a", 2), ("b", 2)]


def test_what_is_measured_in_turns_is_divided_turn_by_turn(scripts):
    """A slow moment that hits both would be told as a difference."""
    assert scripts.timing.against([1.0, 30.0, 1.5], [1.0, 20.0, 1.0]) == 1.5
    one = line("mlp", "ours, one core", 0.4, ratio=1.02)
    assert scripts.reading.ratio(one, line("mlp", "minimal scan", 0.3)) == 1.02


def test_rows_of_several_processes_become_one(scripts):
    """The luck of one process would be the result."""
    runs = [[line("mlp", "x", value, ratio=value)] for value in (1.0, 5.0, 2.0)]
    (row,) = scripts.timing.pooled(runs)
    assert (row["ms_per_model_step"], row["ratio"]) == (2.0, 2.0)
    assert (row["low"], row["high"]) == pytest.approx((0.9, 6.0))


# Parameters, worked by hand: of a model (PyTorch's LSTM has 256 more), or of a generator and a discriminator.
SIZES = {"mlp": (118_282,), "cnn": (105_866,), "lstm": (17_546,), "gan": (125_968, 117_121),
         "dcgan": (120_705, 6_369), "unet": (17_492,), "detector": (33_294,), "transformer": (112_448,),
         "transformer_128": (429_632,)}  # fmt: skip


def sizes(*trees):
    """Count the numbers in each tree."""
    import jax

    return tuple(sum(int(np.prod(leaf.shape)) for leaf in jax.tree.leaves(tree)) for tree in trees)


def test_every_workload_of_ours_is_a_config_that_fits(scripts):
    """The benchmark would stop after minutes, at the first line of ours."""
    import jax

    from deepprinciples import config
    from deepprinciples.learners.assembly import from_config

    assert set(SIZES) == set(scripts.workloads.WORKLOADS) == set(scripts.workloads.OURS) - {"small_mlp"}
    for name, workload in scripts.workloads.WORKLOADS.items():
        resolved = config.resolve(
            scripts.workloads.config(workload, 10, probes=None), from_config.KINDS, command="train"
        )
        data = from_config.dataset(resolved)
        assert from_config.check(resolved, data) == []
        params = jax.eval_shape(from_config.learner(resolved, data).init, jax.random.key(0)).eval_params
        trees = (params["generator"], params["discriminator"]) if workload.kind == "game" else (params,)
        assert sizes(*trees) == SIZES[name]


@pytest.mark.parametrize("name", ["gan", "dcgan"])
def test_all_lines_of_a_game_train_the_same_networks(scripts, name):
    """A line would be fast because it trains something smaller."""
    import jax

    workload, shown = (
        scripts.workloads.WORKLOADS[name],
        scripts.workloads.examples(scripts.workloads.WORKLOADS[name], 2)[0],
    )
    latents = np.zeros((2, scripts.workloads.LATENT), np.float32)
    for make in (scripts.games.our_players, scripts.stock_flax.stock_players):
        networks, params = make(workload)
        assert sizes(*params) == SIZES[name]
        made = jax.eval_shape(networks.generator, params.generator, latents)
        assert made.size == 2 * np.prod(workload.shape)
        assert jax.eval_shape(networks.discriminator, params.discriminator, shown).shape == (2, 1)
    twins = importlib.import_module("torch_models").PLAYERS[name]()
    assert tuple(sum(weight.numel() for weight in twin.parameters()) for twin in twins) == SIZES[name]


def given_to_pytorch(twin, params, *, mirrored):
    """Copy our weights, layer by layer, into a network of PyTorch."""
    layers = [layer for name, layer in sorted(params.items()) if name.startswith("layer")]
    ours = [part for layer in layers for part in (layer["linear"], layer.get("norm")) if part]
    if mirrored:  # the sides of a box: top, left, bottom, right become bottom, right, top, left
        params = {**params, "boxes": {name: np.roll(one, 2, axis=-1) for name, one in params["boxes"].items()}}
    ours += [params[name] for name in ("output", "classes", "boxes") if name in params]
    theirs = [module for module in twin.modules() if isinstance(module, torch.nn.Conv2d | torch.nn.GroupNorm)]
    if not mirrored:  # the U-Net has its layers listed by what they are, not in the order of the way through
        first, second, third, up_1, up_2, join_1, join_2, output = theirs
        theirs = [first, second, third, up_1, join_1, up_2, join_2, output]
    for one, module in zip(ours, theirs, strict=True):
        weight = np.asarray(one["kernel"] if "kernel" in one else one["scale"])
        if "kernel" in one:
            weight = weight.reshape(*(weight.shape[:-2] or (1, 1)), *weight.shape[-2:])
            weight = (weight[::-1, ::-1] if mirrored else weight).transpose(3, 2, 0, 1)
        with torch.no_grad():
            module.weight.copy_(torch.tensor(weight.copy()))
            module.bias.copy_(torch.tensor(np.array(one["bias"])))


@pytest.mark.parametrize("name", ["unet", "detector"])
def test_pytorch_computes_the_same_loss_with_the_same_weights(scripts, name):
    """We would be compared with another network, or with a loss that costs less."""
    import jax

    workload = scripts.workloads.WORKLOADS[name]
    (inputs, targets), module = scripts.workloads.examples(workload, 16), importlib.import_module("torch_models")
    if name == "detector":  # no location on a side of a box, which belongs to one of two neighbors
        targets = {**targets, "boxes": targets["boxes"] + np.float32(0.25)}
    network, params = scripts.serial_jax.our_model(workload)
    params = jax.tree.map(lambda a: a + 0.05 * np.random.default_rng(a.size).standard_normal(a.shape), params)
    loss_of = scripts.serial_jax.detection if name == "detector" else scripts.serial_jax.cross_entropy
    expected = loss_of(network(params, inputs), targets)
    twin = module.MODELS[name]()
    assert sum(weight.numel() for weight in twin.parameters()) == SIZES[name][0]
    given_to_pytorch(twin, params, mirrored=name == "detector")
    pictures = torch.tensor(inputs).permute(0, 3, 1, 2)
    if name == "unet":
        found = torch.nn.functional.cross_entropy(twin(pictures), torch.tensor(targets).long())
    else:  # y0 becomes 48 - y1: a mirrored box begins where it ended
        boxes = 48.0 - torch.tensor(targets["boxes"])[..., [2, 3, 0, 1]]
        labels = torch.tensor(targets["classes"]).long()
        found = module.detection(twin(pictures.flip(2, 3)), boxes, labels)
    np.testing.assert_allclose(found.item(), expected, rtol=1e-4)


@pytest.mark.parametrize("name", ["transformer", pytest.param("transformer_128", marks=pytest.mark.slow)])
def test_the_transformer_of_pytorch_computes_the_same_loss(scripts, name):
    """We would be compared with a smaller transformer, or with one that reads what comes."""
    import jax

    from deepprinciples.interop import torch_names
    from deepprinciples.parts.parameter_names import names_of

    workload = scripts.workloads.WORKLOADS[name]
    ids, targets = scripts.workloads.examples(workload, 2)
    assert ids.dtype == np.int32 and (ids[:, 1:] == targets[:, :-1]).all()
    network, params = scripts.serial_jax.our_model(workload)
    params = jax.tree.map(lambda a: a + 0.05 * np.random.default_rng(a.size).standard_normal(a.shape), params)
    own = {one: np.float32(leaf) for one, leaf in zip(names_of(params), jax.tree.leaves(params), strict=True)}
    pairs = torch_names.twins(scripts.workloads.OURS[name](), {one: leaf.shape for one, leaf in own.items()})
    twin = importlib.import_module("torch_models").MODELS[name]()
    state = torch_names.to_torch(pairs, own)
    twin.load_state_dict({one: torch.tensor(np.ascontiguousarray(a)) for one, a in state.items()}, strict=True)
    found = torch.nn.functional.cross_entropy(twin(torch.tensor(ids)), torch.tensor(targets).long())
    expected = jax.jit(lambda p: scripts.serial_jax.cross_entropy(network(p, ids), targets))(params)
    np.testing.assert_allclose(found.item(), expected, rtol=1e-5)


def test_a_language_model_tells_its_tokens_a_second_and_the_short_form_stays_short(scripts):
    """A reader would have to divide, or `make bench` take an hour."""
    rows = [line("transformer", "ours solo", 8.0, 1.0, lanes=1), line("transformer", "torch eager", 16.0)]
    _, heads, cells = scripts.pages.peer_table(rows, "transformer")
    assert heads[-1] == "tokens a second" and [one[-1] for one in cells] == ["128,000", "64,000"]
    assert "tokens a second" not in scripts.pages.peer_table(ROWS, "mlp")[1]
    lines = [(one.script, one.job, one.short) for one in scripts.run.lines() if one.model == "transformer_128"]
    assert not any(short for *_, short in lines)
    assert {("ours", "population"), ("ours", "engine"), ("torch_peer", "compile")} <= {one[:2] for one in lines}


def test_a_step_by_hand_moves_both_players_and_draws_fresh_noise(scripts):
    """We would be compared with a loop that trains only one of them."""
    import jax

    workload = scripts.workloads.WORKLOADS["gan"]._replace(batch=4)
    networks, params = scripts.games.our_players(workload)
    start, step = scripts.games.play(networks, workload)
    before = start(params)
    inputs, targets = scripts.workloads.examples(workload, 8)
    after, _ = jax.jit(step)(before, np.arange(4), inputs, targets)
    for old, new in zip(before[0], after[0], strict=True):
        moved = jax.tree.map(lambda a, b: bool((a != b).any()), old, new)
        assert all(jax.tree.leaves(moved))
    assert not (jax.random.key_data(before[2]) == jax.random.key_data(after[2])).all()


def test_a_step_of_the_peer_moves_both_players(scripts, monkeypatch):
    """PyTorch would look fast because a player stands still, or slow because of gradients that nothing needs."""
    module = importlib.import_module("torch_models")
    players = module.PLAYERS["gan"]()
    monkeypatch.setitem(module.PLAYERS, "gan", lambda: players)
    before = [[weight.detach().clone() for weight in player.parameters()] for player in players]
    module.trainer(scripts.workloads.WORKLOADS["gan"], 1, 1)(0)
    for player, old in zip(players, before, strict=True):
        assert all(not torch.equal(weight, first) for weight, first in zip(player.parameters(), old, strict=True))
    assert all(weight.requires_grad for player in players for weight in player.parameters())


def test_a_game_of_ours_runs_as_a_line(scripts):
    """The benchmark would stop in the middle, at a game's first line of ours."""
    workload = scripts.workloads.WORKLOADS["gan"]
    one = scripts.ours.made(workload, 2, 1)
    made = scripts.ours.row_of(workload, "ours solo", *scripts.timing.rounds([scripts.ours.runner(one, 1)], 1), one, 1)
    assert made["model"] == "gan" and made["ms_per_model_step"] > 0 and made["lanes"] == 1


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="this system keeps no process on a core")
def test_what_is_compared_within_a_few_percent_stays_on_one_core():
    """Threads that started later would take a second core in some turns and not in others."""
    count = "one = threading.Thread(target=lambda: print(len(os.sched_getaffinity(0)))); one.start(); one.join()"
    code = f"import os, threading, timing\n{count}\ntiming.one_core()\n{count}"
    module = {**os.environ, "PYTHONPATH": str(ROOT / "benchmarks")}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=module, check=True)
    assert done.stdout.split() == [str(len(os.sched_getaffinity(0))), "1"]


def test_the_products_of_a_step_are_counted_as_often_as_they_run(scripts):
    """Lost: what a step cannot be faster than, where a recurrent network multiplies in a loop."""
    import jax
    import jax.numpy as jnp

    def step(x, w):
        again = jax.jit(lambda x: jax.lax.scan(lambda x, _: (x @ w, None), x, None, length=5)[0])
        return jnp.einsum("bij,bjk->bik", again(x)[None], w[None])

    closed = jax.make_jaxpr(step)(jnp.ones((3, 4)), jnp.ones((4, 4)))
    found = scripts.limits.products_of(closed.jaxpr)
    assert sorted(found.values()) == [1, 5]
    assert {one.operations for one in found} == {2 * 3 * 4 * 4}
    assert all(one.swapped().operations == one.operations and scripts.limits.alone(one) > 0 for one in found)


def test_the_command_refuses_a_line_it_does_not_know(scripts, capsys):
    """A typing error would measure nothing and write an empty page."""
    with pytest.raises(SystemExit):
        scripts.run.main(["--only", "mpl"])
    assert "found mpl; expected some of mlp" in capsys.readouterr().err


def test_every_script_with_lines_is_there(scripts):
    """A line of the table would never be measured."""
    for one in scripts.run.lines():
        text = (ROOT / "benchmarks" / f"{one.script}.py").read_text(encoding="utf-8")
        assert f'"{one.job}": {one.job}' in text, one


def test_the_machine_is_named_without_its_owner(scripts):
    """A page for everyone would tell whose machine it was."""
    import platform

    assert platform.node() not in scripts.run.machine() and str(Path.home()) not in scripts.run.machine()


def test_the_data_that_is_kept_has_the_promised_form():
    """Programs that read docs/benchmarks.json would break, or read a time of nothing."""
    result = json.loads((ROOT / "docs" / "benchmarks.json").read_text(encoding="utf-8"))
    assert {"date", "machine", "versions", "threads", "rows"} <= set(result)
    named = [(row["model"], row["line"]) for row in result["rows"]]
    assert len(named) == len(set(named)) and {"ours population", "torch eager"} <= {line for _, line in named}
    for row in result["rows"]:
        assert 0 < row["low"] <= row["ms_per_model_step"] <= row["high"] and row["compile_seconds"] >= 0


def test_without_a_gpu_the_script_for_one_refuses_in_one_line(tmp_path):
    """Lost: the hour of a user who takes a CPU's numbers for those of a GPU."""
    command = [sys.executable, str(ROOT / "benchmarks" / "gpu.py"), str(tmp_path / "out")]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "JAX_PLATFORMS": "cpu"})
    assert done.returncode == 1 and done.stdout == "" and not (tmp_path / "out").exists()
    assert done.stderr.count("\n") == 1 and "no GPU is here" in done.stderr and "--dry" in done.stderr


def test_the_script_for_a_gpu_ends_in_eight_minutes_and_keeps_what_it_has(scripts, tmp_path, monkeypatch, capsys):
    """Lost: a lease that ends before the first number is written, or a part that failed without a word."""
    gpu, clock, limits = scripts.gpu, [0.0], {}
    monkeypatch.setattr(gpu.time, "monotonic", lambda: clock[0])
    monkeypatch.setattr(gpu, "device_of", lambda dry: "a card")

    def slow(command, timeout, **options):
        name, model = command[command.index("--part") + 1].split(":")
        limits[name, model] = timeout
        clock[0] += timeout
        times = {"ours": 0.01, "eager": 2.0}
        if name in times:
            words = "ours, 256 lanes" if name == "ours" else gpu.EAGER
            with open(tmp_path / "rows.jsonl", "a") as file:
                file.write(json.dumps(line(model, words, times[name])) + "\n")
        raise subprocess.TimeoutExpired(command, timeout)

    monkeypatch.setattr(gpu.subprocess, "run", slow)
    gpu.main([str(tmp_path)])
    assert clock[0] <= 480 and next(iter(limits)) == ("ours", "mlp")
    result, page = json.loads((tmp_path / "gpu.json").read_text()), (tmp_path / "gpu.md").read_text()
    assert "MLP ours: cut off after 90 s" in result["missing"] and len(result["missing"]) == len(gpu.PARTS)
    assert "LSTM stock: no time was left" in result["missing"]
    assert "- MLP, 256 lanes, times as fast as PyTorch eager: 200.0, goal 100: yes" in page
    assert "| MLP | ours, 256 lanes | 0.01 | 200.0 | 0.0 |" in page and "- Not measured: MLP ours" in page
    with pytest.raises(SystemExit, match="holds results already"):
        gpu.main([str(tmp_path)])


def test_every_part_of_the_script_for_a_gpu_runs_dry(tmp_path):
    """Lost: a part that fails on the card, where minutes are dear, and would have failed here."""
    command = [sys.executable, str(ROOT / "benchmarks" / "gpu.py"), str(tmp_path / "out"), "--dry"]
    done = subprocess.run(command, capture_output=True, text=True)
    result = json.loads((tmp_path / "out" / "gpu.json").read_text(encoding="utf-8"))
    assert done.returncode == 0 and result["missing"] == [], done.stdout
    lines = [(one["model"], one["line"]) for one in result["rows"]]
    assert len(lines) == len(set(lines))
    for model in ("mlp", "cnn", "lstm"):
        own = [name for of, name in lines if of == model]
        ours = {f"ours, {which}" for which in ("2 lanes", "4 lanes", "4 lanes, bfloat16", "4 lanes, deterministic")}
        torch_s = {"torch eager, one after another", "torch, CUDA graph of a step", "torch.func ensemble of 2"}
        assert ours | torch_s <= set(own)
        assert ("ours, 4 lanes, stock" in own) == (model != "mlp")
    assert "no number means anything" in (tmp_path / "out" / "gpu.md").read_text(encoding="utf-8")
