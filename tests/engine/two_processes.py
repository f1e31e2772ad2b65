"""One of two processes of a single program: python two_processes.py NUMBER PORT FILE.

Each has one device; the mesh of the engine spans both. The first process writes what it gathers as FILE.
"""

import sys

import jax
import numpy as np

from deepprinciples.engine.population import place

LANES = [0, 1, 2, 3]  # seeds; two blocks on each device


def trained(program, feed, cut, split, points):
    """Train the lanes of a whole call, as `engine.run` does; returns the lanes and what evaluates them."""
    point = program.points(LANES, [points] * len(LANES))
    seed = place(np.array(LANES, np.uint32), program.mesh, shared=False)
    lane = program.init(point, seed)
    for segment in range(cut.segments):
        data, indices = feed.get(LANES, segment)
        begin = cut.begin(segment)
        steps = np.arange(begin, begin + cut.span, dtype=np.int32).reshape(cut.chunks, cut.every)
        steps, end = place((steps, np.int32(cut.end(segment))), program.mesh, shared=True)
        lane, _ = program.segment(lane, point, seed, place(indices, program.mesh, shared=False), data, steps, end)
    return lane, program.evaluate(lane, point, place(split, program.mesh, shared=True))


def main(number: int, port: str, path: str) -> None:
    jax.config.update("jax_num_cpu_devices", 1)
    jax.distributed.initialize(f"127.0.0.1:{port}", num_processes=2, process_id=number)
    import toy
    from jax.experimental.multihost_utils import process_allgather

    program = toy.program()
    owners = [device.process_index for device in program.mesh.devices.flat]
    lane, values = trained(
        program,
        toy.resident(toy.DATA, batch_size=toy.BATCH, plan=toy.CUT, mesh=program.mesh),
        toy.CUT,
        toy.SPLIT,
        [toy.point(), toy.point(noise=0.0)],
    )
    assert not lane.diverged_at.is_fully_addressable, "each process has all lanes"
    found = process_allgather({**lane.state, **values, "diverged_at": lane.diverged_at}, tiled=True)
    if number == 0:
        np.savez(path, **found, owners=owners, identity=program.identity)


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2], sys.argv[3])
