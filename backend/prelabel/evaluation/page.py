"""The evaluation's page: every figure, and the worst and best photos side by side."""

from __future__ import annotations

from pathlib import Path

from prelabel.data import images
from prelabel.data.colors import css_color
from prelabel.errors import PhotoError
from prelabel.evaluation import page_contents
from prelabel.evaluation.measure import Evaluation
from prelabel.evaluation.page_photos import card, chosen
from prelabel.evaluation.tables import notes
from prelabel.evaluation.verdict import verdict
from prelabel.report import Thumbnails
from prelabel.storage import pages
from prelabel.storage.remote import file_in, is_below

THUMBS = "thumbs"
"""Folder of the photos' small pictures, beside the page."""


def write_page(
    folder: Path, evaluation: Evaluation, *, predictions: object, ground_truth: object
) -> Path:
    """Write ``folder/index.html``, with small pictures beside it, and return its path.

    Groups of figures that were not measured are left out. Where ``evaluation`` knows no folder of photos, or one of them
    cannot be used, masks stand alone and the page says so. ``predictions``, ``ground_truth``: the
    names of what was compared. The page asks for nothing from outside. Raises OSError if a file
    cannot be written; a page that was there before then stays.
    """
    figures, measured = evaluation.figures, evaluation.measured.complete()
    folder.mkdir(parents=True, exist_ok=True)
    thumbnails = Thumbnails(folder / THUMBS)
    cards, used = [], set()
    for index in chosen(measured) if measured.can_show_photos else ():
        name = _thumbnail(thumbnails, evaluation, index)
        used.update([name] if name else [])
        cards.append({**card(measured, index), "thumb": f"{THUMBS}/{name}" if name else ""})
    colors = [
        {"name": name, "color": css_color(index)} for index, name in enumerate(measured.classes)
    ]
    values = {
        "facts": {
            "predictions": predictions,
            "ground truth": ground_truth,
            "model": figures.sources.model_version or "not recorded",
            **({"COCOeval by": figures.coco.by} if figures.coco else {}),
        },
        "verdict": verdict([figures]),
        "figures": page_contents.figure_rows(figures),
        "notes": notes(figures),
        "sizes": figures.objects and page_contents.size_table(figures.objects.by_size),
        "classes": page_contents.class_table(figures),
        "confusion": (figures.pixels and page_contents.confusion_table(figures.pixels.confusion)),
        "costs": measured.costs.stated(),
        "about_costs": page_contents.about_costs(),
        "can_show_photos": measured.can_show_photos,
        "n_missing": sum(not one["thumb"] for one in cards),
        "data": {"classes": colors, "photos": cards},
    }
    page = folder / "index.html"
    pages.write_page(page, "evaluation/page.html.j2", values)
    thumbnails.keep_only(used)
    return page


def _thumbnail(thumbnails: Thumbnails, evaluation: Evaluation, index: int) -> str:
    """The file name of a photo's small picture, made if need be; "" if the photo cannot be used."""
    labels = evaluation.measured.pairing.pairs[index].prediction
    if (photos := evaluation.photos) is None:
        return ""
    file = file_in(photos, labels.photo)
    # A name in a file from elsewhere may lead out of the folder.
    if not is_below(file, photos):
        return ""
    try:
        image = images.read_image(file)
    except PhotoError:
        return ""
    if (image.width, image.height) != (labels.width, labels.height):
        return ""
    thumbnails.add(image, ())
    return thumbnails.photo_name(image.digest)
