"""What the backend's own pages are sent with."""

from __future__ import annotations

from prelabel.storage.pages import source_hash

HEADERS = {
    "Content-Security-Policy": "default-src 'none'; form-action 'self'; frame-ancestors 'none'; "
    f"base-uri 'none'; style-src {source_hash(['label_studio/server/status.css'])}",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}
