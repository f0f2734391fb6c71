"""The result of a run as the source of a review: names count in its exports and its report."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from prelabel.data.dataset import Problems
from prelabel.data.images import read_image
from prelabel.data.records import Image
from prelabel.errors import UserError
from prelabel.review.carried_names import ORIGIN, CarriedNames, last_reviewed, photo_id
from prelabel.review.journal import FILE as JOURNAL
from prelabel.review.outputs import write_outputs
from prelabel.review.region_vectors import RegionVectors
from prelabel.review.review import Review
from prelabel.review.source import Decisions, Name, ReviewPhoto
from prelabel.runs.facts import RunFacts
from prelabel.runs.folder import find_predictions, locked
from prelabel.runs.predictions import FILE, read_predictions
from prelabel.runs.reviewed import (
    FOLDER,
    predictions_key,
    read_reviewed,
    with_classes,
    write_reviewed,
)
from prelabel.storage.files import LOCK
from prelabel.storage.json import decode
from prelabel.storage.locks import exclusive
from prelabel.storage.marker import MARKER
from prelabel.storage.progress import Progress, RunLog
from prelabel.storage.remote import file_in, place


class ResultFolder:
    """The folder that `prelabel run` has left.

    Its predictions stay as they are; those with the names of the review lie beside them, and count.
    Photos that were moved away or changed have no picture, and regions of which no vector is known
    come last in their class.
    """

    def __init__(
        self, folder: Path, *, photos: Path | None = None, progress: Progress | None = None
    ) -> None:
        """``photos``: where the photos lie now. Raises UserError if it is not such a folder."""
        self.folder = folder
        self._facts = _read_facts(folder)
        self._photos = photos or place(self._facts.photos.folder)
        self._progress = progress
        self._key = predictions_key(folder)
        self.problems = Problems()

    @property
    def place(self) -> Path:
        """Where the review keeps what it needs."""
        return self.folder / FOLDER

    @property
    def title(self) -> str:
        """The folder's name."""
        return self.folder.resolve().name

    @property
    def key(self) -> str:
        """Of the predictions."""
        return self._key

    def labels(self) -> Mapping[str, str]:
        """The labels that the run was told of; exports choose their colours themselves."""
        classes = self._facts.config.get("classes")
        asked = classes.get("labels") if isinstance(classes, dict) else None
        return dict.fromkeys([*self._taught, *(asked if isinstance(asked, list) else [])], "")

    def regions(self) -> Iterator[ReviewPhoto]:
        """The predicted photos; vectors are taken from the cache, or computed again."""
        log = RunLog(self._progress)
        total = self._facts.photos.predicted or 0
        vectors = RegionVectors(self.folder / "model", self._photos, self.problems)
        earlier = last_reviewed(self.place, key=self.key)
        carried = CarriedNames(earlier, vectors.model, vectors.origin) if earlier else None
        (self.place / self.key).mkdir(parents=True, exist_ok=True)
        (self.place / self.key / ORIGIN).write_text(vectors.origin, encoding="utf-8")
        with log.stage("review", total):
            for prediction in log.advancing(read_predictions(self.folder / FILE)):
                own = vectors.of(prediction)
                names = carried.of(prediction, own) if carried else [""] * len(own)
                yield ReviewPhoto(
                    id=photo_id(prediction),
                    name=prediction.photo,
                    width=prediction.width,
                    height=prediction.height,
                    regions=prediction.regions,
                    vectors=own,
                    names=[
                        self._name(region.cluster) if name == "" else name
                        for region, name in zip(prediction.regions, names, strict=True)
                    ],
                )

    def image(self, photo: str) -> Image:
        """A photo. Raises PhotoError."""
        return read_image(file_in(self._photos, photo.partition(":")[2]))

    def apply(self, decisions: Decisions) -> None:
        """Write the predictions with their names. Raises UserError if the run was run again."""
        names = self._class_names(decisions)
        classes = list(dict.fromkeys(names.values()))
        numbers = {number: classes.index(name) for number, name in names.items()}
        version = f"{self._facts.model_version.rpartition('-')[0]}-{decisions.revision}"
        with locked(self.folder):
            if predictions_key(self.folder) != self._key:
                raise UserError(
                    f"{str(self.folder)!r} was run again meanwhile: stop this review, and start it anew"
                )
            pairs = zip(read_predictions(self.folder / FILE), decisions.photos(), strict=True)
            write_reviewed(
                self.folder,
                (
                    with_classes(one, [numbers.get(c) for c in reviewed.classes.tolist()], version)
                    for one, reviewed in pairs
                ),
                key=self._key,
                class_names=classes,
                model_version=version,
            )

    @property
    def _taught(self) -> list[str]:
        """Names of the classes that come first, those of the labels that the run has learned from."""
        return list(self._facts.taught.classes) if self._facts.taught else []

    def _name(self, cluster: int) -> Name:
        return self._taught[cluster] if 0 <= cluster < len(self._taught) else ""

    def _class_names(self, decisions: Decisions) -> dict[int, str]:
        """The name that each class which is no background has in exports; those that people have
        named first."""
        found: dict[int, str] = {}
        own = self._facts.class_names
        for number, name in sorted(
            decisions.names.items(), key=lambda item: (not item[1], item[0])
        ):
            if name is None:
                continue
            unnamed = (
                own[number] if number < len(own) else f"object {number - len(self._taught) + 1}"
            )
            found[number] = name or unnamed
        return found


@contextmanager
def review_of_run(source: ResultFolder) -> Iterator[Review]:
    """The review of a run, which no other process has open meanwhile; names that an earlier review
    gave count in it from the start. Raises UserError and OSError."""
    lock = source.place / f"{LOCK}.review"
    with exclusive(lock, f"the review of {str(source.folder)!r}"):
        review = Review(source, source.place)
        names = review.board.snapshot().names.values()
        if any(name != "" for name in names) and not read_reviewed(source.folder):
            review.apply_now()
        yield review


def keep_names(run: Path, *, progress: Progress | None = None) -> bool:
    """Have the names of earlier reviews count in a run that was just done, its exports and its report.
    Returns whether there were any. Raises UserError and OSError."""
    if not any((run / FOLDER).glob(f"*/{JOURNAL}")):
        return False
    with review_of_run(ResultFolder(run, progress=progress)) as review:
        review.apply_now()  # edits of a killed process, too
        return bool(write_outputs(run, progress=progress))


def _read_facts(folder: Path) -> RunFacts:
    """The facts of a run that is done. Raises UserError."""
    find_predictions(folder)  # says what is wrong with other folders
    if not folder.is_dir():
        raise UserError(f"{str(folder)!r} is a file: name the folder that `prelabel run` has left")
    try:
        facts = decode((folder / MARKER).read_bytes(), RunFacts)
    except ValueError as error:
        raise UserError(
            f"{str(folder / MARKER)!r} was written by another version of prelabel ({error}): run the "
            "same `prelabel run` again"
        ) from error
    if facts.command != "run":
        raise UserError(
            f"{str(folder)!r} holds what `prelabel {facts.command}` wrote, which has no model: name "
            "the folder of a run"
        )
    return facts
