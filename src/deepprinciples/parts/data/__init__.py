"""Data: where examples come from, and how they become three fixed parts.

A factory returns a `Source`, `prepare` makes a `Dataset` of it; the data section of a config takes the arguments of
both. Everything here runs on the host with NumPy, before anything is compiled: no JAX, no models, no training.

`TABLE` lists the factories by name. They are in bundled (small real sets), mnist1d and synthetic (generated), fashion
(looked for or fetched), own, collected, from_files and picture_folder (the user's).
"""

from __future__ import annotations

from deepprinciples.parts.data.bundled import breast_cancer, diabetes, digits, wine
from deepprinciples.parts.data.collected import dataset
from deepprinciples.parts.data.fashion import fashion_mnist
from deepprinciples.parts.data.from_files import csv, idx, npz
from deepprinciples.parts.data.mnist1d import mnist_1d
from deepprinciples.parts.data.own import arrays, examples, stream
from deepprinciples.parts.data.picture_folder import folder
from deepprinciples.parts.data.synthetic import adding, chebyshev, copy_memory, gaussian_grid, gaussian_ring, teacher
from deepprinciples.parts.splitting.sources import Source
from deepprinciples.parts.splitting.split import prepare

__all__ = ["TABLE", "Source", "prepare"]

TABLE = {
    f.__name__: f
    for f in (
        digits,
        breast_cancer,
        wine,
        diabetes,
        mnist_1d,
        fashion_mnist,
        adding,
        chebyshev,
        copy_memory,
        teacher,
        gaussian_ring,
        gaussian_grid,
        arrays,
        examples,
        dataset,
        npz,
        csv,
        idx,
        folder,
        stream,
    )
}
