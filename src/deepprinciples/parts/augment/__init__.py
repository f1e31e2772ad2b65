"""Augmentation: what is done to a training batch, and to nothing at evaluation.

Factories return `BatchTransform(apply(key, batch) -> batch)`; they are applied in the order of the table. What moves
pictures lies in `geometric`, what changes their values in `photometric`, what chooses among these in `policies`, what
mixes examples or works on any inputs in `mixing`.
"""

from __future__ import annotations

from deepprinciples.parts.augment.geometric import affine, flip, rotate, shear, shift, zoom
from deepprinciples.parts.augment.mixing import cutmix, dropout, input_noise, label_smoothing, mixup
from deepprinciples.parts.augment.photometric import blur, brightness, contrast, cutout
from deepprinciples.parts.augment.policies import rand_augment, trivial_augment

TABLE = {
    f.__name__: f
    for f in (
        label_smoothing,
        mixup,
        cutmix,
        dropout,
        input_noise,
        affine,
        flip,
        shift,
        rotate,
        zoom,
        shear,
        brightness,
        contrast,
        blur,
        cutout,
        rand_augment,
        trivial_augment,
    )
}
