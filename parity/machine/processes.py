"""Runs jobs in separate processes, each under a setting, so that none can crash the run."""

from __future__ import annotations

import multiprocessing
import signal
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from time import monotonic
from typing import Any, NamedTuple

from ..checks import interruption
from ..checks.cores import cores
from ..sides.settings import Setting

# A case takes about a second; this limit is for processes that hang.
PATIENCE = 600.0


class Job(NamedTuple):
    """``function(*arguments)`` under a setting; each value that it yields is sent back."""

    setting: Setting
    function: Callable[..., Iterable[Any]]
    arguments: tuple[Any, ...] = ()


class Begun(NamedTuple):
    """The process has its setting, and calls the function."""


class Value(NamedTuple):
    """A value that the function yielded."""

    value: Any


class Ended(NamedTuple):
    """The last answer of a job. ``error`` is its error, if there is one.

    ``died`` says whether the process crashed or was killed.
    """

    error: str | None = None
    died: bool = False


Answer = Begun | Value | Ended


class _Running(NamedTuple):
    """``until`` is the time at which the process is killed if it has not answered."""

    job: Job
    process: SpawnProcess
    until: float


def run(
    waiting: deque[Job], workers: int | None = None, patience: float = PATIENCE
) -> Iterator[tuple[Job, Answer]]:
    """The jobs' answers as they come; the last answer of each job is ``Ended``.

    Args:
        waiting: the jobs. Others may be added while they run.
        workers: how many run at a time; None for one per core that this process may use.
        patience: a job that has begun is killed after this many seconds without an answer.
    """
    workers = workers or cores()
    running: dict[Connection, _Running] = {}
    try:
        while waiting or running:
            while waiting and len(running) < workers:
                connection, process = _start(job := waiting.popleft())
                running[connection] = _Running(job, process, monotonic() + PATIENCE)
            first = min(each.until for each in running.values())
            ready = wait(list(running), max(0.0, first - monotonic()))
            for connection, (job, process, until) in list(running.items()):
                answer: Answer | None = None
                if connection in ready:
                    answer = _answer(connection, process)
                    running[connection] = _Running(job, process, monotonic() + patience)
                elif monotonic() > until:
                    process.kill()
                    answer = Ended("no answer in time", died=True)
                if isinstance(answer, Ended):
                    del running[connection]
                    process.join()
                    connection.close()
                if answer is not None:
                    yield job, answer
    finally:
        for each in running.values():
            each.process.kill()
            each.process.join()


def _start(job: Job) -> tuple[Connection, SpawnProcess]:
    context = multiprocessing.get_context("spawn")  # torch reads the environment when it is loaded
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=_child, args=(theirs, job))
    with job.setting.inherited(), interruption.blocked():
        process.start()
    theirs.close()  # so that the pipe closes when the process ends
    return ours, process


def _answer(connection: Connection, process: SpawnProcess) -> Answer:
    try:
        return connection.recv()
    except (EOFError, OSError):
        process.join()
        return Ended(_exit(process.exitcode), died=True)


def _exit(code: int | None) -> str:
    if code is not None and code < 0:
        return f"ended by {signal.Signals(-code).name}"
    return f"ended with exit status {code}"


def _child(connection: Connection, job: Job) -> None:
    try:
        job.setting.take()
        if not job.setting.is_taken:
            raise RuntimeError(f"the process did not take the setting {job.setting.name!r}")
        connection.send(Begun())
        for value in job.function(*job.arguments):
            connection.send(Value(value))
        if not job.setting.is_taken:
            raise RuntimeError(f"the process lost the setting {job.setting.name!r}")
    except Exception as error:
        connection.send(Ended(f"{type(error).__name__}: {error}"))
    else:
        connection.send(Ended())
