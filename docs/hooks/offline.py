"""Nothing on a page comes from another server: readers may be on a network without a way out."""

from __future__ import annotations

import logging
import re

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.pages import Page

_log = logging.getLogger("mkdocs.hooks.offline")
_FETCHED = re.compile(
    r"<(?:script|img|iframe|video|source)\b[^>]*\bsrc=\"?((?:https?:)?//[^\s\">]+)"
    r"|<link\b(?=[^>]*rel=\"?(?:stylesheet|preconnect|icon))[^>]*\bhref=\"?((?:https?:)?//[^\s\">]+)"
)


def on_post_page(output: str, page: Page, config: MkDocsConfig) -> str:
    """Warn of what a browser would fetch from elsewhere; a warning fails the build."""
    for addresses in _FETCHED.findall(output):
        _log.warning("%s fetches %s: keep a copy in docs/", page.file.src_uri, "".join(addresses))
    return output
