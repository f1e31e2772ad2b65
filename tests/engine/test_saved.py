"""A run that goes on from what was kept of it ends in the bits of the run that was never interrupted."""

import jax
import numpy as np
import pytest
import toy

from deepprinciples.engine.batching import streamed
from deepprinciples.engine.early_stopping import Choice
from deepprinciples.engine.population import make_mesh
from deepprinciples.engine.serialization import Keeper, packed, unpacked
from deepprinciples.errors import IntegrityError
from deepprinciples.types import Batch

BAD = [toy.point(bomb=7.0), toy.point(poison=2.0), toy.point(learning_rate=1e30)]
BLOCKS = [(seed, [toy.point(), BAD[seed % 3]]) for seed in range(6)]  # two calls of the program, the second padded


class Killed(Exception):
    """The end of a process."""


def kept_until(count, **options):
    """Run until something was offered `count` times; give what was kept last, or None where the run ended before."""
    last = []

    def offer(tell):
        last.append(jax.tree.map(np.copy, tell()))
        if len(last) == count:
            raise Killed

    try:
        toy.train(BLOCKS, keeper=Keeper(offer=offer), **options)
    except Killed:
        return last[-1]
    return None


def equal(a, b):
    """Compare outcomes to the bit, but for the time they took."""
    a, b = (jax.tree.leaves(one._replace(seconds=None)) for one in (a, b))
    return all(np.array_equal(x, y, equal_nan=x.dtype.kind == "f") for x, y in zip(a, b, strict=True))


@pytest.fixture(scope="module")
def whole():
    return toy.train(BLOCKS)


def test_a_run_taken_up_anywhere_ends_in_the_same_bits(whole):
    """Whoever resumes would get another result than whoever was never interrupted."""
    assert whole.diverged_at.tolist() == [[-1, 7], [-1, 5], [-1, 1]] * 2  # lanes are lost in the segments 0 and 1
    places = 0
    for count in range(1, 100):
        kept = kept_until(count)
        if kept is None:
            break
        heard = []
        assert all(np.isfinite(a).all() for name, a in kept.items() if name.startswith("lane/"))
        again = toy.train(BLOCKS, keeper=Keeper(begun=kept), progress=heard.append)
        assert equal(whole, again), count
        assert sum(heard) == 2 * len(BLOCKS) * toy.CUT.steps
        places += 1
    assert places == 2 * toy.CUT.segments > 4


def test_the_best_states_are_taken_up_too():
    """Lost: whoever resumes keeps another state than whoever was never interrupted."""
    choice = Choice("loss", False, (True, True), (0, 1))
    options = {"choice": choice, "judges": {"test": toy.SPLIT}}
    whole = toy.train(BLOCKS, **options)
    assert len(set(whole.kept_step.flat)) > 2
    for count in range(1, 2 * toy.CUT.segments + 1):
        assert equal(whole, toy.train(BLOCKS, keeper=Keeper(begun=kept_until(count, **options)), **options)), count


def test_a_stream_taken_up_goes_on_where_it_was():
    """The examples already seen would be seen again."""
    batches = [Batch(toy.DATA.inputs[k : k + toy.BATCH], toy.DATA.targets[k : k + toy.BATCH]) for k in range(0, 15, 3)]
    mesh = make_mesh(toy.WIDE.devices)

    def feed():
        return streamed(lambda: iter(batches), batch_size=toy.BATCH, plan=toy.CUT, mesh=mesh, first=batches[0])

    one, other = feed(), feed()
    for segment in range(3):
        expected, _ = one.get([0], segment)
    found, _ = other.get([0], 2)
    np.testing.assert_array_equal(found.inputs, expected.inputs)


def test_arrays_of_another_program_are_refused():
    """Lanes would go on from the state of another network, or end in a traceback."""
    kept = kept_until(1)
    with pytest.raises(IntegrityError, match="another program"):
        toy.train(BLOCKS, keeper=Keeper(begun={k: v for k, v in kept.items() if k != "lane/0000"}))
    with pytest.raises(IntegrityError, match="other shapes"):
        toy.train(BLOCKS, keeper=Keeper(begun={**kept, "lane/0000": kept["lane/0000"][:1]}))
    tree = {"b": np.arange(3), "a": (np.zeros(2), {})}
    found = unpacked("x", tree, packed("x", tree))
    assert jax.tree.structure(found) == jax.tree.structure(tree) and found["b"].tolist() == [0, 1, 2]
