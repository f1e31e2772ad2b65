"""All parts that a config can name: the general ones, and those of each domain, which are in the shape of a plugin.

A domain is a module with `TABLES` = {kind: {name: factory}}, listed in `DOMAINS`. `TABLES` here also holds a user's
parts once `--plugin` has added them; they are not among `OURS`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import ModuleType

from deepprinciples.domains import circuits, control, detection, driving, medical, saliency, speech, transfer
from deepprinciples.parts import tables

DOMAINS: tuple[ModuleType, ...] = (circuits, control, detection, driving, medical, saliency, speech, transfer)


def _joined() -> dict[str, Mapping[str, Callable[..., object]]]:
    joined: dict[str, Mapping[str, Callable[..., object]]] = dict(tables.TABLES)  # the probes of a user are added there
    for domain in DOMAINS:
        for kind, table in domain.TABLES.items():
            taken = joined[kind].keys() & table.keys()
            if taken:
                raise ImportError(f"{domain.__name__}: {kind} {', '.join(sorted(taken))} exist already")
            joined[kind] = {**joined[kind], **table}
    return joined


TABLES = _joined()
# A user may have put a part into a table of `dp.parts` before this module was imported, so the module tells.
OURS = frozenset(
    factory
    for table in TABLES.values()
    for factory in table.values()
    if str(getattr(factory, "__module__", "")).startswith("deepprinciples.")
)
