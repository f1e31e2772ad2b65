"""Style transfer both ways: compiling takes up to a minute, so `make long` runs it, `make test` does not."""

from __future__ import annotations

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image
from test_experiments import script
from test_style_transfer import TOY, losses

from deepprinciples.domains.transfer import efficientnet, trunk
from deepprinciples.parts.fetched import fetching


def test_a_network_paints_own_pictures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Else training learns nothing, a portrait comes out as a landscape, or gray and alpha are refused."""
    values = np.random.default_rng(0).integers(0, 255, (60, 40, 4), np.uint8)
    Image.fromarray(values).save(tmp_path / "my tall picture.png")
    Image.fromarray(values[..., 0] // 2).save(tmp_path / "gray.jpg")
    monkeypatch.chdir(tmp_path)
    changes = ("content=my tall picture.png", "style=gray.jpg", "way=feed_forward", "steps=40")
    assert script("style_transfer").main(*TOY, *changes) == Path("runs/style_transfer-1.png")
    reports = losses(capsys.readouterr().out, "feed_forward: step")
    assert len(reports) == 5 and reports[-1] < reports[0]
    with Image.open("runs/style_transfer-1.png") as picture:
        assert picture.size == (21, 32)


def test_the_photograph_is_painted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Else the user waits for nothing, or gets the picture that was given."""
    out = tmp_path / "out.png"
    assert script("style_transfer").main(*TOY, "steps=15", f"out={out}") == out
    printed = capsys.readouterr().out
    (content,), (recolored,), (painted,) = (losses(printed, name) for name in ("content", "recolored", "painted"))
    assert painted < recolored < content
    assert "optimize: step 15 of 15, loss " in printed and f"Picture: {out}\nTime: " in printed
    with Image.open(out) as picture:
        assert picture.format == "PNG" and picture.size == (32, 21) and np.asarray(picture).std() > 1
    assert list(tmp_path.iterdir()) == [out]


def test_pretrained_features_paint_without_training_any(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Else the option is refused, or features are trained beside the pretrained ones."""
    drawn = efficientnet.efficientnet_lite0(outputs=1).init(jax.random.key(0), jnp.zeros((1, 32, 32, 3)))[0]
    monkeypatch.setattr(fetching, "get", lambda name, path, download: tmp_path)
    monkeypatch.setattr(trunk, "pretrained", lambda folder, layers: {k: drawn[k] for k in sorted(drawn)[:layers]})
    out = tmp_path / "out.png"
    changes = ("features=efficientnet_lite0", "steps=10", f"out={out}")
    assert script("style_transfer").main(*TOY, *changes) == out
    printed = capsys.readouterr().out
    (recolored,), (painted,) = (losses(printed, name) for name in ("recolored", "painted"))
    assert painted < recolored and "features: " not in printed
