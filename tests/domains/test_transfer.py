"""EfficientNet-Lite0 against PyTorch, its weights as a start, and features of its first layers as data."""

import hashlib
import io

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from torch.nn import functional

import deepprinciples as dp
from deepprinciples.domains.transfer import efficientnet, trunk
from deepprinciples.domains.transfer.efficientnet import (
    BLOCKS,
    HEAD,
    efficientnet_lite0,
    from_torch,
)
from deepprinciples.domains.transfer.trunk import trunk_features
from deepprinciples.errors import ConfigError, DataError, IntegrityError
from deepprinciples.learners.assembly import from_config
from deepprinciples.parts.fetched.published import SETS
from deepprinciples.parts.parameter_names import names_of
from deepprinciples.parts.splitting.sources import Source
from deepprinciples.study.planning.plan import resolve

NAME = "efficientnet_lite0"


def random_state(classes=5):
    """Draw a state_dict with the names and shapes of the published one."""
    torch.manual_seed(0)
    state = {}

    def conv(name, norm, out, given, window):
        state[f"{name}.weight"] = torch.randn(out, given, window, window) * (2 / (given * window**2)) ** 0.5
        state[f"{norm}.weight"], state[f"{norm}.bias"] = torch.rand(out) + 0.5, 0.3 * torch.randn(out)
        state[f"{norm}.running_mean"], state[f"{norm}.running_var"] = 0.2 * torch.randn(out), torch.rand(out) + 0.5
        state[f"{norm}.num_batches_tracked"] = torch.tensor(7)

    conv("_conv_stem", "_bn0", 32, 3, 3)
    for number, one in enumerate(BLOCKS):
        at = f"_blocks.{number}"
        if one.width != one.given:
            conv(f"{at}._expand_conv", f"{at}._bn0", one.width, one.given, 1)
        conv(f"{at}._depthwise_conv", f"{at}._bn1", one.width, 1, one.window)
        conv(f"{at}._project_conv", f"{at}._bn2", one.channels, one.width, 1)
    conv("_conv_head", "_bn1", 1280, 320, 1)
    return state | {"_fc.weight": torch.randn(classes, 1280) / 36, "_fc.bias": torch.randn(classes)}


STATE = random_state()
ARRAYS = {name: tensor.numpy() for name, tensor in STATE.items()}


