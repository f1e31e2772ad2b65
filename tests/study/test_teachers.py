"""Distillation: a small network that learns from a finished run, seed by seed, or is refused in one line."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch

import deepprinciples as dp
from deepprinciples import config as configs
from deepprinciples.errors import ConfigError, DataError, DeepprinciplesError
from deepprinciples.learners.assembly import from_config, teaching
from deepprinciples.parts import losses
from deepprinciples.study.planning import teachers
from deepprinciples.study.planning.plan import resolve
from deepprinciples.types import Batch, BatchTransform

RANDOM = np.random.default_rng(2)
OUTPUTS, ANSWERS = (RANDOM.normal(size=(6, 4)).astype(np.float32) for _ in range(2))
LABELS = np.array([0, 3, 1, 2, 2, 0])
BASE = {
    "data": {"name": "wine", "batch_size": 16},
    "model": {"name": "mlp", "depth": 1, "width": 6},
    "loss": {"name": "softmax_cross_entropy"},
    "optimizer": {"name": "sgd", "learning_rate": 0.1},
    "train": {"steps": 4, "seed": 0, "probes": []},
}


def distilled(share, temperature=3.0, labels=LABELS):
    taught = {"labels": jnp.asarray(labels), "teacher": jnp.asarray(ANSWERS)}
    return losses.distillation(temperature=temperature, share=share)(jnp.asarray(OUTPUTS), taught)


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_distillation_as_in_pytorch(share):
    """Lost: a share or a temperature that is not the one of every recipe."""
    outputs, answers = torch.tensor(OUTPUTS), torch.tensor(ANSWERS)
    soft = torch.nn.KLDivLoss(reduction="none")(
        torch.log_softmax(outputs / 3.0, dim=1), torch.softmax(answers / 3.0, dim=1)
    ).sum(dim=1)
    hard = torch.nn.functional.cross_entropy(outputs, torch.tensor(LABELS), reduction="none")
    np.testing.assert_allclose(distilled(share), (1 - share) * hard + share * 9.0 * soft, rtol=2e-5)


def test_distillation_by_hand():
    """Lost: the factor T^2, or the order of teacher and student."""
    outputs, targets = jnp.zeros((1, 2)), {"labels": jnp.array([0]), "teacher": jnp.array([[2 * np.log(3.0), 0.0]])}
    # At T = 2 the teacher says 3/4 and 1/4, the student 1/2 and 1/2; the label costs log 2.
    soft = 0.75 * np.log(1.5) + 0.25 * np.log(0.5)
    found = losses.distillation(temperature=2.0, share=0.25)(outputs, targets)
    np.testing.assert_allclose(found, [0.75 * np.log(2.0) + 0.25 * 4 * soft], rtol=1e-6)


def test_no_share_is_cross_entropy_to_the_bit_and_no_label_no_loss():
    """Lost: the small network by itself, in one program with those that have a teacher."""
    plain = losses.softmax_cross_entropy()
    np.testing.assert_array_equal(distilled(jnp.float32(0.0)), plain(jnp.asarray(OUTPUTS), jnp.asarray(LABELS)))
    wide = lambda a: jnp.asarray(np.stack([a, a], 1))
    taught = {"labels": jnp.asarray(np.stack([LABELS, np.full(6, -1)], 1)), "teacher": wide(ANSWERS)}
    found = losses.distillation(temperature=3.0, share=0.4)(wide(OUTPUTS), taught)
    np.testing.assert_allclose(found, distilled(0.4), rtol=1e-6)


@pytest.fixture(scope="module")
def big(tmp_path_factory):
    """Two seeds of a larger network, and a comparison that keeps nothing."""
    folder = tmp_path_factory.mktemp("teachers")
    dp.train(configs.changes(BASE, {"train.seeds": 2, "model.width": 12, "train.steps": 60}), folder / "big")
    arms = {"arms": {"a": {}, "b": {"optimizer.learning_rate": 0.2}}, "study": {"seeds": 2}}
    dp.compare({**BASE, **arms}, folder / "kept nothing")
    dp.train(configs.changes(BASE, {"data": {"name": "digits", "batch_size": 16}}), folder / "digits")
    regression = {"data": {"name": "diabetes", "batch_size": 16}, "loss": "mse", "study.metric": "mse"}
    dp.train(configs.changes(BASE, regression), folder / "diabetes")
    return folder


def test_every_seed_learns_from_its_own(big, tmp_path):
    """Lost: pairs: all students would have the luck of one teacher."""
    taught = configs.changes(BASE, {"data.teacher": {"path": str(big / "big")}, "loss": {"name": "distillation"}})
    plan = resolve("train", configs.changes(taught, {"train.seeds": 3}))
    data, config = plan.data["run"], plan.arms["run"].config
    assert data.teacher.seeds == (0, 1)
    for seed, other in ((0, 0), (1, 1), (2, 0)):
        number = teachers.given(data, seed)["data.teacher"]["number"]
        assert number == other
        one = from_config.replaced(config, {"data.teacher": {"number": number}})
        for part in ("train", "validation", "test"):
            found = teaching.loss_targets_of(one, data)(jax.tree.map(jnp.asarray, data.batch(part)))
            model, params = dp.load(big / "big").model(seed=other)
            np.testing.assert_array_equal(found["labels"], getattr(data, part).targets)
            expected = model.predict(params, getattr(data, part).inputs)
            np.testing.assert_allclose(found["teacher"], expected, rtol=1e-5, atol=1e-6)
    run = dp.train(configs.changes(taught, {"train.seeds": 3}), tmp_path / "run")
    assert [one for one in run.summary["warnings"] if "data.teacher" in one] == [
        f"data.teacher: {big / 'big'} keeps no seed 2; such seeds learn from its seed 0"
    ]


def test_a_student_alone_is_one_program_with_the_taught_and_only_these_change(big, tmp_path):
    """Lost: the baseline of every distillation, or a teacher that nobody listens to."""
    changes = {"data.teacher": {"path": str(big / "big")}, "loss": {"name": "distillation", "temperature": 2.0}}
    study = {"study": {"seeds": 2}, "train": {"steps": 30, "probes": ["gradient_norm"]}}
    arms = {"alone": {"loss.share": 0.0}, "taught": {"loss.share": 0.9}}
    run = dp.compare({**configs.changes(BASE, changes), **study, "arms": arms}, tmp_path / "run")
    assert [row["arms"] for row in run.summary["programs"]] == [["alone", "taught"]]
    plain = dp.compare({**BASE, **study, "arms": {"plain": {}, "same": {}}}, tmp_path / "plain")
    loss = run.results.validation_loss
    np.testing.assert_allclose(
        loss.sel(arm="alone"), plain.results.validation_loss.sel(arm="plain"), rtol=1e-5, atol=1e-6
    )
    assert np.all(np.abs(loss.sel(arm="taught") - loss.sel(arm="alone")) > 1e-4)
    with pytest.raises(DeepprinciplesError, match="teacher"):
        (tmp_path / "run" / "config.toml").write_text(
            (tmp_path / "run" / "config.toml").read_text().replace(str(big / "big"), str(big / "gone"))
        )
        resolve("compare", configs.load(tmp_path / "run" / "config.toml"))


def forgetful():
    """Make a batch anew, without what it does not know."""
    return BatchTransform(lambda key, batch: Batch(batch.inputs, batch.targets))


def test_a_mixture_is_learned_from_a_mixture_of_answers(big, tmp_path):
    """Lost: mixup with distillation, which was refused; or one that goes on as if there were no mixup."""
    taught = configs.changes(BASE, {"data.teacher": {"path": str(big / "big")}, "loss": {"name": "distillation"}})
    arms = {"plain": {}, "mixed": {"augment.mixup": {"strength": 1.0}}}
    run = dp.compare({**taught, "study": {"seeds": 2}, "arms": arms}, tmp_path / "run")
    plain, mixed = (run.results.train_loss.sel(arm=arm).values for arm in arms)
    assert np.isfinite(mixed).all() and not np.allclose(plain, mixed)


@pytest.mark.parametrize(("name", "changes", "line"), [
    ("kept nothing", {"data.teacher.arm": "a"}, r"data.teacher: .*keeps no parameters; set study.keep = 1 or more"),
    ("big", {"data.teacher.arm": "a"}, r'data.teacher: arm: found "a"; a run of train has none, leave it out'),
    ("digits", {}, r"data.teacher: .*was trained on 10 classes and inputs \[8, 8, 1\], found 3 classes and"),
    ("diabetes", {}, r"data.teacher: .*was trained on 1 classes and inputs \[10\], found 3 classes"),
    ("nowhere", {}, r"data.teacher: .*nowhere"),
    (None, {}, r"loss.name: distillation has no teacher; set data.teacher = \{ path = RUN \}, or use soft"),
    ("big", {"augment.own": {"factory": forgetful}}, r"the answers of the teacher were lost: .* batch\._replace\(in"),
    ("big", {"data": {"name": "diabetes", "batch_size": 16}, "loss": "mse", "study": {"metric": "mse"}},
     r"data.teacher: needs class labels in arrays"),
])  # fmt: skip
def test_what_cannot_teach_is_refused_in_one_line(big, tmp_path, name, changes, line):
    """Lost: hours of training from answers to other questions."""
    given = configs.changes(BASE, {"loss": {"name": "distillation"}})
    if name is not None:
        given = configs.changes(given, {"data.teacher": {"path": str(big / name)}})
    teacher = given["data"].get("teacher")
    given = configs.changes(given, changes)
    if teacher is not None:
        given["data"].setdefault("teacher", teacher)
    with pytest.raises((ConfigError, DataError), match=line) as caught:
        dp.train(given, tmp_path / "run")
    assert len(str(caught.value).splitlines()) == 1 and not (tmp_path / "run").exists()


def test_a_teacher_that_saw_the_test_examples_is_named(big, tmp_path):
    """Lost: a student that is judged on what its teacher was trained on."""
    other = configs.changes(BASE, {"data.teacher": {"path": str(big / "big")}, "data.split_seed": 1})
    found = resolve("train", other).data["run"]
    assert any("held out other test examples" in note for note in found.notes)
