"""The jobs of docs/scale.md run what they should, with a stand-in for prelabel that notes its words."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest
import yaml

from support.places import ROOT

PAGE = (ROOT / "docs" / "scale.md").read_text("utf-8")
PART = re.compile(r"--shard (\d+)/20$", re.M)


@pytest.fixture
def noted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file in which the stand-in notes the words of each call."""
    file = tmp_path / "noted"
    script = tmp_path / "prelabel"
    script.write_text(f'#!/bin/sh\necho "$@" >> {file}\n')
    script.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    return file


def block(language: str, part: str) -> str:
    """The one block of a language that holds ``part``."""
    found = re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.M | re.S)
    (text,) = [text for text in found if part in text]
    return str(text)


def test_xargs__each_shard_once(noted: Path) -> None:
    (line,) = [line for line in block("bash", "xargs").splitlines() if "xargs" in line]
    subprocess.run(["bash", "-c", line], check=True)
    assert sorted(map(int, PART.findall(noted.read_text()))) == list(range(1, 21))


def test_slurm__each_shard_once(noted: Path) -> None:
    script = block("bash", "#SBATCH")
    match = re.search(r"^#SBATCH --array=(\d+)-(\d+)$", script, re.M)
    assert match
    first, last = map(int, match.groups())
    own = {"SLURM_CPUS_PER_TASK": "4", "SLURM_ARRAY_TASK_COUNT": str(last - first + 1)}
    for number in range(first, last + 1):
        env = {**os.environ, **own, "SLURM_ARRAY_TASK_ID": str(number)}
        subprocess.run(["bash", "-c", script], env=env, check=True)
    assert list(map(int, PART.findall(noted.read_text()))) == list(range(1, 21))


def test_kubernetes__each_shard_once(noted: Path) -> None:
    job = yaml.safe_load(block("yaml", "kind: Job"))
    assert job["spec"]["completionMode"] == "Indexed"
    (container,) = job["spec"]["template"]["spec"]["containers"]
    for index in range(job["spec"]["completions"]):
        env = {**os.environ, "JOB_COMPLETION_INDEX": str(index)}
        subprocess.run([*container["command"], *container["args"]], env=env, check=True)
    assert list(map(int, PART.findall(noted.read_text()))) == list(range(1, 21))
