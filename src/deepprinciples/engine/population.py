"""Many lanes as one program: seeds x settings side by side, sharded over devices, with zero collectives.

A `Program` is what lanes of equal static config share: three pure functions (init, segment, evaluate), traced
together and compiled exactly once at a fixed width, however many lanes go through it. Lanes come in blocks; the lanes
of a block share their seed, and so each minibatch.
"""

from __future__ import annotations

import contextlib
import hashlib
import math
import os
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from deepprinciples.engine import compile_cache, recalled
from deepprinciples.engine.lane import evaluation, fit, traced_lane
from deepprinciples.engine.lane.packed_log import Rows, unpacked_shapes
from deepprinciples.engine.segments import Plan
from deepprinciples.errors import ConfigError, ResourceError, message
from deepprinciples.types import Array, Batch, Learner, Metric, PyTree

MakeLearner = Callable[[Mapping[str, Array]], Learner]
Given = Callable[[int], Mapping[str, PyTree]]  # seed -> arrays that a lane is given beside its hyper-parameters
Mode = Literal["map", "vmap"]
SMALL_KERNEL = 2**17  # numbers; Eigen multiplies rows with larger ones no faster than YNNPACK


class Layout(NamedTuple):
    """How lanes lie on devices: `blocks` of `points` lanes on each device, run by map or by vmap."""

    devices: int
    blocks: int
    points: int
    mode: Mode

    @property
    def width(self) -> int:
        """Lanes per device in one call."""
        return self.blocks * self.points


class Point(NamedTuple):
    """One lane's place in its block (int32) and its traced hyper-parameters."""

    number: Any
    hyper: Mapping[str, Any]


class Program(NamedTuple):
    """The compiled functions of a group of lanes, and what they cost to build."""

    init: Any
    segment: Any
    evaluate: Any
    layout: Layout
    mesh: Mesh
    compile_seconds: float
    compiles: int
    memory_bytes: int
    shapes: tuple[Any, Any, Any]  # of a call's lanes and of a segment's log; the structure of an evaluation
    identity: str  # SHA-256 of the three as they were lowered, before XLA: equal programs have equal ones
    hosted: Mapping[str, Metric]  # metrics that reduce on the host what `evaluate` gives
    evaluations: int  # gradient evaluations a step costs
    given: Given = lambda seed: {}
    key: str = ""  # holds everything that its trace read; "" where nobody can tell

    def points(self, seeds: Sequence[int], hyper: Sequence[Sequence[Mapping[str, float]]]) -> Any:
        """Arrange the lanes of a call on the devices: a seed for each block, hyper-parameters for each of its lanes."""
        count = self.layout.points
        number = np.broadcast_to(np.arange(count, dtype=np.int32), (len(seeds), count))
        own = {name: np.array([[one[name] for one in lanes] for lanes in hyper], np.float32) for name in hyper[0][0]}
        shared = jax.tree.map(lambda *blocks: np.stack(blocks), *map(self.given, seeds))
        spread = lambda a: np.broadcast_to(a[:, None], (len(a), count, *a.shape[1:]))
        return place(Point(number, {**own, **jax.tree.map(spread, shared)}), self.mesh, shared=False)


_DIVERGED = "a run that diverges is a result here and must not end the others; deepprinciples replay finds the array"
_SWITCHES = {
    "jax_disable_jit": "runs are compiled programs",
    "jax_debug_nans": _DIVERGED,
    "jax_debug_infs": _DIVERGED,
}


def use_all_cores() -> None:
    """Make every CPU core a device, where no backend has started yet and nobody chose a number before.

    Raises:
        ResourceError: the platform that was asked for is not there; nothing falls back to another in silence.
        ConfigError: a switch of JAX is on that no run can live with.
    """
    settings: Any = jax.config
    if wrong := [
        f"{name.upper()}: is on, but {why}; unset it" for name, why in _SWITCHES.items() if settings.values[name]
    ]:
        raise ConfigError(*wrong)
    if settings.jax_num_cpu_devices == -1 and "host_platform_device_count" not in os.environ.get("XLA_FLAGS", ""):
        with contextlib.suppress(RuntimeError):  # a backend has started: its devices are what there is
            settings.update("jax_num_cpu_devices", len(os.sched_getaffinity(0)))
    if not settings.jax_platforms:  # nothing was asked for, and waking a GPU takes seconds that a typo need not wait
        return
    try:
        jax.devices()
    except (RuntimeError, AssertionError) as error:  # jaxlib without CUDA fails an assertion of its own
        raise ResourceError(
            f"JAX_PLATFORMS={settings.jax_platforms}: no such device here ({message(error)}); unset it, or install jax "
            "for it, such as deepprinciples[cuda13]"
        ) from None


