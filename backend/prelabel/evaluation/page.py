"""The evaluation's page: every figure, and the worst and best photos side by side."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path

from prelabel.data import images
from prelabel.errors import PhotoError
from prelabel.evaluation import page_sections as sections
from prelabel.evaluation.measure import Evaluation
from prelabel.evaluation.page_photos import card, chosen
from prelabel.report import Thumbnails
from prelabel.storage.files import replacing

THUMBS = "thumbs"
"""Folder of the photos' small pictures, beside the page."""
_MARK = re.compile(r"\{\{(\w+)\}\}")


def write_page(folder: Path, evaluation: Evaluation, *, facts: Mapping[str, str]) -> Path:
    """Write ``folder/index.html``, with small pictures beside it, and return its path.

    ``evaluation``: with all groups measured. Where it knows no folder of photos, or one of them
    cannot be used, masks stand alone and the page says so. ``facts``: what was compared, shown at the page's head. The page asks for nothing from
    outside. Raises OSError if a file cannot be written; a page that was there before then stays.
    """
    folder.mkdir(parents=True, exist_ok=True)
    thumbnails = Thumbnails(folder / THUMBS)
    cards, used, missing = [], set(), 0
    for index in chosen(evaluation):
        name = _thumbnail(thumbnails, evaluation, index)
        used.update([name] if name else [])
        missing += not name
        cards.append({**card(evaluation, index), "thumb": f"{THUMBS}/{name}" if name else ""})
    parts = {
        "style": _file("prelabel.report", "style.css") + _file(__package__, "page.css"),
        "script": _file(__package__, "page.js"),
        "facts": sections.facts(facts),
        "figures": sections.figures(evaluation.figures),
        "notes": sections.notes(evaluation.figures),
        "sizes": sections.sizes(evaluation.figures),
        "classes": sections.classes(evaluation.figures),
        "confusion": sections.confusion(evaluation.figures),
        "costs": sections.costs(evaluation.costs),
        "pictures": sections.pictures(missing=missing, shown=len(cards)),
        "data": _json({"classes": sections.colors(evaluation), "photos": cards}),
    }
    page = folder / "index.html"
    # One pass, so that a photo named "{{style}}" stays just that.
    text = _MARK.sub(lambda mark: parts[mark[1]], _file(__package__, "page.html"))
    with (
        replacing(page) as beside,
        beside.open("w", encoding="utf-8", errors="xmlcharrefreplace", newline="\n") as file,
    ):
        file.write(text)
    thumbnails.keep_only(used)
    return page


def _thumbnail(thumbnails: Thumbnails, evaluation: Evaluation, index: int) -> str:
    """The file name of a photo's small picture, made if need be; "" if the photo cannot be used."""
    labels = evaluation.pairing.pairs[index].prediction
    if (photos := evaluation.photos) is None:
        return ""
    file = photos / labels.photo
    # A name from a stranger's file may lead anywhere.
    if not file.resolve().is_relative_to(photos.resolve()):
        return ""
    try:
        picture = images.read_image(file)
    except PhotoError:
        return ""
    if (picture.width, picture.height) != (labels.width, labels.height):
        return ""
    thumbnails.add(picture, ())
    return thumbnails.photo_name(picture.digest)


def _json(value: object) -> str:
    """JSON in ASCII that is safe inside a script element: no ``</script`` and no ``<!--``."""
    return json.dumps(value, separators=(",", ":")).replace("<", "\\u003c")


def _file(package: str, name: str) -> str:
    return files(package).joinpath(name).read_text(encoding="utf-8")
