"""Emoji in two drawing styles, cut so that no drawing stands on both sides of a split; fetched as published.py says."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np

from deepprinciples.errors import DataError
from deepprinciples.parts.fetched import fetching
from deepprinciples.parts.files.image_files import read_picture
from deepprinciples.parts.splitting.drawing import picture
from deepprinciples.parts.splitting.sources import Source

CATEGORIES = (
    "Smileys & Emotion",
    "People & Body",
    "Animals & Nature",
    "Food & Drink",
    "Travel & Places",
    "Activities",
    "Objects",
    "Symbols",
    "Flags",
)
SIDE, CELL = 32, 34  # a tile, and the tile with its margin of one pixel
# Code points that tell variants of one drawing apart: man, woman, person, their signs, joiner, variation selector.
VARIANTS = {"1F468", "1F469", "1F9D1", "2640", "2642", "200D", "FE0F"}


def emoji(*, style: Literal["google", "twitter"] = "google", path: str = "", download: bool = True) -> Source:
    """Load 1869 emoji of 32 x 32 pixels in 9 categories, in the drawing style of Google or of Twitter, on white.

    Both styles have the same emoji in the same order, and parts are cut alike: with `test_sets.twitter = {name =
    "emoji", style = "twitter"}` a network trained on Google's drawings is also tested on Twitter's drawings of the
    emoji held out. What differs little stays on one side of the cut: a man, a woman and a person of one kind, flags of
    one design. Colors are divided by 255. Skin tones are left out, and so are couples and families, of which Twitter
    draws many alike. Source: Google Noto Emoji, Twitter Twemoji,
    as the package emoji-datasource ships them. License: Apache-2.0 (Google), CC-BY-4.0 (Twitter).

    Args:
      style: whose drawings.
      path: folder with emoji.json, google-32.png and twitter-32.png; "" looks in the usual places.
      download: fetch the set (12 MB, into the cache directory) where no folder has it.

    Returns:
      Source with inputs [1869, 32, 32, 3] in [0, 1] and targets [1869] (85 to 349 of each class).

    Raises:
      DataError: if the set is not found, or a file's content is not that of the published set.

    References: Unicode Technical Standard 51.
    """
    if style not in ("google", "twitter"):
        raise DataError(f'data.style: found "{style}", expected "google" or "twitter"')
    folder = fetching.get("emoji", path, download)
    table = [one for one in json.loads((folder / "emoji.json").read_bytes()) if _kept(one)]
    drawn = {name: tiles(read_picture(folder / f"{name}-32.png"), table) for name in ("google", "twitter")}
    return Source(
        drawn[style],
        np.array([CATEGORIES.index(one["category"]) for one in table]),
        "classification",
        len(CATEGORIES),
        class_names=CATEGORIES,
        groups=groups(table, tuple(drawn.values())),
        display=picture,
    )


def _kept(one: Mapping[str, Any]) -> bool:
    return one["category"] in CATEGORIES and one["subcategory"] != "family"


def tiles(sheet: np.ndarray, table: Sequence[Mapping[str, Any]]) -> np.ndarray:
    """Cut the pictures [N, 32, 32, 3] out of a sheet [H, W, 4], and put them on white."""
    if sheet.ndim != 3 or sheet.shape[-1] != 4:
        raise DataError("data.emoji: the sheet has no transparency, expected one with 4 channels")
    starts = [(CELL * one["sheet_y"] + 1, CELL * one["sheet_x"] + 1) for one in table]
    cut = np.stack([sheet[y : y + SIDE, x : x + SIDE] for y, x in starts]).astype(np.uint16)
    color, opaque = cut[..., :3], cut[..., 3:]
    return ((color * opaque + 255 * (255 - opaque) + 127) // 255).astype(np.uint8)


def groups(table: Sequence[Mapping[str, Any]], drawn: Sequence[np.ndarray]) -> np.ndarray:
    """Number the emoji [N] so that variants of one drawing, and those that look the same in a style, share a number."""
    keys: list[list[Any]] = [[_base(one)] for one in table]
    for style, pictures in enumerate(drawn):
        for key, one in zip(keys, pictures, strict=True):
            key.append((style, one.tobytes()))
    leader: dict[Any, Any] = {}

    def find(key: Any) -> Any:
        while leader.setdefault(key, key) != key:
            key = leader[key]
        return key

    for first, *others in keys:
        for other in others:
            leader[find(other)] = find(first)
    numbers: dict[Any, int] = {}
    return np.array([numbers.setdefault(find(key[0]), len(numbers)) for key in keys])


def _base(one: Mapping[str, Any]) -> Any:
    """Return what the variants of an emoji have in common."""
    points = one["unified"].split("-")
    return tuple(point for point in points if point not in VARIANTS) or tuple(points[:1])
