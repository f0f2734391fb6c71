"""prelabel in a process of its own, with packages put beside it as pip would."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import textwrap
from collections.abc import Iterable, Mapping
from pathlib import Path

from support.places import ROOT


def install(
    site: Path,
    distribution: str,
    version: str,
    *,
    files: Mapping[str, str],
    entry_points: Mapping[str, str],
) -> None:
    """Put a distribution into the folder ``site``, in place of an earlier version of it.

    ``files``: source by path. ``entry_points``: ``group/name`` to ``module:Class``.
    """
    for earlier in site.glob(f"{distribution.replace('-', '_')}-*.dist-info"):
        shutil.rmtree(earlier)
    facts = site / f"{distribution.replace('-', '_')}-{version}.dist-info"
    facts.mkdir(parents=True)
    (facts / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: {distribution}\nVersion: {version}\n"
    )
    lines = []
    for place, target in entry_points.items():
        group, _, name = place.partition("/")
        lines += [f"[{group}]", f"{name} = {target}"]
    (facts / "entry_points.txt").write_text("\n".join(lines) + "\n")
    for name, source in files.items():
        file = site / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(textwrap.dedent(source))


def copy_of_prelabel(folder: Path) -> Path:
    """The three packages, to be changed and put first on the path."""
    for package in ("backend/prelabel", "plugins/prelabel_plugins", "exporters/prelabel_exporters"):
        source = ROOT / package
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(source, folder / source.name, ignore=ignored)
    return folder


def edit(file: Path, old: str, new: str) -> None:
    """Change a source; the old text must be there once."""
    source = file.read_text(encoding="utf-8")
    assert source.count(old) == 1, (file, old)
    file.write_text(source.replace(old, new), encoding="utf-8")


def python(code: str, *arguments: str | Path, paths: Iterable[Path] = (), cache: Path) -> str:
    """What a program prints, standard error behind it; it must end well."""
    parts = [*map(str, paths), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(parts),
        "PYTHONDONTWRITEBYTECODE": "1",  # sources that change within a second
        "PRELABEL_CACHE": str(cache),
        "HF_HUB_OFFLINE": "1",
        "COLUMNS": "200",
    }
    done = subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)],
        capture_output=True,
        text=True,
        env=environment,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


def prelabel(*arguments: str | Path, paths: Iterable[Path] = (), cache: Path) -> str:
    """What a command prints."""
    code = "from prelabel.cli.main import main; main()"
    return python(code, *arguments, paths=paths, cache=cache)
