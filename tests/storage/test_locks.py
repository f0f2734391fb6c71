"""Locks between processes: one holder, named to others; none outlives its process."""

from __future__ import annotations

import os
import platform
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Thread, Timer

import pytest
from filelock import FileLock

from prelabel.storage.json import encode
from prelabel.storage.locks import Holder, InUseError, exclusive, holder
from support.messages import assert_says

_HOLDER = """
import sys, time
from pathlib import Path
from prelabel.storage.locks import exclusive
with exclusive(Path(sys.argv[1]), "it"):
    print("held", flush=True)
    time.sleep(60)
"""


@contextmanager
def _another_process(file: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A process that holds the lock."""
    command = [sys.executable, "-c", _HOLDER, str(file)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout
        assert process.stdout.readline() == b"held\n"
        try:
            yield process
        finally:
            process.kill()


def test_exclusive__another_process_is_named_and_its_lock_dies_with_it(tmp_path: Path) -> None:
    file = tmp_path / "new" / "a.lock"
    with _another_process(file) as process:
        with pytest.raises(InUseError) as error, exclusive(file, "the folder 'out'"):
            pass
        who = f"process {process.pid} on {platform.node()} since 20"
        assert_says(error.value, "the folder 'out' is in use by", who)
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert holder(file)  # nobody removed it
        with exclusive(file, "it"):
            assert (own := holder(file))
            assert own.pid == os.getpid()


def test_exclusive__is_free_again_after_use_and_after_an_error(tmp_path: Path) -> None:
    file = tmp_path / "a.lock"
    for _ in range(2):
        with pytest.raises(ZeroDivisionError), exclusive(file, "it"):
            raise ZeroDivisionError
        assert holder(file) is None
    with exclusive(file, "it"), exclusive(tmp_path / "b.lock", "other"):
        pass


def test_exclusive__within_a_process(tmp_path: Path) -> None:
    file = tmp_path / "a.lock"
    with exclusive(file, "it"), pytest.raises(InUseError), exclusive(file, "it"):
        pass


def test_exclusive__waits(tmp_path: Path) -> None:
    file, taken = tmp_path / "a.lock", []

    def take() -> None:
        with exclusive(file, "it", timeout=-1):
            taken.append(True)

    with exclusive(file, "it"):
        waiting = Thread(target=take)
        waiting.start()
        waiting.join(0.2)
        assert not taken
    waiting.join(10)
    assert taken


def test_exclusive__a_holder_that_is_still_writing_its_name_is_waited_for(tmp_path: Path) -> None:
    file, about = tmp_path / "a.lock", tmp_path / "a.lock.holder"
    named = encode(Holder(41, "there", "2026-01-31 18:05:00"))
    with FileLock(file):
        writing = Timer(0.2, about.write_bytes, [named])
        writing.start()
        with (
            pytest.raises(InUseError, match="in use by process 41 on there"),
            exclusive(file, "it"),
        ):
            pass
        writing.join()


def test_holder__of_a_damaged_file_is_not_known(tmp_path: Path) -> None:
    file = tmp_path / "a.lock"
    with exclusive(file, "it"):
        (tmp_path / "a.lock.holder").write_text('{"pid": "no')
        with pytest.raises(InUseError, match="in use by another process"), exclusive(file, "it"):
            pass
