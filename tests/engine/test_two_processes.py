"""One program over two processes (`jax.distributed`): what trains and evaluates lanes spans hosts as it is."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import toy


def test_a_program_over_two_processes_gives_the_bits_of_one(tmp_path):
    """Lost: the mesh of the engine ends at the border of a process."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    script, environment = Path(__file__).with_name("two_processes.py"), {**os.environ, "DEEPPRINCIPLES_CACHE": "off"}
    members = [
        subprocess.Popen(
            [sys.executable, str(script), str(number), port, str(tmp_path / "found.npz")],
            env=environment,
            stderr=subprocess.PIPE,
            text=True,
        )
        for number in range(2)
    ]
    try:
        errors = [member.communicate(timeout=120)[1] for member in members]
    finally:
        for member in members:
            member.kill()
    assert [member.returncode for member in members] == [0, 0], errors
    with np.load(tmp_path / "found.npz", allow_pickle=False) as file:
        found = dict(file)
    assert list(found["owners"]) == [0, 1] and str(found["identity"]) == toy.program().identity
    alone = toy.train([(seed, [toy.point(), toy.point(noise=0.0)]) for seed in range(4)])
    for name, values in {**alone.states, "loss": alone.final["loss"], "diverged_at": alone.diverged_at}.items():
        np.testing.assert_array_equal(found[name], values, err_msg=name)
