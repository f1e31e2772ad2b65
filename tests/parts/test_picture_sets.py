"""Real pictures on tiny stand-ins of their files: targets by hand, and parts that share nothing."""

from __future__ import annotations

import io
import json
import struct

import numpy as np
import pytest
from PIL import Image

from deepprinciples.errors import DataError
from deepprinciples.parts.data import TABLE, Source, prepare
from deepprinciples.parts.fetched import brain, emoji_set, picture_sets
from deepprinciples.parts.fetched.published import SETS
from deepprinciples.parts.splitting import drawing
from deepprinciples.parts.splitting.held_out import TestSet as Further
from deepprinciples.parts.tables import TABLES
from deepprinciples.types import Split


def refusal(call, *args, **kwargs) -> str:
    """Give the message of the error, which has to be one line."""
    with pytest.raises(DataError) as caught:
        call(*args, **kwargs)
    message = str(caught.value)
    assert "\n" not in message and len(message) < 600, message
    return message


def picture(array: np.ndarray, kind: str = "PNG") -> bytes:
    file = io.BytesIO()
    Image.fromarray(array).save(file, kind)
    return file.getvalue()


# --- nuclei ----------------------------------------------------------------------------------------------------------


def test_ground_body_and_edge_by_hand():
    """Lost: the classes on the card; touching nuclei would flow together."""
    instances = np.array([[0, 0, 0, 0, 0, 0], [0, 3, 3, 3, 5, 5], [0, 3, 3, 3, 5, 5], [0, 3, 3, 3, 5, 5]])
    expected = [[0, 0, 0, 0, 0, 0], [0, 2, 2, 2, 2, 2], [0, 2, 1, 2, 2, 1], [0, 2, 1, 2, 2, 1]]
    assert picture_sets.ground_body_edge(instances, 1).tolist() == expected
    assert (picture_sets.ground_body_edge(instances, 2)[1:, 1:] == 2).all()


