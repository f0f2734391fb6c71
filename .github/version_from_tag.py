"""Put the version of a tag into pyproject.toml and CITATION.cff, before a release is built.

``python .github/version_from_tag.py v0.2.0``: the changelog must have a section of that version, with
its date, and the project's addresses must be real ones.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

_TAG = re.compile(r"v(\d+\.\d+\.\d+(?:(?:a|b|rc)\d+)?)", re.ASCII)


def set_version(root: Path, tag: str) -> None:
    """Write the version of a tag into both files. Raises SystemExit with what has to be corrected."""
    if not (found := _TAG.fullmatch(tag)):
        raise SystemExit(f"the tag {tag!r} is no version: expected one like v0.2.0 or v0.2.0rc1")
    version = found[1]
    changelog = (root / "CHANGELOG.md").read_text("utf-8")
    heading = re.search(rf"^## \[{re.escape(version)}\] - (\d{{4}}-\d\d-\d\d)$", changelog, re.M)
    if not heading:
        raise SystemExit(f"CHANGELOG.md has no section '## [{version}] - YYYY-MM-DD'")
    project = (root / "pyproject.toml").read_text("utf-8")
    if "github.com/OWNER/" in project:
        raise SystemExit(
            "pyproject.toml has OWNER in its addresses: put the repository's in its place"
        )
    _replace(root / "pyproject.toml", r'^version = ".*"$', f'version = "{version}"')
    _replace(root / "CITATION.cff", r"^version: .*$", f"version: {version}")
    _replace(root / "CITATION.cff", r"^date-released: .*$", f"date-released: {heading[1]}")


def _replace(file: Path, pattern: str, line: str) -> None:
    text, n = re.subn(pattern, line, file.read_text("utf-8"), flags=re.MULTILINE)
    if n != 1:
        raise SystemExit(f"{file.name}: expected one line {pattern}, found {n}")
    file.write_text(text, "utf-8")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        raise SystemExit(__doc__)
    set_version(Path(__file__).parent.parent, sys.argv[1])
