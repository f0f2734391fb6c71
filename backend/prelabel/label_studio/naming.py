"""Names of clusters, learned from what annotators named: exemplars, which survive a refit."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from prelabel.clustering import assign
from prelabel.errors import UserError
from prelabel.levels import unit
from prelabel.records import Rle
from prelabel.storage import replacing
from prelabel.strategies import Clusterer

Float = NDArray[np.float32]


@dataclass(frozen=True)
class Exemplar:
    """One region that a person has looked at.

    ``photo``: which one, such as the task and image key. ``rle``: its mask. ``embedding``: float32
    (dim,), by the embedder that the classes are made from. ``name``: the label that it was given or
    kept with; "" if it was deleted.
    """

    photo: str
    rle: Rle
    embedding: Float
    name: str


class Names:
    """Names for regions, from exemplars and class centroids float32 (n_classes, dim).

    An exemplar belongs to the class nearest to it, by the clusterer's own distance, so it needs no
    class id and outlives every refit.

    - A class whose exemplars all have one name has that name everywhere; so classes that were given
      one label are one from then on.
    - A class with exemplars of several names is split: a region takes the name of the exemplar
      nearest to it by cosine. Deleted regions count like a name of their own, and a region nearest
      to one stays without a name.
    - A class without exemplars has its name in ``defaults``, or none.

    Exemplars whose vectors have another length come from another embedder and are left out.
    """

    def __init__(
        self,
        exemplars: Sequence[Exemplar],
        centroids: Float,
        *,
        clusterer: Clusterer,
        defaults: Mapping[int, str | None] | None = None,
    ) -> None:
        self._defaults = dict(defaults or {})
        self._of: dict[int, tuple[Float, list[str]]] = {}
        own = [e for e in exemplars if len(centroids) and e.embedding.shape == centroids.shape[1:]]
        if own:
            vectors = np.stack([e.embedding for e in own]).astype(np.float32)
            classes = assign(clusterer, vectors, centroids)
            for c in np.unique(classes):
                chosen = np.flatnonzero(classes == c)
                self._of[int(c)] = unit(vectors[chosen]), [own[i].name for i in chosen]

    def __call__(self, embeddings: Float, clusters: Iterable[int]) -> list[str | None]:
        """A name, or None, for each region: float32 (n, dim) and n class ids."""
        return [
            self._name(vector, cluster)
            for vector, cluster in zip(unit(embeddings), clusters, strict=True)
        ]

    def table(self, n_classes: int) -> list[dict[str, int]]:
        """For each class the names of its exemplars and how many have each; "" is deleted."""
        counts: list[dict[str, int]] = [{} for _ in range(n_classes)]
        for c, (_, names) in self._of.items():
            counts[c] = {name: names.count(name) for name in dict.fromkeys(names)}
        return counts

    def _name(self, vector: Float, cluster: int) -> str | None:
        if cluster not in self._of:
            return self._defaults.get(cluster)
        vectors, names = self._of[cluster]
        if len(set(names)) == 1:
            return names[0] or None
        # Not a matrix product: its rounding could depend on how many exemplars there are.
        return names[int(np.argmax((vectors * vector).sum(axis=1)))] or None


class ExemplarFile:
    """Exemplars of one project in one JSON-lines file, replaced whole; ``revision`` goes up by one
    with every change."""

    def __init__(self, file: Path) -> None:
        """Raises UserError for a file that cannot be read."""
        self.file = file
        self.revision = 0
        self.exemplars: tuple[Exemplar, ...] = ()
        if file.exists():
            try:
                head, *lines = file.read_text(encoding="ascii").splitlines()
                self.revision = int(json.loads(head)["revision"])
                self.exemplars = tuple(_from_json(json.loads(line)) for line in lines)
            except (OSError, ValueError, KeyError, TypeError) as error:
                raise UserError(
                    f"{file} holds no exemplars ({type(error).__name__}): put back a copy of it, or "
                    "remove it and name the clusters anew"
                ) from error

    def learn(self, photo: str, exemplars: Iterable[Exemplar]) -> bool:
        """A photo's exemplars take the place of those it had; whether anything has changed."""
        new = tuple(e for e in self.exemplars if e.photo != photo) + tuple(exemplars)
        if [_to_json(e) for e in new] == [_to_json(e) for e in self.exemplars]:
            return False
        head = json.dumps({"revision": self.revision + 1})
        with replacing(self.file) as beside:
            beside.write_text(
                "\n".join([head, *(json.dumps(_to_json(e)) for e in new)]) + "\n", encoding="ascii"
            )
        self.revision += 1
        self.exemplars = new
        return True


def _to_json(exemplar: Exemplar) -> dict[str, object]:
    return {
        "photo": exemplar.photo,
        "name": exemplar.name,
        "rle": exemplar.rle,
        "embedding": [float(v) for v in exemplar.embedding],
    }


def _from_json(facts: Mapping[str, object]) -> Exemplar:
    return Exemplar(
        photo=str(facts["photo"]),
        rle=facts["rle"],  # type: ignore[arg-type]
        embedding=np.array(facts["embedding"], dtype=np.float32),
        name=str(facts["name"]),
    )