def torch_layer(x, conv, norm, stride=1, groups=1, act=True):
    """Convolve as TensorFlow pads, normalize by the running statistics, and cut at 0 and 6."""
    weight = STATE[f"{conv}.weight"]
    missing = [max((-(-n // stride) - 1) * stride + weight.shape[-1] - n, 0) for n in x.shape[:1:-1]]
    x = functional.pad(x, [side for n in missing for side in (n // 2, n - n // 2)])
    y = functional.conv2d(x, weight, stride=stride, groups=groups)
    of = lambda name: STATE[f"{norm}.{name}"]
    y = functional.batch_norm(y, of("running_mean"), of("running_var"), of("weight"), of("bias"), eps=1e-3)
    return functional.relu6(y) if act else y


def torch_outputs(pictures):
    """Return what each layer gives, and the outputs, channels last."""
    x = torch_layer((torch.tensor(pictures).permute(0, 3, 1, 2) * 255 - 127) / 128, "_conv_stem", "_bn0", 2)
    seen = [x]
    for number, one in enumerate(BLOCKS):
        at, y = f"_blocks.{number}", x
        if one.width != one.given:
            y = torch_layer(y, f"{at}._expand_conv", f"{at}._bn0")
        y = torch_layer(y, f"{at}._depthwise_conv", f"{at}._bn1", one.stride, one.width)
        y = torch_layer(y, f"{at}._project_conv", f"{at}._bn2", act=False)
        x = x + y if x.shape == y.shape else y
        seen.append(x)
    seen.append(torch_layer(x, "_conv_head", "_bn1"))
    outputs = seen[-1].mean(dim=(2, 3)) @ STATE["_fc.weight"].T + STATE["_fc.bias"]
    return [one.permute(0, 2, 3, 1).numpy() for one in seen], outputs.numpy()


def shapes_of(first_layer=0, classes=5):
    model = efficientnet_lite0(outputs=classes, first_layer=first_layer)
    like = jnp.zeros((1, 32, 32, efficientnet.channels_before(first_layer)))
    return jax.eval_shape(lambda key: model.init(key, like)[0], jax.random.key(0))


def taken(first_layer=0):
    shapes = shapes_of(first_layer)
    found = from_torch(ARRAYS, names_of(shapes))
    assert [found[name].shape for name in names_of(shapes)] == [leaf.shape for leaf in jax.tree.leaves(shapes)]
    return jax.tree.unflatten(jax.tree.structure(shapes), [found[name] for name in names_of(shapes)])


@pytest.fixture
def published(tmp_path, monkeypatch):
    """Publish the random weights, in a folder of their own and in the cache directory."""
    out = io.BytesIO()
    torch.save(STATE, out, _use_new_zipfile_serialization=False)
    content = out.getvalue()
    file = SETS[NAME].files[0]._replace(sha256=hashlib.sha256(content).hexdigest(), size=len(content))
    monkeypatch.setitem(SETS, NAME, SETS[NAME]._replace(files=(file,)))
    monkeypatch.setenv("DEEPPRINCIPLES_DATA", str(tmp_path))
    monkeypatch.setenv("DEEPPRINCIPLES_OFFLINE", "1")
    path = tmp_path / "efficientnet-lite0" / file.name
    path.parent.mkdir()
    path.write_bytes(content)
    return path


def test_the_network_is_that_of_pytorch_at_an_odd_size_and_from_a_later_layer():
    """Lost: what ImageNet's weights know, by one pad or one order of channels."""
    pictures = np.random.default_rng(0).random((2, 35, 50, 3), dtype=np.float32)
    seen, expected = torch_outputs(pictures)
    outputs, state, activations = jax.jit(
        lambda params, x: efficientnet_lite0(outputs=5).apply(params, {}, x, key=None, train=False)
    )(taken(), pictures)
    assert state == {} and list(activations) == [*map(efficientnet.layer_name, range(HEAD + 1)), "output"]
    for one, found in zip(seen, activations.values(), strict=False):
        np.testing.assert_allclose(found, one, rtol=1e-4, atol=1e-4 * np.abs(one).max())
    np.testing.assert_allclose(outputs, expected, rtol=1e-4, atol=1e-4)
    late = efficientnet_lite0(outputs=5, first_layer=16)
    np.testing.assert_allclose(
        late.apply(taken(16), {}, activations["layer_15"], key=None, train=True)[0], outputs, rtol=1e-4, atol=1e-4
    )


def test_the_published_number_of_weights():
    """Lost: a layer, or batch normalization that is not folded."""
    assert sum(leaf.size for leaf in jax.tree.leaves(shapes_of(classes=1000))) == 4_631_000


def test_drawn_weights_keep_a_signal_and_perturbations_are_added():
    """Lost: training from scratch, and the probes of activation gradients."""
    model = efficientnet_lite0(outputs=4, first_layer=HEAD)
    x = jax.random.normal(jax.random.key(1), (3, 2, 2, 320))
    params, state = model.init(jax.random.key(0), x)
    outputs, _, seen = model.apply(params, state, x, key=None, train=True)
    assert 0.5 < float(jnp.mean(seen["layer_17"] ** 2)) < 1.5 and float(jnp.std(outputs)) > 0.1
    moved = model.apply(params, {"perturbations": {"output": jnp.ones((3, 4))}}, x, key=None, train=True)
    np.testing.assert_allclose(moved[0], outputs + 1, rtol=1e-5)
    assert moved[1] == {} and not jnp.any(params["output"]["bias"])


@pytest.mark.parametrize(("first", "shape", "words"), [
    (0, (1, 31, 40, 3), "32 pixels a side or more; found float32 [B, 31, 40, 3]; enlarge"),
    (0, (1, 32, 32, 1), "pictures in [0, 1], floats [batch, height, width, 3]; found float32 [B, 32, 32, 1]"),
    (15, (1, 2, 2, 320), "maps that layer 15 reads, floats [batch, height, width, 192]"),
    (0, (1, 9), "found float32 [B, 9]"),
])  # fmt: skip
def test_inputs_of_another_form_are_one_line(first, shape, words):
    """A shape error deep in a convolution."""
    with pytest.raises(ValueError, match="efficientnet_lite0: ") as caught:
        efficientnet_lite0(outputs=2, first_layer=first).init(jax.random.key(0), jnp.zeros(shape))
    assert words in str(caught.value)


def test_missing_and_misshapen_layers_are_named():
    """A network half of which was drawn would be called pretrained."""
    broken = {name: array for name, array in ARRAYS.items() if "_blocks.3._bn1" not in name}
    broken["_conv_head.weight"] = np.zeros(3, np.float32)
    broken["_bn0.bias"] = np.zeros(31, np.float32)
    with pytest.raises(IntegrityError) as caught:
        from_torch(broken, names_of(shapes_of()))
    lines = str(caught.value).splitlines()
    assert lines[1] == '"_blocks.3._bn1.weight" is missing; expected the state_dict of EfficientNet-Lite0'
    assert lines[0] == '"_bn0.bias" has shape [31], expected [32]' and len(lines) == 6
    assert lines[-1] == '"_conv_head.weight" has shape [3], expected 2 or 4 axes'


def study(**start):
    rng = np.random.default_rng(0)
    return {
        "data": {"name": "arrays", "inputs": rng.random((60, 1, 1, 320), dtype=np.float32),
                 "targets": np.arange(60) % 3, "standardize": False, "batch_size": 6},
        "model": {"name": NAME, "first_layer": HEAD, "start": {"match": "layer_*", **start}},
        "loss": "softmax_cross_entropy", "optimizer": {"name": "sgd", "learning_rate": 0.1},
        "groups": {"trunk": {"match": "layer_*"}}, "train": {"steps": 2, "probes": []},
        "study": {"seeds": 2, "keep": 1},
    }  # fmt: skip


def test_published_weights_are_where_training_begins(published, tmp_path):
    """Lost: pretraining, or frozen layers that move."""
    arms = {"frozen": {"groups.trunk.learning_rate": 0.0}, "slow": {"groups.trunk.learning_rate": 0.1}, "full": {}}
    run = dp.compare({**study(pretrained=NAME), "arms": arms}, tmp_path / "run")
    expected = from_torch(ARRAYS, ["layer_17/convolution/kernel"])["layer_17/convolution/kernel"]
    moved = [np.abs(run.model(arm, 0)[1]["layer_17"]["convolution"]["kernel"] - expected).max() for arm in arms]
    assert moved[0] == 0 < moved[1] < moved[2]


def test_a_file_of_torch_save_with_missing_layers_is_refused(tmp_path):
    """Half of a network would be drawn in silence."""
    torch.save({name: one for name, one in STATE.items() if name != "_bn1.bias"}, tmp_path / "a.pth")
    with pytest.raises(DataError) as caught:
        resolve("train", study(path=str(tmp_path / "a.pth")))
    assert str(caught.value) == (
        f'model.start: {tmp_path / "a.pth"}: "_bn1.bias" is missing; expected the state_dict of EfficientNet-Lite0'
    )


def test_another_hash_is_refused(published):
    """Weights that somebody changed would be taken for the published ones."""
    published.write_bytes(published.read_bytes()[:-1] + b"x")
    for call in (lambda: resolve("train", study(pretrained=NAME)), lambda: trunk_features(of=pictures())):
        with pytest.raises(DataError, match=r"efficientnet-lite0-57934424\.pth: .* SHA-256 .*, expected ") as caught:
            call()
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("start", "words"), [
    ({}, "model.start: found neither path and pretrained; give one of them"),
    ({"path": "a", "pretrained": NAME}, "model.start: found both path and pretrained; give one of them"),
    ({"pretrained": "efficientnet"}, 'model.start.pretrained: found "efficientnet"; expected efficientnet_lite0; did'),
])  # fmt: skip
def test_a_start_says_where_its_weights_are(start, words):
    """A file called "" would be looked for."""
    with pytest.raises(ConfigError) as caught:
        resolve("train", study(**start))
    assert str(caught.value).startswith(words)


def pictures(count=70, channels=3):
    inputs = np.random.default_rng(1).integers(0, 256, (count, 32, 32, channels)).astype(np.uint8)
    return Source(inputs, np.arange(count) % 2, "classification", 2, class_names=("a", "b"))


def test_features_are_what_the_first_layers_give(published):
    """Lost: a tail that reads other maps than those its layers were trained on."""
    source = trunk_features(of=pictures(), first_layer=2, size=32)
    expected = torch_outputs(pictures().inputs.astype(np.float32) / 255)[0][1]
    np.testing.assert_allclose(source.inputs, expected, rtol=1e-3, atol=1e-4 * np.abs(expected).max())
    assert not source.standardize and source.class_names == ("a", "b") and len(source.targets) == 70


def test_a_config_names_the_set_inside(published):
    """Lost: features of any set but those given from Python."""
    config = {"name": "trunk_features", "first_layer": 1, "size": 32, "batch_size": 4, "train_size": 10}
    whole = {**study(pretrained=NAME), "data": {**config, "of": {"name": "digits", "labels": [3, 7]}}}
    plan = resolve("train", {**whole, "model": {"name": "cnn"}, "groups": {}})
    data = from_config.dataset(plan.arms["run"].config)
    assert data.train.inputs.shape == (10, 16, 16, 32) and data.outputs == 2 and data.class_names == ("3", "7")
    with pytest.raises(ConfigError, match=r"data\.of\.train_size: unknown key"):
        resolve("train", {**whole, "data": {**config, "of": {"name": "digits", "train_size": 3}}})


@pytest.mark.parametrize(("inputs", "words"), [
    (np.zeros((4, 8), np.float32), "data.of.inputs: found an array of shape [4, 8]"),
    (np.full((4, 8, 8, 3), 2.0), "data.of.inputs: found values from 2 to 2, expected uint8 or [0, 1]"),
    (np.full((4, 8, 8, 3), np.nan), "data.of.inputs: found values from nan to nan"),
])  # fmt: skip
def test_what_is_no_picture_is_one_line(published, inputs, words):
    """Features of numbers at another scale mean nothing."""
    with pytest.raises(DataError) as caught:
        trunk_features(of=pictures()._replace(inputs=inputs))
    assert words in str(caught.value)
    with pytest.raises(DataError, match=r"data\.of: found a stream, tokens or a tree"):
        trunk_features(of=pictures()._replace(vocabulary=9))


def test_a_mean_of_all_rows_does_not_depend_on_the_padding(published):
    """Lost: the last pictures of a set."""
    params = trunk.pretrained(published.parent, 1)
    some = pictures(3).inputs.astype(np.float32) / 255
    many = np.concatenate([some, np.ones((trunk.ROWS, 32, 32, 3), np.float32)])
    np.testing.assert_allclose(
        trunk.maps_of(many, params, 32)[:3], trunk.maps_of(some, params, 32), rtol=1e-4, atol=1e-5
    )