def choose_layout(block_counts: Sequence[int], points: int, *, devices: int, mode: Mode, limit: int = 0) -> Layout:
    """Choose the blocks per device: as few padded lanes and calls as can be, over all phases of a study.

    Args:
        block_counts: how many blocks each phase will run.
        points: lanes in a block.
        devices: devices that share the lanes.
        mode: "map" runs a device's lanes one after another, "vmap" all at once.
        limit: most lanes on a device, 0 for the default (64 mapped, 1,024 vmapped).

    Returns:
        The `Layout` with the least work; the wider one of two equals.
    """
    most = max(1, (limit or {"map": 64, "vmap": 1024}[mode]) // points)
    call_cost = {"map": 1, "vmap": 256}[mode]  # a call costs about as much as this many lanes
    needed = max(1, math.ceil(max(block_counts) / devices))

    def work(blocks: int) -> tuple[float, int]:
        calls = sum(math.ceil(count / (devices * blocks)) for count in block_counts)
        return calls * (blocks * points + call_cost), -blocks

    return Layout(devices, min(range(1, min(most, needed) + 1), key=work), points, mode)


def _lift(function: Callable, mode: Mode, per_lane: int, per_block: int) -> Callable:
    """Lift f(*lane, *block, *common) over arrays [blocks, points, ...], then [blocks, ...], then shared by all."""
    count = per_lane + per_block

    def mapped(*args: PyTree) -> PyTree:
        # One flat loop: a nested one would read and write every array of a lane once more.
        lanes, block, common = args[:per_lane], args[per_lane:count], args[count:]
        blocks, points = jax.tree.leaves(lanes)[0].shape[:2]
        flat = jax.tree.map(lambda a: a.reshape(blocks * points, *a.shape[2:]), lanes)

        def one(given: tuple[Array, tuple]) -> PyTree:
            number, lane = given
            own = jax.tree.map(lambda a: jax.lax.dynamic_index_in_dim(a, number // points, keepdims=False), block)
            return function(*lane, *own, *common)

        found = jax.lax.map(one, (jnp.arange(blocks * points), flat))
        return jax.tree.map(lambda a: a.reshape(blocks, points, *a.shape[1:]), found)

    def vmapped(*args: PyTree) -> PyTree:
        # One flat axis: of nested ones XLA makes slower products, and takes twice as long to compile them.
        lanes, block, common = args[:per_lane], args[per_lane:count], args[count:]
        blocks, points = jax.tree.leaves(lanes)[0].shape[:2]
        flat = jax.tree.map(lambda a: a.reshape(blocks * points, *a.shape[2:]), lanes)
        if blocks == 1:  # then the lanes share their minibatches, which makes the products wide
            seen, axis = jax.tree.map(lambda a: a[0], block), None
        else:
            seen, axis = jax.tree.map(lambda a: jnp.repeat(a, points, axis=0), block), 0
        one = lambda lane, block: function(*lane, *block, *common)
        given = jax.vmap(one, in_axes=(0, axis))(flat, seen)
        return jax.tree.map(lambda a: a.reshape(blocks, points, *a.shape[1:]), given)

    return vmapped if mode == "vmap" else mapped


def compile_program(
    make_learner: MakeLearner,
    probe: fit.Probe,
    *,
    layout: Layout,
    names: Sequence[str],
    plan: Plan,
    data: Batch,
    batch_size: int,
    split: tuple[Batch, Any],
    given: Given = lambda seed: {},
    key: str = "",
) -> Program:
    """Trace a lane of a group once, and compile its three functions; one compiles while the next is lowered.

    A program that the cache knows under `key` is loaded: nothing is traced but how a lane begins.

    Args:
        make_learner: builds the learner from the traced hyper-parameters, inside the traced function.
        probe: reads the first step of each chunk.
        layout: how lanes lie on devices.
        names: the traced hyper-parameters.
        plan: how steps are cut.
        data: the training examples, [N, ...], arrays or shapes.
        batch_size: examples a step sees.
        split: a padded split to evaluate, batches [K, E, ...] and weights [K, E], arrays or shapes.
        given: what the lanes of a seed get with their hyper-parameters, of the same shapes for all seeds.
        key: holds everything that the trace reads; "" where nobody can tell.

    Returns:
        The compiled `Program`.
    """
    begun = time.monotonic()
    mesh = make_mesh(layout.devices)
    number, unsigned = jax.ShapeDtypeStruct((), jnp.int32), jax.ShapeDtypeStruct((), jnp.uint32)
    hyper = {**dict.fromkeys(names, jax.ShapeDtypeStruct((), jnp.float32)), **_shapes(given(0))}
    one = traced_lane.Inputs(
        Point(number, hyper),
        seed=unsigned,
        indices=jax.ShapeDtypeStruct((plan.chunks, plan.every, batch_size), jnp.int32),
        data=_shapes(data),
        steps=jax.ShapeDtypeStruct((plan.chunks, plan.every), jnp.int32),
        total=number,
        split=_shapes(split),
    )
    devices, blocks = list(mesh.devices.flat), layout.devices * layout.blocks
    if key and (known := recalled.recall(key, devices, make_learner, one, (blocks, layout.points))):
        functions, found, learner = known
        return _program(functions, found, learner, layout, mesh, time.monotonic() - begun, 0, given, key)
    traced = traced_lane.trace(make_learner, probe, one)

    def segment(
        lane: fit.Lane, point: Point, seed: Array, indices: Array, data: Batch, steps: Array, total: Array
    ) -> tuple[fit.Lane, Rows]:
        if layout.mode == "map":  # vmapped, loops of different lengths would choose between two states at every step
            total = jnp.where(lane.diverged_at < 0, total, 0)
        return traced.segment(lane, point, seed, indices, data, steps, total)

    def lower(function: Callable, per_lane: int, per_block: int, *args: PyTree, donate: tuple[int, ...] = ()) -> Any:
        shared = len(args) - per_lane - per_block
        axes: list[tuple[int, ...]] = [(blocks, layout.points)] * per_lane + [(blocks,)] * per_block + [()] * shared
        specs = tuple(LANES if leading else _COMMON for leading in axes)
        lifted = _lift(function, layout.mode, per_lane, per_block)
        mapped = jax.shard_map(lifted, mesh=mesh, in_specs=specs, out_specs=LANES, check_vma=False)
        placed = [
            _shapes(arg, leading, NamedSharding(mesh, spec))
            for arg, leading, spec in zip(args, axes, specs, strict=True)
        ]
        return jax.jit(mapped, donate_argnums=donate).lower(*placed)

    # Initialization runs once a lane, and random bits are slow to optimize: it is compiled quickly instead.
    on_cpu = mesh.devices.flat[0].platform == "cpu"
    quick = {"xla_backend_optimization_level": "1"}
    chosen = os.environ.get("XLA_FLAGS", "")  # by the user
    lowered: list[Any] = []
    texts: list[str] = []
    entries: dict[str, str] = {}
    with ThreadPoolExecutor(2) as pool:  # XLA needs no interpreter: what is lowered compiles while the next is lowered

        def compiled(name: str, options: dict[str, Any], *args: Any, **keywords: Any) -> Any:
            lowered.append(lower(*args, **keywords))
            texts.append(lowered[-1].as_text())
            options = (options or cpu_options(texts[-1], traced.lane)) if on_cpu else {}
            options = {key: value for key, value in options.items() if key not in chosen}
            entries[name] = compile_cache.name_of(lowered[-1], texts[-1], options)
            return pool.submit(compile_cache.compiled, lowered[-1], texts[-1], options, devices)

        common = (one.data, one.steps, one.total)
        per_block = (one.seed, one.indices)
        functions = {
            "segment": compiled("segment", {}, segment, 2, 2, traced.lane, one.point, *per_block, *common, donate=(0,)),
            "evaluate": compiled("evaluate", {}, traced.evaluate, 2, 0, traced.lane, one.point, one.split),
            "init": compiled("init", quick, traced.init, 1, 1, one.point, one.seed),
        }
    made = {name: function.result() for name, function in functions.items()}
    memory = made["segment"].memory_analysis()
    used = memory.temp_size_in_bytes + memory.argument_size_in_bytes + memory.output_size_in_bytes if memory else 0
    (_, rows), evaluated, lanes = (part.out_info for part in lowered)
    shapes = recalled.Traced(lanes, rows, evaluated, used, hashlib.sha256("".join(texts).encode()).hexdigest())
    if key:
        recalled.keep(key, devices, entries, texts, shapes)
    return _program(made, shapes, traced.learner, layout, mesh, time.monotonic() - begun, 1, given, key)


def cpu_options(text: str, lane: PyTree) -> dict[str, Any]:
    """Choose what XLA compiles a program with for CPU, given its StableHLO and what a lane holds, arrays or shapes.

    Each core runs lanes of its own, so an order of operations made for many threads only costs. XLA holds back from the
    widest registers; they gain some 5 % of a step of a CNN or a GAN, and where there are none nothing changes. The
    third level of LLVM takes a fifth more time to compile, and steps are not faster for it. XLA gives most products to
    YNNPACK; Eigen's take 0.92 to 0.97 of a step of an MLP or a GAN, 1.1 of one with batches of products, such as
    attention, 1.0 to 1.3 of one of layers of 512, and no less where maps lie with the batch innermost.
    """
    options = {
        "xla_cpu_enable_concurrency_optimized_scheduler": False,
        "xla_cpu_prefer_vector_width": 512,
        "xla_backend_optimization_level": "2",
    }
    batches = "batching_dims" in text or "LayoutConstraint" in text
    large = any(leaf.ndim == 2 and leaf.size > SMALL_KERNEL for leaf in jax.tree.leaves(lane))
    # XLA calls the option experimental: another version may lack it.
    if not batches and not large and jax.__version_info__[:2] == (0, 10):
        options["xla_cpu_experimental_ynn_fusion_type"] = ""
    return options


def _program(
    functions: Mapping[str, Any],
    traced: recalled.Traced,
    learner: Learner,
    layout: Layout,
    mesh: Mesh,
    seconds: float,
    compiles: int,
    given: Given,
    key: str,
) -> Program:
    hosted = {name: metric for name, metric in learner.metrics.items() if metric.host}
    return Program(
        init=functions["init"],
        segment=functions["segment"],
        evaluate=functions["evaluate"],
        layout=layout,
        mesh=mesh,
        compile_seconds=seconds,
        compiles=compiles,
        memory_bytes=traced.memory_bytes,
        shapes=(traced.lane, unpacked_shapes(traced.rows), evaluation.names_on_host(hosted, traced.evaluated)),
        identity=traced.identity,
        hosted=hosted,
        evaluations=learner.evaluations,
        given=given,
        key=key,
    )


LANES, _COMMON = PartitionSpec("lane"), PartitionSpec()


def make_mesh(devices: int) -> Mesh:
    """Make the mesh of one axis, `lane`, over the first `devices` devices."""
    return jax.make_mesh((devices,), ("lane",), axis_types=(AxisType.Auto,), devices=jax.devices()[:devices])


def place(tree: PyTree, mesh: Mesh, *, shared: bool) -> PyTree:
    """Put arrays on the mesh: one copy on every device, or split along the lanes."""
    return jax.device_put(tree, NamedSharding(mesh, _COMMON if shared else LANES))


def _shapes(tree: PyTree, leading: tuple[int, ...] = (), sharding: Any = None) -> PyTree:
    return jax.tree.map(lambda a: jax.ShapeDtypeStruct((*leading, *a.shape), a.dtype, sharding=sharding), tree)