def test_nuclei_share_no_pixel_and_no_nucleus_between_parts(publish):
    """Lost: pixels of the test part are trained on."""
    column = np.arange(512)
    instances = np.zeros((512, 512), np.uint16)
    instances[100:120, 10:30], instances[200:240, 260:290], instances[200:240, 400:440] = 1, 2, 3
    tif = lambda array: picture(array.astype(np.uint16), "TIFF")
    path = publish("nuclei", picture=tif(np.tile(column // 2, (512, 1))), mask=tif(instances))
    source = picture_sets.nuclei(path=path)
    parts = [Split(source.inputs, source.targets), source.validation, source.test]
    assert [part.inputs.shape for part in parts] == [(n, 48, 48, 1) for n in (450, 20, 30)]
    seen = [np.unique((part.inputs * 255).round()) for part in parts]
    assert [(int(one.min() * 2), int(one.max() * 2 + 1)) for one in seen] == [(0, 271), (272, 367), (368, 511)]
    found = [set(np.unique(part.targets).tolist()) for part in parts]
    assert found == [{0, 1, 2}, {-1, 0}, {0, 1, 2}], "nucleus 2 begins in the training part"
    made = prepare(source)
    assert made.outputs == 3 and made.class_names == ("ground", "body", "edge")
    assert len(picture_sets.nuclei(path=path, stride=48).inputs) == 10 * 5


# --- emoji -----------------------------------------------------------------------------------------------------------


def sheet_of(colors: list[tuple[int, ...]]) -> np.ndarray:
    """A sheet of one row: a tile of each color with its margin."""
    sheet = np.zeros((34, 34 * len(colors), 4), np.uint8)
    for i, color in enumerate(colors):
        sheet[1:33, 34 * i + 1 : 34 * i + 33] = color
    return sheet


@pytest.fixture
def emoji(publish):
    """40 emoji: flags by twos look the same in Twitter's style, and runners are a man and a woman."""
    table, google, twitter = [], [], []
    for i in range(40):
        flag = i % 2
        unified = f"1F1E{i}" if flag else ("1F3C3-200D-2640-FE0F" if i == 2 else "1F3C3" if i == 0 else f"1F4{i:02}")
        names = {"category": "Flags", "subcategory": "country-flag"} if flag else {"category": "People & Body"}
        table.append({"unified": unified, "sheet_x": i, "sheet_y": 0, "subcategory": "person", **names})
        google.append((i, 0, 0, 255))
        twitter.append((0, i // 4 if flag else 100 + i, 0, 255))
    table[4]["subcategory"] = "family"
    table[6]["category"] = "Component"
    google[1] = (0, 0, 0, 0)
    sheets = {"google": picture(sheet_of(google)), "twitter": picture(sheet_of(twitter))}
    return publish("emoji", table=json.dumps(table).encode(), **sheets)


def test_emoji_are_cut_out_of_the_sheet_and_put_on_white(emoji):
    """Lost: pictures that are shifted against their labels."""
    source = emoji_set.emoji(path=emoji)
    assert source.inputs.shape == (38, 32, 32, 3) and source.inputs.dtype == np.uint8
    kept = [i for i in range(40) if i not in (4, 6)]
    red = [255 if i == 1 else i for i in kept]
    assert (source.inputs[..., 0] == np.array(red)[:, None, None]).all()
    assert (source.inputs[1] == 255).all()
    assert source.targets.tolist() == [8 if i % 2 else 1 for i in kept]
    assert 'data.style: found "apple"' in refusal(emoji_set.emoji, path=emoji, style="apple")


def test_half_transparent_pixels_are_mixed_with_white():
    """Lost: dark edges around every drawing."""
    sheet = sheet_of([(102, 0, 255, 51)])
    out = emoji_set.tiles(sheet, [{"sheet_x": 0, "sheet_y": 0}])
    assert out[0, 0, 0].tolist() == [224, 204, 255]  # 0.2 c + 0.8 * 255
    sheet = sheet_of([(10, 0, 0, 200)])
    assert emoji_set.tiles(sheet, [{"sheet_x": 0, "sheet_y": 0}])[0, 0, 0, 0] == 63  # 62.84
    assert "transparency" in refusal(emoji_set.tiles, sheet[..., :3], [])


def test_an_emoji_stands_in_one_part_in_both_styles(emoji):
    """Lost: the shifted test set shows what was trained on, in another drawing."""
    made = emoji_set.emoji(path=emoji), emoji_set.emoji(path=emoji, style="twitter")
    numbers = made[0].groups
    assert (numbers == made[1].groups).all()
    assert numbers[0] == numbers[2], "a runner and the woman running"
    assert numbers[1] == numbers[3] and len(set(numbers)) == 38 - 1 - 10, "two flags of one design"
    for seed in range(5):
        data = prepare(
            made[0], batch_size=4, split_seed=seed, standardize=False, test_sets={"twitter": Further(made[1])}
        )
        parts = {"train": data.train, "validation": data.validation, "test": data.test}
        red = {name: set((part.inputs[:, 5, 5, 0] * 255).round()) for name, part in parts.items()}
        rows = {name: np.flatnonzero(np.isin(made[0].inputs[:, 5, 5, 0], list(one))) for name, one in red.items()}
        assert sorted(np.concatenate(list(rows.values()))) == list(range(38))
        group_of = {name: set(numbers[one]) for name, one in rows.items()}
        assert not group_of["train"] & group_of["test"] and not group_of["train"] & group_of["validation"]
        shifted = data.test_sets["twitter"]
        assert (shifted.inputs * 255).round().astype(int).tolist() == made[1].inputs[rows["test"]].tolist()
        assert (shifted.targets == data.test.targets).all()


# --- groups ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("labels", [True, False])
def test_a_group_stays_in_one_part_and_parts_keep_their_size(labels):
    """Lost: pictures of one person on both sides of the split."""
    numbers = np.repeat(np.arange(60), np.arange(60) % 5 + 1)
    inputs = np.arange(len(numbers), dtype=np.float32)[:, None]
    targets, task = (numbers % 3, "classification") if labels else (inputs, "regression")
    source = Source(inputs, targets, task, groups=numbers)
    for seed in range(5):
        data = prepare(source, batch_size=4, split_seed=seed, standardize=False)
        parts = [numbers[part.inputs[:, 0].astype(int)] for part in (data.train, data.validation, data.test)]
        assert sum(map(len, parts)) == len(numbers)
        assert sum(len(set(part)) for part in parts) == 60
        assert all(abs(len(part) - 36) <= 3 for part in parts[1:])
        if labels:
            shares = [np.bincount(part % 3, minlength=3) / len(part) for part in parts]
            assert all(abs(one - 1 / 3).max() < 0.15 for one in shares), shares
    small = prepare(source, batch_size=4, train_size=12, standardize=False)
    assert small.train.size == 12
    if labels:
        assert np.bincount(small.train.targets).tolist() == [4, 4, 4]
    assert (small.test.inputs == prepare(source, batch_size=4, standardize=False).test.inputs).all()


def test_too_few_groups_are_one_line():
    """Lost: an empty part, found by a division by zero."""
    source = Source(np.arange(20.0)[:, None], np.arange(20) % 2, "classification", groups=np.arange(20) // 10)
    assert "data.validation: 2 groups of examples" in refusal(prepare, source, batch_size=4)


# --- faces and the brain ---------------------------------------------------------------------------------------------


def test_faces_come_first_in_the_file(publish):
    """Lost: labels the wrong way round, which no accuracy near 1/2 would show."""
    file = io.BytesIO()
    np.save(file, np.concatenate([np.ones((3, 25, 25)), np.zeros((3, 25, 25))]))
    source = picture_sets.lfw_subset(path=publish("lfw_subset", pictures=file.getvalue()))
    assert source.inputs.shape == (6, 25, 25, 1)
    assert (source.inputs[:, 0, 0, 0] == source.targets).all() and source.class_names[1] == "face"


def nifti(volume: np.ndarray, kind: int = 2) -> bytes:
    header = bytearray(352)
    header[:4] = struct.pack("<i", 348)
    header[40:48] = struct.pack("<4h", 3, *volume.shape)
    header[70:72] = struct.pack("<h", kind)
    header[108:112] = struct.pack("<f", 352)
    header[344:348] = b"n+1\0"
    return bytes(header) + volume.tobytes(order="F")


def test_volumes_are_read_as_nibabel_reads_them():
    """Lost: axes in another order: slices of the brain from the side."""
    volume = np.arange(24, dtype=np.uint8).reshape(2, 3, 4)
    np.testing.assert_array_equal(brain.volume_of(nifti(volume)), volume)
    assert "found type 4" in refusal(brain.volume_of, nifti(volume, 4))
    assert "no NIfTI-1 file" in refusal(brain.volume_of, b"\0" * 400)
    assert "expected bytes in 3" in refusal(brain.volume_of, nifti(volume)[:-1])


def test_brain_slices_have_their_tissue_and_blocks_are_apart(publish):
    """Lost: neighboring slices, which look alike, in training and test."""
    shape = (196, 228, 100)
    t1 = np.broadcast_to(np.arange(100, dtype=np.uint8), shape)
    gray, white = np.zeros(shape, np.uint8), np.zeros(shape, np.uint8)
    gray[50:100, 50:100, 10:90], white[100:150, 50:100, 10:90] = 200, 130
    white[50:60, 200:210, :] = 255  # at the front: above in the pictures; too little to count as tissue
    path = publish("brain_tissue", t1=nifti(t1), gm=nifti(gray), wm=nifti(white))
    source = picture_sets.brain_tissue(path=path)
    places = (source.inputs[:, 0, 0, 0] * 255).round().astype(int)
    assert places.tolist() == [z for z in range(10, 90) if (z - 10) % 16 < 12]
    assert (source.groups == (places - 10) // 16).all()
    assert source.inputs.shape[1:] == (56, 48, 1) and source.targets.shape[1:] == (56, 48)
    rows, columns = np.nonzero(source.targets[0] == 1)
    assert rows.min() == 32 and rows.max() == 43 and columns.min() == 12 and columns.max() == 24
    assert (source.targets[0][33, 24:26] == [1, 2]).all(), "the largest share of a pixel that three of them share"
    assert (source.targets[0][:12] == 2).any(), "the front is above"
    assert prepare(source, batch_size=4).outputs == 3
    assert picture_sets.brain_tissue(path=path, shrink=8, gap=0).inputs.shape == (80, 28, 24, 1)
    for bad in ({"shrink": 3}, {"block": 0}):
        assert f"data.{next(iter(bad))}: found" in refusal(picture_sets.brain_tissue, path=path, **bad)


# --- all -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(picture_sets.TABLE))
def test_a_card_names_source_and_license(name):
    """Lost: a user ships pictures that are not theirs to ship; or a key of [data] means two things."""
    text = " ".join(picture_sets.TABLE[name].__doc__.split())
    assert "Source: " in text and "License: " in text
    assert TABLES["data"][name] is picture_sets.TABLE[name] and name not in TABLE and name in SETS


def test_examples_are_drawn_from_labels_and_from_outputs():
    """Lost: the pictures of a report, or a mask of outputs that is not that of their largest."""
    from matplotlib.figure import Figure

    axes = Figure().subplots()
    labels = np.array([[0, 1], [2, -1]])
    for outputs in (labels, np.eye(3)[labels]):
        axes.clear()
        drawing.labels_over_picture(axes, np.zeros((2, 2, 1)), outputs)
        clear = np.asarray(axes.images[1].get_array())[..., 3] == 0
        assert clear[0].tolist() == [True, False]
    axes.clear()
    drawing.picture(axes, np.array([[[-1.0, 0, 3]]]), 4)
    np.testing.assert_allclose(axes.images[0].get_array(), [[[0, 0.25, 1]]])
