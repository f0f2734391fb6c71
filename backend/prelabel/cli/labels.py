"""The option --labels: labels of photos, or the names that annotators will use."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from prelabel.errors import UserError
from prelabel.storage.remote import Place

if TYPE_CHECKING:
    from prelabel.data.dataset import Dataset

_LIKE_A_PATH = re.compile(r"[/\\]|\.[A-Za-z][A-Za-z0-9]{0,8}$")
"""A separator, or a suffix."""
_AS_A_NAME = "--set 'classes.labels=[\"…\"]'"


@dataclass(frozen=True)
class LabelsOption:
    """What --labels said. ``source``: of labels, None if there are none. ``format``: of these, "" to
    recognize it. ``names``: that annotators will use. ``complete``: whether what is not labelled on a
    labelled photo is background. ``option``: what it is called."""

    source: Path | None
    format: str
    names: tuple[str, ...]
    complete: bool
    option: str = "--labels"

    def open(self, photos: Place) -> Dataset | None:
        """The labels, of photos whose names are relative to the folder ``photos``. If that is in object
        storage, formats that do not state the photos' sizes cannot be read. Raises UserError."""
        if self.source is None:
            return None
        from prelabel.runs.datasets import open_dataset

        try:
            folder = photos if isinstance(photos, Path) else None
            found = open_dataset(self.source, format=self.format, photos=folder)
        except UserError as error:
            if _LIKE_A_PATH.search(str(self.source)):
                raise
            raise UserError(f"{error}; where it is a name: {_AS_A_NAME}") from error
        if found.model_version:
            raise UserError(
                f"{self.option} {str(self.source)!r} holds predictions of prelabel, which teach it "
                "nothing: name labels that people have made or corrected"
            )
        return found


def read_labels_option(text: str, *, format: str = "", partial: bool = False) -> LabelsOption:
    """What --labels, --labels-from and --partial say together. Raises UserError.

    What exists is a source of labels; everything else has to be names.
    """
    source = Path(text).expanduser() if text.strip() else None
    if source is not None and _exists(source):
        return LabelsOption(source, format, (), not partial)
    names = tuple(name.strip() for name in text.split(",") if name.strip())
    for name in names:
        if _LIKE_A_PATH.search(name):
            raise UserError(
                f"--labels {name!r}: no such file or folder; where it is a name: {_AS_A_NAME}"
            )
    for option, given in (("--labels-from", format), ("--partial", partial)):
        if given:
            found = f"the names {', '.join(names)}" if names else "no labels"
            raise UserError(f"{option} is about labels of photos, found {found}: --labels FILE")
    return LabelsOption(None, "", names, True)


def open_examples(text: str, *, format: str = "", photos: Place) -> Dataset:
    """The labels that --like names, of photos whose names are relative to the folder ``photos``. Raises
    UserError."""
    source = Path(text).expanduser()
    if not text.strip() or not _exists(source):
        raise UserError(f"--like {text!r}: no such file or folder")
    found = LabelsOption(source, format, (), complete=True, option="--like").open(photos)
    assert found is not None  # it has a source
    return found


def _exists(source: Path) -> bool:
    try:
        return source.exists()
    except (OSError, ValueError):  # a name that is too long, or has a null byte
        return False
