"""Documents of the repository that lie outside docs/ are pages of the site, too: README is its home.

Those at the top are added, and files that a page links to. Links lead to the same document on the
site as on disk.
"""

from __future__ import annotations

import posixpath
import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

HOME = "README.md"
_CODE = re.compile(r"(^ *```.*?^ *```$)", re.M | re.S)
_LINK = re.compile(r"(?<=\]\()(?!\w+:|#)([^)#\s]+)(?=[)#])")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the documents at the top, and what can be reached from the pages by links."""
    root = Path(config.config_file_path).parent
    found = {path.name for path in root.glob("*.md")}
    waiting = [*found, *(f"docs/{file.src_uri}" for file in files.documentation_pages())]
    while waiting:
        document = waiting.pop()
        text = _CODE.sub("", (root / document).read_text("utf-8"))
        for target in {_target(link, document, root) for link in _LINK.findall(text)} - found:
            if (root / target).is_file() and not target.startswith("docs/"):
                found.add(target)
                waiting += [target] if target.endswith(".md") else []
    for path in sorted(found):
        files.append(File.generated(config, _on_site(path), abs_src_path=str(root / path)))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Make links between documents links between pages."""
    root = Path(config.config_file_path).parent
    document = Path(page.file.abs_src_path or "").relative_to(root).as_posix()
    folder = posixpath.dirname(page.file.src_uri) or "."

    def to_page(link: re.Match[str]) -> str:
        return posixpath.relpath(_on_site(_target(link[1], document, root)), folder)

    parts = _CODE.split(markdown)  # text and code in turn
    parts[::2] = [_LINK.sub(to_page, text) for text in parts[::2]]
    return "".join(parts)


def _target(link: str, document: str, root: Path) -> str:
    """The file that a document's link leads to, from the root; a folder is its README.md."""
    path = posixpath.normpath(posixpath.join(posixpath.dirname(document), link))
    return f"{path}/README.md" if (root / path).is_dir() else path


def _on_site(path: str) -> str:
    """Where a file of the repository is on the site."""
    return "index.md" if path == HOME else path.removeprefix("docs/")
