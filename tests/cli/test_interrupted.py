"""Runs that are interrupted, killed, or have no room: the next one equals an unbroken run."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from support.command_line import FORMATS, LIGHT, Finished, cli, cli_apart, contents, refused
from support.messages import assert_says


def test_full_disk__one_line_then_the_rerun_equals(
    done: Finished, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    photos, whole, _ = done
    monkeypatch.setenv("PRELABEL_CACHE", str(tmp_path / "cache"))
    out = tmp_path / "out"
    real = Path.write_bytes
    for place in (".safetensors", ".jpg"):

        def full(self: Path, data: bytes, place: str = place) -> int:
            if place in self.name:
                raise OSError(errno.ENOSPC, "No space left on device")
            return real(self, data)

        with monkeypatch.context() as patch:
            patch.setattr(Path, "write_bytes", full)
            result = cli("run", photos, "--out", out, *LIGHT, *FORMATS)
        assert result.exit_code == 2
        assert_says(
            result.stderr.splitlines()[-1], "disk is full", str(tmp_path), "free some space"
        )
    assert cli("run", photos, "--out", out, *LIGHT, *FORMATS).exit_code == 0
    assert contents(out) == contents(whole)


def test_no_permission__one_line(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def denied(*_: object, **__: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied", str(tmp_path / "out"))

    monkeypatch.setattr("prelabel.runs.run.output_folder", denied)
    line = refused("run", photos, "--out", tmp_path / "out", *LIGHT)
    assert_says(line, str(tmp_path / "out"), "permission denied")


@pytest.mark.slow
def test_stopped_at_every_write__the_rerun_equals(
    done: Finished, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    photos, whole, _ = done
    monkeypatch.setenv("PRELABEL_CACHE", str(tmp_path / "cache"))
    out = tmp_path / "out"
    real = Path.replace
    stops = 0
    for turn in range(200):  # each turn one rename further
        left = turn

        def stopping(self: Path, target: Path) -> Path:
            nonlocal left
            if left == 0:
                raise KeyboardInterrupt
            left -= 1
            return real(self, target)

        with monkeypatch.context() as patch:
            patch.setattr(Path, "replace", stopping)
            result = cli("run", photos, "--out", out, *LIGHT, *FORMATS)
        if result.exit_code == 0:
            break
        assert result.exit_code == 130
        stops += 1
    assert stops > 10
    assert contents(out) == contents(whole)


_STOPPING = """
import itertools, os, pathlib, sys
from prelabel.cli.main import main

replace, kind, ending = pathlib.Path.replace, int(sys.argv.pop(1)), sys.argv.pop(1)
times = itertools.count(1)

def stopping(self, target):
    if str(target).endswith(ending) and next(times) == 2:
        os.kill(os.getpid(), kind)
    return replace(self, target)

pathlib.Path.replace = stopping
main()
"""
"""Sends itself a signal when it replaces the second file with a name that ends like this."""


@pytest.mark.slow
@pytest.mark.parametrize("kind", [signal.SIGINT, signal.SIGKILL])
@pytest.mark.parametrize("ending", [".safetensors", ".jpg"])
def test_signal__the_rerun_equals(
    done: Finished, tmp_path: Path, kind: signal.Signals, ending: str
) -> None:
    environment = {**os.environ, "PRELABEL_CACHE": str(tmp_path / "cache"), "OMP_NUM_THREADS": "1"}
    words = ["run", str(done.photos), "--out", str(tmp_path / "out"), *LIGHT, *FORMATS]
    stopped = subprocess.run(
        [sys.executable, "-c", _STOPPING, str(int(kind)), ending, *words],
        env=environment,
        capture_output=True,
        text=True,
    )
    if kind == signal.SIGINT:
        assert stopped.returncode == 130
        assert "interrupted; the same command continues" in stopped.stderr.splitlines()[-1]
    else:
        assert stopped.returncode == -signal.SIGKILL
    assert "Traceback" not in stopped.stderr
    again = cli_apart(environment, *words)
    assert again.returncode == 0, again.stderr
    assert contents(tmp_path / "out") == contents(done.out)
