"""Folders of the user's own pictures: labels by folder, masks by name, and one line for what is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from deepprinciples.errors import DataError
from deepprinciples.parts.data import TABLE, prepare
from deepprinciples.parts.splitting.held_out import TestSet as Further

folder = TABLE["folder"]
RED = np.tile(np.array([200, 0, 0], np.uint8), (12, 10, 1))


def refusal(call, *args, **kwargs) -> str:
    """Give the message of the error, which has to be one line."""
    with pytest.raises(DataError) as caught:
        call(*args, **kwargs)
    message = str(caught.value)
    assert "\n" not in message and len(message) < 500, message
    return message


def save(path: Path, array=RED, mode: str | None = None, **options) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(array)
    (image.convert(mode) if mode else image).save(path, **options)
    return path


@pytest.fixture
def classes(tmp_path):
    for i in range(6):
        save(tmp_path / "b" / f"p{i // 2}_{i}.png", RED // (i + 1))
        save(tmp_path / "a" / f"q{i}.JPG", RED[..., ::-1])
    return tmp_path


def test_each_folder_is_a_class(classes):
    """Lost: labels that do not fit the pictures."""
    (classes / "a" / "notes.txt").write_text("mine")
    (classes / "a" / ".hidden.png").write_text("")
    source = folder(path=str(classes), size=8)
    assert source.inputs.shape == (12, 8, 8, 3) and source.inputs.dtype == np.uint8
    assert source.targets.tolist() == [0] * 6 + [1] * 6 and source.class_names == ("a", "b")
    assert [one.argmax() for one in source.inputs[:, 3, 3]] == [2] * 6 + [0] * 6
    assert source.inputs[6:, 0, 0, 0].tolist() == [200 // (i + 1) for i in range(6)]
    assert len(source.notes) == 1 and "1 file left out as no picture, first notes.txt" in source.notes[0]
    assert folder(path=str(classes), size=8, color=False).inputs.shape == (12, 8, 8, 1)
    data = prepare(source, batch_size=4, test_sets={"same": Further(source, "all")})
    assert data.outputs == 2 and data.test_sets["same"].size == 12


def test_pictures_that_belong_together_have_a_group(classes):
    """Lost: two pictures of one person in training and test."""
    numbers = folder(path=str(classes), together="_").groups
    assert len(set(numbers)) == 9 and numbers[6] == numbers[7] != numbers[8]


def test_transparency_is_put_on_white_and_a_camera_may_be_turned(tmp_path):
    """Lost: black grounds that a network learns from, and pictures on their side."""
    clear = np.dstack([RED, np.full((12, 10), 51, np.uint8)])
    save(tmp_path / "a" / "clear.png", clear)
    upright = np.zeros((10, 10), np.uint8)
    upright[:5] = 250  # light above
    turned = Image.fromarray(np.rot90(upright))
    exif = turned.getexif()
    exif[0x0112] = 6
    (tmp_path / "b").mkdir()
    turned.save(tmp_path / "b" / "turned.png", exif=exif)
    source = folder(path=str(tmp_path), size=10)
    assert source.inputs[0, 2, 2].tolist() == [244, 204, 204]
    assert source.inputs[1, 1].min() > 200 and source.inputs[1, 8].max() < 50


def several(path: Path) -> Path:
    path.parent.mkdir(exist_ok=True)
    frames = [Image.fromarray(RED // (i + 1)) for i in range(3)]
    frames[0].save(path, save_all=True, append_images=frames[1:])
    return path


def cut_off(path: Path) -> Path:
    content = save(path, np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8)).read_bytes()
    path.write_bytes(content[: len(content) // 2])
    return path


def text(path: Path) -> Path:
    path.write_text("<html>")
    return path


@pytest.mark.parametrize(
    ("name", "write", "message"),
    [
        ("x.png", text, "cannot be read as a picture"),
        ("x.png", cut_off, "cannot be read as a picture"),
        ("x.png", lambda path: save(path, np.full((5, 5), 999, np.uint16)), "16 bits or more"),
        ("x.tif", lambda path: save(path, np.ones((5, 5), np.float32)), "16 bits or more"),
        ("x.jpg", lambda path: save(path, mode="CMYK"), "has the colors CMYK"),
        ("x.gif", several, "has 3 frames"),
        ("x.webp", several, "has 3 frames"),
    ],
)
def test_what_is_not_as_it_looks_is_refused(classes, name, write, message):
    """Lost: 16 bits cut to 8, CMYK colors turned around, or the first frame of a film, all without a word."""
    path = write(classes / "b" / name)
    said = refusal(folder, path=str(classes))
    assert said.startswith(f"{path}: ") and message in said


def test_folders_that_are_no_classes_are_refused(tmp_path):
    """Lost: a study in which nothing can be learned."""
    assert "data.path:" in refusal(folder, path=str(tmp_path / "none"))
    assert "found no folder" in refusal(folder, path=str(tmp_path))
    save(tmp_path / "only" / "x.png")
    assert "found only the class only, expected" in refusal(folder, path=str(tmp_path))
    (tmp_path / "empty").mkdir()
    assert f"{tmp_path / 'empty'}: found no picture" in refusal(folder, path=str(tmp_path))


def test_a_picture_larger_than_pillow_trusts_is_refused(classes, monkeypatch):
    """Lost: a small file that fills the memory."""
    for limit in (100, 10):
        monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", limit)
        assert "is too large" in refusal(folder, path=str(classes))


# --- masks -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def masked(tmp_path):
    """Six pictures of 12 x 10 pixels with a mask of 0, 7 and 255."""
    mask = np.zeros((12, 10), np.uint8)
    mask[:6], mask[:, 0] = 7, 255
    for i in range(6):
        save(tmp_path / "pictures" / f"{i}.jpg", RED)
        save(tmp_path / "masks" / f"{i}.png", mask)
    return {"path": str(tmp_path / "pictures"), "masks": str(tmp_path / "masks"), "size": 12}


def test_masks_are_found_by_name_and_keep_their_values(masked):
    """Lost: classes that shrinking has mixed, or a mask of another picture."""
    source = folder(**masked, mask_values=(0, 7), ignored=255)
    assert source.inputs.shape == (6, 12, 12, 3) and source.targets.shape == (6, 12, 12)
    expected = np.zeros((12, 12), int)
    expected[:6], expected[:, 0] = 1, -1
    np.testing.assert_array_equal(source.targets[0], expected)
    data = prepare(source, batch_size=2)
    assert (data.outputs, data.task) == (2, "classification")
    palette = Image.fromarray(np.full((12, 10), 7, np.uint8))
    palette.putpalette(list(range(256)) * 3)
    palette.save(Path(masked["masks"]) / "0.png")
    assert (folder(**masked, mask_values=(0, 7), ignored=255).targets[0] == 1).all()


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros((10, 10), np.uint8), "found a mask of 10 x 10 pixels, expected 10 x 12"),
        (np.full((12, 10), 8, np.uint8), "found the value 8, expected one of [0, 7]"),
        (np.zeros((12, 10), np.uint16), "16 bits or more"),
        (RED, "has the colors RGB"),
    ],
)
def test_masks_that_do_not_fit_are_refused(masked, array, message):
    """Lost: pixels with the label of their neighbors, or of no class."""
    path = save(Path(masked["masks"]) / "3.png", array)
    said = refusal(folder, **masked, mask_values=(0, 7), ignored=255)
    assert said.startswith(f"{path}: ") and message in said


def test_a_missing_mask_and_wrong_values_are_refused(masked):
    """Lost: pictures that count as empty ones."""
    assert "found the value 7, expected one of [0, 255]" in refusal(folder, **masked)
    for values in ((0,), (0, 0), (0, 300), (0, 255)):
        assert "data.mask_values" in refusal(folder, **masked, mask_values=values, ignored=255)
    (Path(masked["masks"]) / "4.png").unlink()
    assert "has no mask 4" in refusal(folder, **masked, mask_values=(0, 7), ignored=255)
