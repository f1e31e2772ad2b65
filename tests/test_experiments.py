"""The experiments: every script runs from start to end at toy size, and every config of theirs is whole.

What the numbers are does not matter here; what they were at full size is in docs/findings.md.
"""

from __future__ import annotations

import ast
import importlib.util
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import deepprinciples as dp
from deepprinciples import config
from deepprinciples.learners.assembly.from_config import KINDS

ROOT = Path(__file__).parents[1]
# These make something else than a comparison of arms; their own tests run them.
SLOW = [
    "adaptive_optimizers",
    "augmentation_under_shift",
    "barren_plateaus",
    "char_transformer",
    "clipping_family",
    "dqn_tricks",
    "driving_by_cloning",
    "early_stopping",
    "face_detection",
    "fashion_mnist_cnn",
    "gan_images",
    "gan_mode_collapse",
    "initialization_at_criticality",
    "labels_are_few",
    "lottery_ticket",
    "lstm_or_transformer",
    "medical_diagnosis",
    "memory_of_lstm",
    "named_entities",
    "noise_scale_and_batch_size",
    "number_translation",
    "object_detection",
    "positions",
    "ppo_a2c_reinforce",
    "quantum_classifier",
    "regularization_on_small_data",
    "residual_gradient_correlation",
    "segmentation_losses",
    "sentiment",
    "series",
    "sharpness_aware",
    "specaugment",
    "speech_digits",
    "transformer_tricks",
    "translation",
    "unet_skips",
    "weight_decay_is_not_l2",
    "what_makes_ppo_work",
]  # run by long_experiments.py; fmt: skip
OTHERS = [
    "driving_by_reinforcement",
    "gan_anomaly",
    "quantization_and_distillation",
    "saliency_maps",
    "style_transfer",
    "transfer_digits",
    "transfer_learning",
]  # fmt: skip
SCRIPTS = sorted(path.stem for path in (ROOT / "experiments").glob("*.py"))
NAMES = [name for name in SCRIPTS if name not in OTHERS]
# Sets that a script fetches have a stand-in of the same shape here: maps of three classes, read off the picture itself.
PICTURES = np.random.default_rng(0).random((40, 8, 8, 1), np.float32)
MAPS = {
    "name": "examples",
    "inputs": PICTURES,
    "targets": np.digitize(PICTURES[..., 0], [0.5, 0.8]),
    "class_names": ("ground", "body", "edge"),
    "batch_size": 8,
}
WORDS = {"name": "text", "path": str(ROOT / "README.md"), "length": 16, "batch_size": 8}
RANDOM = np.random.default_rng(1)
WORD_IDS = {"name": "examples", "inputs": RANDOM.integers(1, 20, (60, 8)), "vocabulary": 20, "batch_size": 8}
TAGGED = {**WORD_IDS, "targets": RANDOM.integers(0, 3, (60, 8)), "class_names": ("O", "B-person", "I-person")}
REVIEWS = {**WORD_IDS, "targets": RANDOM.integers(0, 2, 60)}
SERIES = {"name": "examples", "inputs": RANDOM.random((60, 8, 3)), "targets": np.arange(60) % 3, "batch_size": 8}
TONES = {"name": "tones", "size": 40, "most": 3, "bands": 4, "batch_size": 8}
NUMERALS = {"name": "number_words", "largest": 99, "size": 60, "batch_size": 8}
STAND_INS = {
    "char_transformer": WORDS,
    "lstm_or_transformer": WORDS,
    "named_entities": TAGGED,
    "positions": WORDS,
    "segmentation_losses": MAPS,
    "sentiment": REVIEWS,
    "series": SERIES,
    "specaugment": TONES,
    "speech_digits": TONES,
    "transformer_tricks": WORDS,
    "translation": NUMERALS,
    "unet_skips": MAPS,
}
SMALL = ("train.steps=20", "study.searches=1", "study.trials=2", "study.seeds=2")
SUPERVISED = ("supervised", "supervised_views")
MLP = ("model.width=8", 'train.probes=["gradient_norm", "trigger_rate"]')
# script -> overrides that make it small, the arms that run (each program costs seconds), what its own lines must say
TOYS: dict[str, tuple[tuple[str, ...], list[str], list[str]]] = {
    "adaptive_optimizers": (
        ("model.width=4", 'train.probes=["gradient_norm"]'),
        ["adam", "sgd", "momentum"],
        ["Friedman over 4 tasks: p = ", "ranks differ where more than 1.66 apart", "momentum ", "Diagram: "],
    ),
    "augmentation_under_shift": (
        (
            'data={ name = "digits", batch_size = 16 }',
            *(f"test_sets.{one}.name=digits" for one in ("shifted", "rotated", "noisy", "occluded")),
            'test_sets.twitter={ name = "digits", corrupt = "blur" }',
            "model.depth=1",
            "model.stages=1",
            "model.width=2",
        ),
        ["plain", "mixup"],
        ["plain: accuracy ", "; noisy 0.", ", twitter 0.", "mixup: accuracy ", "twitter: On accuracy "],
    ),
    "barren_plateaus": (
        ("model.qubits=2", "model.depth=1"),
        ["turns", "scaled", "scaled_local"],
        [
            "qubits_4_depth_2: turns: variance ",
            "trained: scaled: variance ",
            "depth 80: scaled_local: times 1.000 a qubit",
        ],
    ),
    "char_transformer": (
        ("model.width=8",),
        ["pre", "post_warmup"],
        ["pre: ", " bits a byte at a rate of ", "gradient of the first block ", "\npost_warmup: "],
    ),
    "clipping_and_learning_rate": (
        (*MLP, "model.depth=2"),
        ["plain", "clipped", "plain_large", "clipped_large"],
        ["clipped: ", " of 2 learning rates usable", "clipped_large: accuracy", "the clip acted on"],
    ),
    "clipping_family": (
        ("data.length=4", "data.size=200", "model.width=4", 'train.probes=["trigger_rate"]'),
        ["none", "value"],
        ["none: mean squared error", "of 2 settings below half of chance", "value: mean", "; the clip acted on "],
    ),
    "dqn_tricks": (
        ("model.width=8", "learner.episodes=2", "train.evaluate_every=10"),
        ["dqn", "double"],
        ["dqn: interquartile mean ", "best look ", ", lost again by the end ", "double: "],
    ),
    "driving_by_cloning": (
        (
            "data.roads=1",
            "data.held_out=1",
            "data.frames=2",
            "data.batch_size=2",
            "test_sets.off_center.held_out=1",
            "test_sets.off_center.frames=2",
            "model.depth=1",
            "model.stages=1",
            'study.metric={ name = "meters_in_lane", roads = 1, length = 10 }',
        ),
        ["plain", "shifted"],
        ["plain: ", " m in the lane; squared error ", " on the expert's states, ", "Picture: "],
    ),
    "early_stopping": (
        ("model.width=8", "train.probe_every=2", "train.evaluate_every=2"),
        ["last", "best", "patient"],
        ["digits last: ", "; step 20, median rate ", "digits_few_held_out patient: ", "diabetes_untuned best: "],
    ),
    "edge_of_stability": (
        ("model.width=8", 'train.probes=["sharpness"]'),
        ["rate_04", "heavy_ball"],
        ["rate_04: sharpness ", " of the edge 5; training loss ", "heavy_ball: sharpness ", " of the edge 76;"],
    ),
    "face_detection": (
        (
            'data={ name = "digits", batch_size = 16 }',
            *(f"test_sets.{one}.name=digits" for one in ("shifted", "rotated", "noisy")),
            "model.depth=1",
            "model.width=4",
        ),
        ["plain", "flips"],
        ["plain: accuracy ", " (area under the curve ", "; noisy 0.", ", shifted 0.", "shifted: On accuracy "],
    ),
    "fashion_mnist_cnn": (
        ('data={ name = "digits", batch_size = 16 }', *MLP, "model.depth=2"),
        ["plain", "skip"],
        ["skip: validation accuracy", "at step 20, test accuracy"],
    ),
    "gan_images": (
        (
            "generator.model.width=4",
            "generator.model.depth=1",
            "discriminator.model={ name = 'mlp', depth = 1, width = 4 }",
            "train.probes=[]",
        ),
        ["resize", "mlp"],
        ["resize: Fréchet distance", "precision ", "coverage "],
    ),
    "gan_mode_collapse": (
        ("generator.model.width=8", "discriminator.model.width=8", "data.size=300", 'train.probes=["rotation"]'),
        ["plain", "noise", "packing"],
        ["plain: modes ", " of 8 (all of them in ", "high quality ", "packing: modes ", "rotation "],
    ),
    "initialization_and_depth": (
        (*MLP, "model.depth=1", "arms.small_12.model.depth=2"),
        ["he_4", "small_12"],
        [
            "he_4: accuracy",
            "the baseline",
            "small_12: accuracy",
            "gradient norm of the first layer",
            "cannot be judged",
        ],
    ),
    "initialization_at_criticality": (
        ("model.width=8", "model.depth=3"),
        ["critical", "chaotic"],
        ["critical: weight variance 1.761", "chaotic: weight variance 2.5", "a layer (theory 1.000)", "; accuracy "],
    ),
    "labels_are_few": (
        (
            "data.name=digits",
            "model.width=8",
            "arms.masked.model.width=8",
            "learner.labels=20",
            "arms.masked.learner.labels=20",
            *(f"arms.{arm}.data={{ name = 'digits', train_size = 20, batch_size = 20 }}" for arm in SUPERVISED),
        ),
        ["contrastive", "masked", *SUPERVISED],
        [
            "digits_20 contrastive: accuracy 0.",
            "median choice learning_rate ",
            ", share ",
            "emoji_200 supervised: accuracy 0.",
        ],
    ),
    "lottery_ticket": (
        ("model.width=8",),
        ["dense", "ticket", "redrawn"],
        [
            "sparsity_80            dense: accuracy ",
            "(+0.000 against dense), ",
            "sparsity_95          redrawn: ",
            " bytes",
        ],
    ),
    "lstm_or_transformer": (
        ("model.width=8", "arms.lstm.model.width=8"),
        ["transformer", "lstm"],
        ["transformer: ", " bits a byte at a rate of ", " multiply-adds a character", "\nlstm: "],
    ),
    "medical_diagnosis": (
        ("model.width=4",),
        ["cross_entropy", "logit_adjusted"],
        ["cross_entropy: sensitivity ", ", AUC ", "logit_adjusted: ", ", after scaling "],
    ),
    "memory_of_lstm": (
        ("data.length=4", "data.size=200", "model.width=4", 'train.probes=["gradient_norm"]'),
        ["rnn", "lstm"],
        ["rnn: median mean squared error", "of 2 seeds", "the median curve gets there"],
    ),
    "named_entities": (
        ("model.width=4",),
        ["gru", "words"],
        ["gru: F1 of entities ", ", accuracy of tags ", "training loss ", "words: F1 "],
    ),
    "noise_scale_and_batch_size": (
        ("model.width=8", "train.probe_every=10"),
        ["batch_8", "batch_16"],
        ["loss 1.0: steps ", " at 8, ", "loss 0.3: steps "],
    ),
    "number_translation": (
        ("model.width=8", "model.depth=1", "data.size=60", "test_sets.larger.size=40", "train.evaluate_every=20"),
        ["learned", "rotary"],
        ["learned: error ", " (chrF ", "), above 1,000 ", "rotary: error ", "On token_error_rate on larger"],
    ),
    "object_detection": (
        (
            'data={ name = "scattered", digits = 2, size = 32, held_out = 8, batch_size = 8 }',
            "model.depth=1",
            "model.width=2",
            "train.evaluate_every=20",
        ),
        ["giou_focal", "l1_bce"],
        ["giou_focal: average precision ", " at an IoU of 0.75, ", "l1_bce: average", "median choice", "Picture: "],
    ),
    "positions": (
        ("model.width=8", "model.depth=1", "study.keep=2"),
        ["learned", "rotary", "none"],
        ["learned: ", " bits a byte in windows as in training", " in longer ones, by quarters [", "none - rotary"],
    ),
    "ppo_a2c_reinforce": (
        ("model.width=8", "learner.episodes=2", "learner.rollout=16", "train.evaluate_every=10"),
        ["a2c", "reinforce"],
        ["a2c: interquartile mean ", "better than a2c with probability 0.50 ", "curve ", "reinforce: "],
    ),
    "quantum_classifier": (
        (),
        ["circuit", "mlp"],
        ["circuit: accuracy ", " with 51 weights, test loss ", ", input_scale ", "mlp: accuracy "],
    ),
    "regularization_on_small_data": (
        (*MLP, "model.depth=1"),
        ["none", "l1", "l2", "dropout"],
        ["none: test accuracy", "choice learning_rate ", ", l1.strength ", "dropout: test accuracy", "training loss"],
    ),
    "residual_gradient_correlation": (
        (*MLP, "model.depth=2"),
        ["plain", "residual"],
        ["plain: correlation of gradients ", " at depth 2; accuracy ", "residual: correlation"],
    ),
    "segmentation_losses": (
        ("model.width=2", "model.levels=2"),
        ["cross_entropy", "dice"],
        ["cross_entropy: mean IoU ", ", of edges ", "dice: ", ", boundary_f1 "],
    ),
    "sentiment": (
        ("model.width=4",),
        ["bag", "gru"],
        ["bag: accuracy ", " at a rate of ", "best look on validation ", "gru: accuracy "],
    ),
    "series": (
        ("model.width=4",),
        ["lstm", "cnn"],
        ["lstm: accuracy ", ", loss ", " parameters, rate ", "cnn: accuracy "],
    ),
    "sharpness_aware": (
        ("model.width=8", 'train.probes=["sharpness"]', "train.probe_every=10", "data.train_size=200"),
        ["plain", "sam"],
        ["plain: test accuracy", "sam: at half of the steps, ", "against all of plain", ", sharpness "],
    ),
    "specaugment": (
        ("model.width=4",),
        ["none", "medium"],
        ["none: ", " of the digits wrong; CTC loss ", "error on validation on the way [", "medium reads "],
    ),
    "speech_digits": (
        ("model.width=4",),
        ["gru", "gru_masks"],
        ["gru: ", " of the digits wrong; CTC loss ", " in training, ", "gru_masks: "],
    ),
    "transformer_tricks": (
        ("model.width=8",),
        ["plain", "scaled", "tied"],
        ["scaled: ", " bits a byte at a rate of ", "sensitivity ", " bits at rates above 0.05", "tied - plain"],
    ),
    "translation": (
        ("model.width=8", "model.depth=1", "train.evaluate_every=20"),
        ["gru_attention", "post"],
        ["gru_attention: chrF ", ", BLEU ", ", perplexity ", ", training loss ", "\npost:\n", "\n  ("],
    ),
    "unet_skips": (
        ("model.width=2", "model.levels=2"),
        ["concat", "none"],
        ["concat: mean IoU ", " (ground 0.", ", edge 0.", "), F1 of edges 0.", "none: mean IoU "],
    ),
    "vanishing_gradients": (
        (*MLP, "model.depth=2"),
        ["plain", "clipping"],
        ["plain: gradient norm at the first step", "in the first layer", "in the last"],
    ),
    "weight_decay_is_not_l2": (
        (*MLP, "data.train_size=200"),
        ["adam", "adam_penalty"],
        ["adam_penalty: test accuracy", ", strength ", "adam_penalty - adam: ", "cannot be judged"],
    ),
    "what_makes_ppo_work": (
        ("model.width=8", "learner.episodes=2", "learner.rollout=16", "train.evaluate_every=10"),
        ["ppo", "raw_advantages"],
        ["ppo: interquartile mean ", "half of the seeds balance by step inf", "raw_advantages: "],
    ),
}


