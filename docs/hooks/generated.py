"""What the program says about itself, at its place in a page: ``<!-- generated: NAME -->``."""

from __future__ import annotations

import re
import subprocess
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # tests call these functions without mkdocs
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files
    from mkdocs.structure.pages import Page


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Fill in what is generated."""
    return re.sub(r"<!-- generated: (\w+) -->", lambda found: GENERATED[found[1]](), markdown)


def commands() -> str:
    """The help of all commands, one section for each."""
    command = [sys.executable, "-m", "typer", "prelabel.cli.main", "utils", "docs"]
    done = subprocess.run(
        [*command, "--name", "prelabel"], capture_output=True, text=True, check=True
    )
    text = done.stdout.partition("\n")[2].replace("\b", "")  # the page has its own title
    text = re.sub(
        r"^\*\*Commands\*\*:\n\n(\* .*\n)+", "", text, flags=re.M
    )  # cut off at 45 letters
    return re.sub(r"^Example:\n((?:  .*\n)+)", _example, text, flags=re.M)


def _example(found: re.Match[str]) -> str:
    lines = "".join(line[2:] + "\n" for line in found[1].splitlines())
    return f"**Example**:\n\n```console\n{lines}```\n"


GENERATED = {"commands": commands}
