"""Settings of the whole suite: two CPU devices, no silent rank promotion, no network."""

import os

import pytest

os.environ.setdefault("JAX_PLATFORMS", "cpu")

import jax  # noqa: E402

jax.config.update("jax_num_cpu_devices", 2)
jax.config.update("jax_numpy_rank_promotion", "raise")


def _accepted(options: dict[str, object]) -> dict[str, object]:
    """Keep the compiler options that this jaxlib still has."""
    kept = {}
    for name, value in options.items():
        try:
            jax.jit(lambda: 0).lower().compile({name: value})
        except jax.errors.JaxRuntimeError:
            continue
        kept[name] = value
    return kept


# Programs that run a few steps on a few numbers are compiled for speed of compiling.
QUICK = _accepted({"xla_backend_optimization_level": 0, "xla_cpu_use_fusion_emitters": False})


@pytest.fixture(autouse=True)
def _no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    import socket

    def refuse(*args: object, **kwargs: object) -> None:
        raise OSError("the tests use no network")

    monkeypatch.setattr(socket.socket, "connect", refuse)