def script(name: str) -> Any:
    """Import an experiment from its file."""
    spec = importlib.util.spec_from_file_location(name, ROOT / "experiments" / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def as_toy(name: str, arms: list[str]) -> Any:
    """Return an experiment whose config has some of its arms only."""
    module, given = script(name), config.load(ROOT / "configs" / f"{name}.toml")
    small = {**given, "arms": {arm: given["arms"][arm] for arm in arms}}
    if "data" in given:
        small["data"] = STAND_INS.get(name, given["data"])
    return dp.experiment(small, variants=getattr(module, "TASKS", None))(module.main.__wrapped__)


def test_every_experiment_has_a_toy_a_config_and_a_finding() -> None:
    """Else a script may break unseen, or a reader cannot learn what was found."""
    findings = (ROOT / "docs" / "findings.md").read_text(encoding="utf-8")
    assert list(TOYS) == NAMES
    assert all((ROOT / "configs" / f"{name}.toml").is_file() for name in NAMES)
    assert [name for name in SCRIPTS if f"experiments/{name}.py" not in findings] == []
    assert set(OTHERS) <= set(SCRIPTS)


@pytest.mark.parametrize("path", sorted((ROOT / "configs").glob("*.toml")), ids=lambda path: path.stem)
def test_the_config_at_full_size_is_whole(path: Path) -> None:
    """Else the first thing a user tries is refused. The first line is the command that runs it."""
    given = config.load(path)
    command = "compare" if "arms" in given else "train"
    assert len(config.resolve(given, KINDS, command=command).get("arms", {})) != 1
    first = path.read_text(encoding="utf-8").splitlines()[0]
    assert first == f"# deepprinciples {command} configs/{path.name}"


@pytest.mark.parametrize("name", SCRIPTS)
def test_the_script_is_a_question_and_what_it_prints(name: str) -> None:
    """Else nobody reads it, it says what was found in two places, or it breaks with what is not public."""
    text = (ROOT / "experiments" / f"{name}.py").read_text(encoding="utf-8")
    tree = ast.parse(text)
    assert 15 <= len(text.splitlines()) <= 40
    note = ast.get_docstring(tree) or ""
    assert note.splitlines()[0].endswith("?") and f"python experiments/{name}.py" in note
    assert "Looks at: " in note and "Time on 2 cores: " in note and note.endswith("Found: docs/findings.md")
    assert not [node for node in ast.walk(tree) if isinstance(node, ast.ClassDef)]
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for one in node.names:
                assert (one.name, one.asname) == ("deepprinciples", "dp") or is_library(one.name), one.name
        elif isinstance(node, ast.ImportFrom):
            assert is_library(str(node.module)), node.module
    used = {
        node.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "dp"
    }
    assert used <= set(dp.__all__)


def is_library(name: str) -> bool:
    return name.split(".")[0] in {*sys.stdlib_module_names, "numpy"} - {"__future__"}


@pytest.mark.parametrize("name", [name for name in NAMES if name not in SLOW])
def test_the_script_runs_and_says_its_verdicts(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Else an experiment breaks between releases and nobody knows until hours are spent on it."""
    changes, arms, said = TOYS[name]
    found = as_toy(name, arms)(*SMALL, *changes, out=tmp_path / "run")
    printed = capsys.readouterr().out
    for run in found.values() if isinstance(found, dict) else [found]:
        assert [row["name"] for row in run.summary["arms"]] == arms
        verdicts = {row["verdict"] for row in run.summary["comparisons"]}
        assert verdicts == {"cannot be judged"}  # 2 seeds allow no other word
        assert run.summary["headline"] in printed and (run.path / "report.html").is_file()
        assert run.summary["command"].startswith(f"python experiments/{name}.py train.steps=20 ")
    assert [words for words in said if words not in printed] == []
    assert printed.rstrip().endswith(f"Report: {run.path / 'report.html'}")
    assert list(script(name).main.__wrapped__(lost(found)))


def lost(found: Any) -> Any:
    """Give runs as if all lanes of all arms had diverged, with a metric without a worst value."""
    if isinstance(found, dict):
        return {name: lost(run) for name, run in found.items()}
    arms = [{**row, "mean": None, "interval": [None, None]} for row in found.summary["arms"]]
    return found._replace(summary={**found.summary, "arms": arms})
