"""Decoding in processes of their own, with limits of memory and time that no decoder can ignore.

``python -m prelabel.data.image_process`` is such a process. It reads requests and writes answers: a
line of JSON and bytes each. Idle ones are used again, and end with the process that began them.
"""

from __future__ import annotations

import atexit
import json
import os
import signal
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path
from typing import IO, TypedDict

import numpy as np
from PIL import Image as PilImage

from prelabel.data.image_decoding import (
    MAX_MEMORY,
    MAX_PIXELS,
    WORKING_SIDE,
    Decoded,
    DecodingMemoryError,
    decode,
)
from prelabel.errors import PhotoError
from prelabel.storage.memory import trim_heap
from prelabel.storage.threads import cores

_USUAL_MEMORY, _USUAL_SECONDS = 300_000_000, 30
"""For most photos; several may be decoded at once."""
_MOST_SECONDS = 120
"""For those that take more memory, which are decoded one by one."""
_MOST_IDLE = 2
_SLACK = 100_000_000
"""Bytes for bands of rows, and for what Python sets aside."""
_usual = threading.BoundedSemaphore(max(2, cores()))
_large = threading.Lock()
_frugal = threading.Event()
"""Set: nothing takes more than the usual memory."""
_idle: list[subprocess.Popen[bytes]] = []
_idle_lock = threading.Lock()


class _Request(TypedDict):
    """``n_bytes`` of the photo follow. ``memory``: bytes beside them. ``seconds``: of the CPU."""

    n_bytes: int
    full: bool
    side: int
    memory: int
    seconds: int


class _Answer(TypedDict, total=False):
    """A ``problem``, for people, that is one of ``memory`` or not; or sizes, and pixels follow."""

    problem: str
    memory: bool
    shape: list[int]
    size: list[int]


def be_frugal() -> None:
    """From now on, this process decodes one photo apart at a time, and refuses those that take more
    than the usual memory."""
    global _usual
    _usual = threading.BoundedSemaphore(1)
    _frugal.set()


def decode_apart(data: bytes, *, full: bool, side: int = WORKING_SIDE) -> Decoded:
    """A photo's upright pixels, with at most ``side`` pixels on the long side, or at full size. Raises
    PhotoError."""
    try:
        with _usual:
            return _ask(data, full=full, side=side, memory=_USUAL_MEMORY, seconds=_USUAL_SECONDS)
    except DecodingMemoryError as error:
        if _frugal.is_set():
            raise PhotoError(
                f"needs more than {_USUAL_MEMORY / 1e6:.0f} MB to be decoded, which the backend does not "
                "take: scale it down, save it as JPEG, or use prelabel label-studio predict"
            ) from error
        with _large:
            return _ask(data, full=full, side=side, memory=MAX_MEMORY, seconds=_MOST_SECONDS)


def _ask(data: bytes, *, full: bool, side: int, memory: int, seconds: int) -> Decoded:
    request = _Request(n_bytes=len(data), full=full, side=side, memory=memory, seconds=seconds)
    process = _take()
    clock = threading.Timer(seconds, process.kill)
    clock.start()
    try:
        assert process.stdin
        assert process.stdout
        _send(process.stdin, request, data)
        answer: _Answer = json.loads(process.stdout.readline())
        if "shape" in answer:
            shape = tuple(answer["shape"])
            pixels = np.frombuffer(_read(process.stdout, int(np.prod(shape))), dtype=np.uint8)
            result = Decoded(pixels.reshape(shape), *answer["size"])
    except (OSError, ValueError) as error:  # it is gone
        _end(process)
        late = clock.finished.is_set()
        reason = f"takes more than {seconds} seconds" if late else "makes the decoder crash"
        raise PhotoError(f"cannot be decoded (it {reason}; {len(data)} bytes)") from error
    except BaseException:
        _end(process)
        raise
    finally:
        clock.cancel()
    _give_back(process)
    if "problem" in answer:
        kind = DecodingMemoryError if answer.get("memory") else PhotoError
        raise kind(answer["problem"])
    return result


def _take() -> subprocess.Popen[bytes]:
    with _idle_lock:
        while _idle:
            process = _idle.pop()
            if process.poll() is None:
                return process
            _end(process)
    return subprocess.Popen(
        [sys.executable, "-m", __name__],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={
            **os.environ,
            "OPENBLAS_NUM_THREADS": "1",
            "OMP_NUM_THREADS": "1",
            "MALLOC_ARENA_MAX": "1",
        },
    )


def _give_back(process: subprocess.Popen[bytes]) -> None:
    with _idle_lock:
        if len(_idle) < _MOST_IDLE:
            _idle.append(process)
            return
    _end(process)


def _end(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    for pipe in (process.stdin, process.stdout):
        if pipe:
            with suppress(OSError):
                pipe.close()
    process.wait()


@atexit.register
def _end_all() -> None:
    with _idle_lock:
        while _idle:
            _end(_idle.pop())


def _forget_all() -> None:
    """In a forked process, the idle ones are those of its parent."""
    _idle.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_all)


def _send(pipe: IO[bytes], head: _Request | _Answer, data: bytes | memoryview = b"") -> None:
    pipe.write(json.dumps(head).encode() + b"\n")
    pipe.write(data)
    pipe.flush()


def _read(pipe: IO[bytes], n_bytes: int) -> bytes:
    data = pipe.read(n_bytes)
    if len(data) != n_bytes:
        raise EOFError
    return data


def _answer_requests() -> None:
    """Until the parent closes the pipe."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C: the parent ends this process
    PilImage.MAX_IMAGE_PIXELS = MAX_PIXELS // 2  # it refuses twice as many: frames inside a file
    requests = sys.stdin.buffer
    with os.fdopen(os.dup(sys.stdout.fileno()), "wb") as answers:
        os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # decoders may print
        while line := requests.readline():
            request: _Request = json.loads(line)
            data = _read(requests, request["n_bytes"])
            try:
                _limit(request)
                decoded = decode(
                    data, full=request["full"], side=request["side"], memory=request["memory"]
                )
            except PhotoError as error:
                lacking = isinstance(error, DecodingMemoryError)
                _send(answers, _Answer(problem=str(error), memory=lacking))
                continue
            finally:
                del data
            shape, size = list(decoded.pixels.shape), [decoded.width, decoded.height]
            _send(answers, _Answer(shape=shape, size=size), decoded.pixels.data)
            del decoded
            trim_heap()


def _limit(request: _Request) -> None:
    """Limit this process as a request says, where the system can."""
    try:
        import resource

        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
        used = pages * resource.getpagesize()
        _, hardest = resource.getrlimit(resource.RLIMIT_AS)
        resource.setrlimit(resource.RLIMIT_AS, (used + request["memory"] + _SLACK, hardest))
        spent = resource.getrusage(resource.RUSAGE_SELF)
        seconds = int(spent.ru_utime + spent.ru_stime) + request["seconds"] + 1
        _, hardest = resource.getrlimit(resource.RLIMIT_CPU)
        resource.setrlimit(resource.RLIMIT_CPU, (seconds, hardest))
    except (ImportError, OSError, ValueError):
        pass  # not Linux: what the file's head says is checked all the same


if __name__ == "__main__":
    _answer_requests()
