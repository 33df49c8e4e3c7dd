"""Processes beside the one that trains or renders: how they are started, and how they ask it."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import contextmanager
from multiprocessing.connection import Connection
from queue import SimpleQueue
from threading import Lock
from typing import Any

_ALONE = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "JAX_PLATFORMS": "cpu",  # the GPU, if there is one, belongs to the process that trains
}


@contextmanager
def process_pool(
    count: int, start: Callable[..., None] | None = None, arguments: tuple[Any, ...] = ()
) -> Iterator[ProcessPoolExecutor]:
    """A pool of `count` processes of one thread each, which call `start` with the arguments first.

    Spawned, not forked, as threads of Keras's backend may be running; a calling script needs a main guard.
    """
    with (
        _environment(_ALONE),
        ProcessPoolExecutor(count, multiprocessing.get_context("spawn"), start, arguments) as pool,
    ):
        yield pool  # within, as the pool starts a process when there is work for it


def conversations(
    talk: Callable[[Any], Generator[Any, Any, Any]], tasks: Sequence[Any], answer: Callable[[Any], Any], count: int
) -> Iterator[Any]:
    """For each of the tasks, in order, what the generator `talk` returns in the end.

    What it yields on the way, `answer` is asked here, one at a time. With a `count` above one, as many processes talk,
    and what they talk with can be pickled; what goes wrong there is raised here.
    """
    if count == 1:
        yield from (_talk_through(talk(task), answer) for task in tasks)
        return
    context, one_at_a_time = multiprocessing.get_context("spawn"), Lock()
    idle: SimpleQueue[Connection] = SimpleQueue()
    processes = []
    with _environment(_ALONE):
        for _ in range(min(count, len(tasks))):
            here, there = context.Pipe()
            processes.append(context.Process(target=_talk_of_all, args=(there, talk), daemon=True))
            processes[-1].start()
            there.close()  # so that the end of the process is the end of the pipe
            idle.put(here)

    def result_of(task: Any) -> Any:
        pipe = idle.get()
        try:
            pipe.send(task)
            over, told = pipe.recv()
            while not over:
                with one_at_a_time:
                    told = answer(told)
                pipe.send(told)
                over, told = pipe.recv()
        except EOFError:
            raise RuntimeError(f"a process ended in the middle of {task}") from None
        finally:
            idle.put(pipe)
        if isinstance(told, Exception):
            raise told
        return told

    try:
        with ThreadPoolExecutor(len(processes)) as threads:
            yield from threads.map(result_of, tasks)
    finally:
        for process in processes:
            process.terminate()


def _talk_through(talk: Generator[Any, Any, Any], answer: Callable[[Any], Any]) -> Any:
    try:
        told = next(talk)
        while True:
            told = talk.send(answer(told))
    except StopIteration as end:
        return end.value


def _talk_of_all(pipe: Connection, talk: Callable[[Any], Generator[Any, Any, Any]]) -> None:
    """In a process: tasks and answers come in; (False, a question) and (True, a result or an error) go out."""

    def answer(question: Any) -> Any:
        pipe.send((False, question))
        return pipe.recv()

    while True:
        task = pipe.recv()
        try:
            result = _talk_through(talk(task), answer)
        except Exception as error:  # told where it was asked
            result = error
        pipe.send((True, result))


@contextmanager
def _environment(values: Mapping[str, str]) -> Iterator[None]:
    """These environment variables inside, those of before again after it."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
