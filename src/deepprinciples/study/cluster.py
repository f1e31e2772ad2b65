"""Shards on a Dask cluster: the scheduler that is named, or a client that the user made (extra `cluster`)."""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Iterator, Sequence
from typing import Any

from deepprinciples.engine.run import Outcome
from deepprinciples.errors import ConfigError, ResourceError, one_line
from deepprinciples.study import protocol, shards, worker
from deepprinciples.study.planning.plan import StudyPlan

PATIENCE = 60.0  # seconds without any worker after which a study ends; it can be resumed
CONNECTING = 20.0  # seconds
POLL = 0.5  # seconds between two looks at signals


@contextlib.contextmanager
def opened(executor: Any, plan: StudyPlan) -> Iterator[protocol.Executor]:
    """Connect to where the shards of a study are to be trained.

    Args:
        executor: None for this process, "dask:tcp://HOST:PORT", or a `distributed.Client`.
        plan: the study.

    Yields:
        The executor. As many machines share the study as there are workers now; those that come later take part where
        there are shards for them.

    Raises:
        ConfigError: the executor is none, or the config cannot travel.
        ResourceError: there is no such scheduler, or it has no worker for a minute.
    """
    if executor is None:
        yield protocol.IN_THIS_PROCESS
        return
    shards.study_text(plan)  # a config that cannot travel is refused before anything is waited for
    with _client(executor) as client:
        try:
            client.wait_for_workers(1, timeout=PATIENCE)
        except TimeoutError:
            raise _no_worker(client) from None
        workers = len(client.nthreads())
        yield shards.executor(plan, workers, lambda cut: _results(client, cut))


@contextlib.contextmanager
def _client(executor: Any) -> Iterator[Any]:
    scheme, _, address = str(executor).partition(":")
    unknown = ConfigError(f"--executor: found {executor!r}, expected dask:tcp://HOST:PORT, or a Client from Python")
    if isinstance(executor, str) and (scheme != "dask" or not address):
        raise unknown
    try:
        from distributed import Client
    except ImportError as error:
        raise ResourceError(
            '--executor: needs the package distributed, which is missing: pip install "deepprinciples[cluster]"'
        ) from error
    if isinstance(executor, Client):
        yield executor
        return
    if not isinstance(executor, str):
        raise unknown
    try:
        client = Client(address, timeout=CONNECTING, set_as_default=False)
    except (OSError, ValueError) as error:
        raise ResourceError(
            f"--executor: no Dask scheduler answers at {address} ({one_line(error)}); start one with: dask scheduler"
        ) from None
    log = logging.getLogger("distributed.client")
    level = log.level
    log.setLevel(logging.CRITICAL)  # a scheduler that is lost is one line here, and a traceback there
    try:
        with client:
            yield client
    finally:
        log.setLevel(level)


def _results(client: Any, cut: Sequence[shards.Shard]) -> Iterator[tuple[int, Outcome] | None]:
    """Yield shards as they finish, and None from time to time. Dask gives the shards of a dead worker to another."""
    from distributed import CancelledError, KilledWorker
    from distributed.comm import CommClosedError

    waiting = {
        client.submit(worker.train_shard, tuple(one.study), *one[1:], pure=False): k for k, one in enumerate(cut)
    }
    seen = time.monotonic()
    try:
        while waiting:
            done, workers = _news(client, list(waiting))
            seen = time.monotonic() if workers else seen
            if time.monotonic() - seen > PATIENCE:
                raise _no_worker(client)
            for future in done:
                yield waiting.pop(future), future.result()
            yield None
    except KilledWorker as error:
        raise ResourceError(
            f"--executor: a shard ended {error.allowed_failures + 1} workers, the last at {error.last_worker.address}, "
            "most likely for lack of memory; lower train.max_parallel"
        ) from None
    except ModuleNotFoundError as error:
        raise ResourceError(
            f"--executor: a worker has no module {error.name}; give it the deepprinciples of this machine"
        ) from None
    except (CancelledError, CommClosedError):
        raise _lost(client) from None
    finally:
        with contextlib.suppress(Exception):  # of a scheduler that is gone
            client.cancel(list(waiting), force=True)


def _news(client: Any, waiting: list[Any]) -> tuple[Any, int]:
    """Wait a moment; returns the shards that are done, and the number of workers."""
    from distributed import wait

    try:
        try:
            with client.as_current():  # it is not the default client of the process
                return wait(waiting, timeout=POLL, return_when="FIRST_COMPLETED").done, 1
        except TimeoutError:
            return (), len(client.nthreads())
    except OSError:  # CommClosedError is one
        raise _lost(client) from None


def _lost(client: Any) -> ResourceError:
    return ResourceError(f"--executor: the Dask scheduler at {_address(client)} is lost; start one and resume the run")


def _no_worker(client: Any) -> ResourceError:
    return ResourceError(
        f"--executor: the Dask scheduler at {_address(client)} has no worker for {PATIENCE:.0f} s; start some with: "
        f"dask worker {_address(client)} --nthreads 1"
    )


def _address(client: Any) -> str:
    return str(getattr(client.scheduler, "address", "?"))
