"""Photos, facts and pages for the tests of the report."""

from __future__ import annotations

import json
from collections.abc import Sequence
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
from msgspec import structs
from numpy.typing import NDArray

import builders
from builders import region
from prelabel.data import images
from prelabel.data.records import Image, Prediction, Region
from prelabel.report import Thumbnails
from prelabel.runs.facts import PhotoFacts, RunFacts, Skipped

CLASSES = ["object 1", "object 2", "object 3"]


def run_facts(
    *,
    skipped: Sequence[tuple[str, str]] = (),
    classes: Sequence[str] = CLASSES,
    **changes: Any,
) -> RunFacts:
    """Facts of a run; ``changes`` replaces fields."""
    facts = RunFacts(
        command="run",
        state="done",
        prelabel="0.1.0",
        model_version="abc-0",
        weights={"name": "color-texture"},
        photos=PhotoFacts("/photos", 12, 12, [Skipped(*one) for one in skipped], 12, 3, 0),
        classes=len(classes),
        class_names=list(classes),
        strategies={"backbone": "prelabel 0.1.0"},
        config={"seed": 0},
        warnings=[],
        seconds={"features": 3.0, "classes": 1.0, "total": 4.5},
        peak_memory_mb=512.0,
    )
    return structs.replace(facts, **changes)


def box_region(
    box: tuple[int, int, int, int], size: tuple[int, int], *, score: float = 0.5, cluster: int = 0
) -> Region:
    """A filled box (x, y, width, height) in a photo of size width × height."""
    mask = builders.box(*box, photo=(size[1], size[0]))
    return region(mask, score=score, cluster=cluster)


def picture(pixels: NDArray[np.uint8], size: tuple[int, int] | None = None) -> Image:
    """``size``: the photo's full width and height, if that is not the pixels'."""
    width, height = size or (pixels.shape[1], pixels.shape[0])
    return Image(pixels, width, height, images.digest(pixels.tobytes()))


def flat(width: int, height: int, color: tuple[int, int, int]) -> NDArray[np.uint8]:
    """Pixels of one colour."""
    return np.full((height, width, 3), color, dtype=np.uint8)


def prediction(name: str, of: Image, regions: Sequence[Region]) -> Prediction:
    """The prediction of an image."""
    size = (of.height, of.width)
    return builders.prediction(name, *regions, size=size, digest=of.digest)


def small_dataset(folder: Path, *, n: int = 12) -> list[Prediction]:
    """Grey photos, the i-th with i % 4 square regions; scores rise with i. Thumbnails are made."""
    thumbnails = Thumbnails(folder / "thumbs")
    found = []
    for i in range(n):
        photo = picture(flat(200, 150, (120, 120, 100 + i % 100)))
        regions = [
            box_region(
                (60 * j + 10, 50, 40, 40), (200, 150), score=(i + 1) / (n + 4 * j), cluster=j
            )
            for j in range(i % 4)
        ]
        thumbnails.add(photo, regions)
        found.append(prediction(f"photo {i}.jpg", photo, regions))
    return found


class Scripts(HTMLParser):
    """Collects a page's script elements and every address it points to."""

    def __init__(self, page: Path) -> None:
        super().__init__()
        self.scripts: list[tuple[dict[str, str | None], str]] = []
        self.addresses: list[str] = []
        self.feed(page.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.addresses += [
            value or "" for name, value in attrs if name in ("src", "href", "srcset")
        ]
        if tag == "script":
            self.scripts.append((dict(attrs), ""))

    def handle_data(self, data: str) -> None:
        if self.cdata_elem == "script":
            self.scripts[-1] = (self.scripts[-1][0], self.scripts[-1][1] + data)

    @property
    def data(self) -> Any:
        """The JSON that the page's script reads."""
        [found] = [text for attributes, text in self.scripts if attributes.get("id") == "data"]
        return json.loads(found)
