"""Can a picture take on the style of another with no network from elsewhere, only features learned on the spot?

    python experiments/style_transfer.py [content=PATH] [style=PATH] [out=PATH] [size=256] [steps=200] \\
        [way=optimize|feed_forward] [feature_steps=300]

TODO
"""

from __future__ import annotations

import sys
import time

import jax
import jax.numpy as jnp

from deepprinciples.errors import DeepprinciplesError
from deepprinciples.parts import style, stylize
from deepprinciples.parts.data import pictures
from deepprinciples.parts.stylize_options import Options, read_options

CONTENT, VARIATION = 0.4, 0.3  # beside style = 1
