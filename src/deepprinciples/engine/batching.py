"""Where minibatches come from: data resident on the device, or a stream of batches larger than memory.

Both give the same to the compiled segment: arrays, and for every step the positions of its examples in them.
"""

from __future__ import annotations

import atexit
import itertools
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.sharding import Mesh

from deepprinciples.engine.population import place
from deepprinciples.engine.segments import Plan
from deepprinciples.engine.streams import batch_indices
from deepprinciples.types import Batch

CACHED_BYTES = 2**17  # of inputs that are evaluated at once
ORDER_BYTES = 2**25  # of orders of examples that are kept for other arms with the same seeds
STREAM_BYTES = 2**25  # of the batches of a stream that a call is given; the next ones are read ahead ...
STREAM_LEAST = 8  # ... but so many batches at least: each call looks at its first step once more
GRACE = 2.0  # seconds that a program which ends waits for a batch that is being read


class Feed(NamedTuple):
    """Training arrays by `shapes` [N, ...]; `get(seeds, segment)` -> (arrays, indices [seeds, chunks, every, B]).

    nonfinite: examples that hold a number that is not finite, bool [N]; None where there are none, or unknown.
    """

    shapes: Batch
    batch_size: int
    get: Callable[[Sequence[int], int], tuple[Batch, np.ndarray]]
    nonfinite: np.ndarray | None = None


def resident(data: Batch, *, batch_size: int, plan: Plan, mesh: Mesh) -> Feed:
    """Keep the training data on every device; the order of examples is drawn from each lane's seed.

    The order of a seed is computed once for all lanes and groups that share it.
    """
    on_device = place(data, mesh, shared=True)
    size = jax.tree.leaves(data)[0].shape[0]

    def get(seeds: Sequence[int], segment: int) -> tuple[Batch, np.ndarray]:
        distinct = tuple(sorted(set(seeds)))
        orders = _orders(distinct, segment * plan.span, plan.span, size, batch_size)
        chosen = orders[np.searchsorted(distinct, seeds)]
        return on_device, chosen.reshape(len(seeds), plan.chunks, plan.every, batch_size)

    return Feed(_shapes(data), batch_size, get, _nonfinite(data))


def _nonfinite(data: Batch) -> np.ndarray | None:
    leaves = map(np.asarray, jax.tree.leaves(data))
    floats = [a for a in leaves if np.issubdtype(a.dtype, np.floating)]
    bad = [~np.isfinite(a).reshape(len(a), -1).all(axis=1) for a in floats]
    found = np.any(bad, axis=0) if bad else np.zeros(1, bool)
    return found if found.any() else None


def _orders(seeds: tuple[int, ...], start: int, steps: int, size: int, batch_size: int) -> np.ndarray:
    key = (seeds, start, steps, size, batch_size)
    found = _known.pop(key, None)
    if found is None:
        found = np.stack([batch_indices(seed, start, steps=steps, size=size, batch_size=batch_size) for seed in seeds])
    _known[key] = found
    held = sum(orders.nbytes for orders in _known.values())
    for oldest in list(_known):
        if held <= ORDER_BYTES:
            break
        held -= _known.pop(oldest).nbytes
    return found


_known: dict[tuple[Any, ...], np.ndarray] = {}  # the orders drawn last, the latest at the end


