"""A page of examples of every set of pictures, as its `display` draws them. `make contact-sheets` writes them.

python -m deepprinciples.cli.contact_sheets FOLDER
"""

from __future__ import annotations

import io
import sys
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from PIL import Image

from deepprinciples.errors import DataError
from deepprinciples.parts.fetched.published import SETS
from deepprinciples.parts.splitting.split import prepare
from deepprinciples.parts.tables import TABLES

ROWS, COLUMNS = 5, 12
COLORS = 128  # of a file, which stays small
# Not lfw_subset: its photographs have no license that allows to show them here.
SHEETS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("nuclei", {}),
    ("emoji", {"style": "google"}),
    ("emoji", {"style": "twitter"}),
    ("brain_tissue", {}),
    ("fashion_mnist", {}),
)


def sheet(name: str, options: dict[str, Any]) -> Figure:
    """Draw test examples of a set: pictures under their class, or each picture without and with its mask."""
    data = prepare(TABLES["data"][name](**options), standardize=False, batch_size=1)
    masks = data.test.targets.ndim > 1
    figure = Figure(figsize=(COLUMNS * 0.62, ROWS * 0.75))
    shown = np.linspace(0, data.test.size - 1, ROWS * COLUMNS // (1 + masks)).round().astype(int)
    for place, axes in enumerate(figure.subplots(ROWS, COLUMNS).ravel()):
        number = shown[place // (1 + masks)]
        target = data.test.targets[number]
        assert data.display is not None
        data.display(axes, data.test.inputs[number], target if not masks or place % 2 else None)
        if not masks:
            axes.set_title(data.class_names[int(target)][:10], fontsize=5, pad=2)
    one = SETS[name]
    figure.text(0.005, 0.015, f"{one.source}. {one.license}", fontsize=5)
    figure.subplots_adjust(0.005, 0.05, 0.995, 0.95, wspace=0.06, hspace=0.06 if masks else 0.25)
    return figure


def write(folder: Path) -> list[str]:
    """Write data_NAME.png for each set that is here or can be fetched; return a line about each."""
    said = []
    for name, options in SHEETS:
        path = folder / f"data_{'_'.join([name, *map(str, options.values())])}.png"
        try:
            drawn = io.BytesIO()
            sheet(name, options).savefig(drawn, dpi=100)
            Image.open(drawn).convert("RGB").quantize(COLORS).save(path, optimize=True)
        except DataError as error:
            said.append(f"no {path.name}: {error}")
            continue
        said.append(f"{path} ({path.stat().st_size / 1e3:.0f} kB)")
    return said


if __name__ == "__main__":
    print("\n".join(write(Path(sys.argv[1]))))