def streamed(read: Callable[[], Iterator[Batch]], *, batch_size: int, plan: Plan, mesh: Mesh, first: Batch) -> Feed:
    """Read batches from the host, segment by segment; all lanes see the stream's own order.

    A thread reads the next segment, and puts it on the devices, while this one trains.

    Args:
        read: starts the stream anew; it is read round and round for as long as the plan asks.
        batch_size: examples in each batch.
        plan: how steps are cut.
        mesh: where the arrays go.
        first: the first batch, for its shapes.
    """
    indices = np.arange(plan.span * batch_size, dtype=np.int32).reshape(1, plan.chunks, plan.every, batch_size)
    stop = threading.Event()
    stream: dict[str, Any] = {"segment": -1, "coming": None}  # the segment that is being read

    def joined(segment: int) -> Batch:
        whole = jax.tree.map(lambda a: np.zeros(a.shape, a.dtype), shapes)
        leaves = jax.tree.leaves(whole)
        for k, batch in enumerate(itertools.islice(stream["batches"], plan.taken(segment))):
            for leaf, part in zip(leaves, jax.tree.leaves(batch), strict=True):
                leaf[k * batch_size : (k + 1) * batch_size] = part
            if stop.is_set():
                break
        return jax.block_until_ready(place(whole, mesh, shared=True))

    def begin(segment: int) -> Batch:
        stream["batches"] = itertools.chain.from_iterable(_again(read))
        before = plan.begin(segment)  # is read past
        next(itertools.islice(stream["batches"], before, before), None)
        return joined(segment)

    def get(seeds: Sequence[int], segment: int) -> tuple[Batch, np.ndarray]:
        coming = stream["coming"]
        if coming is None or segment != stream["segment"]:
            if coming is not None:  # a loader may not be read twice at once
                stop.set()
                coming.exception()
                stop.clear()
            coming = _started(lambda: begin(segment), stop)
        stream["coming"] = None
        whole = coming.result()
        if segment + 1 < plan.segments:
            stream.update(segment=segment + 1, coming=_started(lambda: joined(segment + 1), stop))
        return whole, np.repeat(indices, len(seeds), axis=0)

    shapes = jax.tree.map(lambda a: jax.ShapeDtypeStruct((plan.span * batch_size, *a.shape[1:]), a.dtype), first)
    return Feed(shapes, batch_size, get)


def _started(work: Callable[[], Batch], stop: threading.Event) -> Future[Batch]:
    """Begin work in a thread for which a program that ends waits no longer than GRACE.

    Python ends a thread that is still there in the middle of a call, and with it the program where that call is one of
    C++, such as those of JAX on trees; so it is asked to stop first.
    """
    found: Future[Batch] = Future()

    def do() -> None:
        try:
            found.set_result(work())
        except BaseException as error:
            found.set_exception(error)
        finally:
            atexit.unregister(leave)

    def leave() -> None:
        stop.set()
        thread.join(GRACE)

    thread = threading.Thread(target=do, name="stream", daemon=True)
    atexit.register(leave)
    thread.start()
    return found


def bounded(plan: Plan, first: Batch) -> Plan:
    """Cut a stream's segments so that the batches of one take at most STREAM_BYTES, however long the run is.

    Args:
        plan: how steps are cut.
        first: the first batch; the others have its size.
    """
    return plan.bounded(max(STREAM_LEAST, STREAM_BYTES // sum(np.asarray(a).nbytes for a in jax.tree.leaves(first))))


def _again(read: Callable[[], Iterator[Batch]]) -> Iterable[Iterator[Batch]]:
    while True:
        yield read()


def evaluated_at_once(data: Batch) -> int:
    """Return how many examples of a split are evaluated at once: on CPU as many as fit the cache, 8, 16, ... or 256.

    A convolution makes arrays that are many times as large as its inputs. A CNN on 28 x 28 pixels takes 0.5 of the time
    with 32 examples in place of 256, and 0.9 of that with 41, which leave vectors half full.
    """
    if jax.default_backend() != "cpu":
        return 256
    each = sum(array[:1].nbytes for array in jax.tree.leaves(data.inputs))
    fit = min(256, max(8, CACHED_BYTES // max(1, each)))
    return 1 << (fit.bit_length() - 1)


def pad_split(data: Batch, *, size: int, batch: int = 256) -> tuple[Batch, np.ndarray]:
    """Cut a split into equal batches: arrays [K, E, ...] and weights [K, E], 0 where an example is padding.

    Args:
        data: the split, [N, ...].
        size: pad to at least this many examples, so that two splits share one compiled evaluation.
        batch: examples evaluated at once.
    """
    count = jax.tree.leaves(data)[0].shape[0]
    each = min(batch, max(size, count))
    rows = -(-max(size, count) // each)
    missing = rows * each - count

    def cut(array: np.ndarray) -> np.ndarray:
        padding = np.broadcast_to(array[:1], (missing, *array.shape[1:]))
        return np.concatenate([array, padding]).reshape(rows, each, *array.shape[1:])

    weights = np.concatenate([np.ones(count, np.float32), np.zeros(missing, np.float32)])
    return jax.tree.map(cut, data), weights.reshape(rows, each)


def _shapes(data: Batch) -> Batch:
    return jax.tree.map(lambda a: jax.ShapeDtypeStruct(a.shape, a.dtype), data)
