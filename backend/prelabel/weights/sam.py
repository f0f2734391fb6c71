"""SAM, SAM 2 and EfficientSAM through osam: their weights, and masks for points and boxes.

osam downloads a model's ONNX files on first use, into its own cache, and compares them with the hashes
that it knows. Importing this module needs the extra ``sam``.
"""

from __future__ import annotations

import hashlib
import logging
import math
import textwrap
import threading
import time
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import Annotated, Any

import loguru
import numpy as np
import osam
from numpy.typing import NDArray
from osam.types import GenerateRequest, ImageEmbedding, Prompt
from pydantic import AfterValidator

from prelabel.errors import UserError
from prelabel.storage.text import error_line

DEFAULT_SAM = "efficientsam:10m"
"""The smallest of osam's models."""
_FAMILIES = ("efficientsam", "sam", "sam2")
"""Those that take any points and a box. SAM 3 takes words or one box, YOLO-World words alone."""
_PADDED = "sam"
"""This family's encoder sees the photo scaled, with a margin right or below that makes it a square;
the others stretch the photo to a square."""
_KEPT = 4
"""Embeddings that stay in memory, 4 to 16 MB each: those of photos that are being clicked on."""

_PATIENCE = 60.0
"""Seconds after a failure in which no download is tried again."""
_REASON = 160
"""Letters of the network's own message that are passed on; it repeats the address several times."""

_log = logging.getLogger(__name__)
_named: set[str] = set()
"""Models whose licence this process has named."""
_loading = threading.Lock()
_failed: dict[str, tuple[float, str]] = {}
"""When models could not be loaded, and the message."""
# osam tells its progress to loguru, which prints everything unless told otherwise.
loguru.logger.disable("osam")


@dataclass(frozen=True)
class SamPrompt:
    """What to segment, in pixels of the photo.

    ``points``: float32 (n, 2), x and y. ``labels``: int64 (n,); 1 on the object, 0 beside it, 2 and 3
    the upper left and lower right corner of a box.
    """

    points: NDArray[np.float32]
    labels: NDArray[np.int64]


class SamModel:
    """One of osam's models. May be used by several threads at once."""

    def __init__(self, model: Any) -> None:
        """``model``: an ``osam.types.Model``."""
        self._model = model
        self._lock = threading.Lock()
        self._embeddings: OrderedDict[bytes, ImageEmbedding] = OrderedDict()

    def embedding(self, pixels: NDArray[np.uint8]) -> ImageEmbedding:
        """The embedding of a photo, uint8 (h, w, 3) RGB. It takes most of the time, so that those of
        the last photos are kept."""
        digest = hashlib.blake2b(str(pixels.shape).encode(), digest_size=16)
        digest.update(np.ascontiguousarray(pixels).data)
        key = digest.digest()
        # One at a time: the encoder uses all cores, and needs some GB of memory for large models.
        with self._lock:
            if key not in self._embeddings:
                self._embeddings[key] = self._model.encode_image(np.array(pixels))
            self._embeddings.move_to_end(key)
            while len(self._embeddings) > _KEPT:
                self._embeddings.popitem(last=False)
            return self._embeddings[key]

    def vectors(self, embedding: ImageEmbedding) -> NDArray[np.float32]:
        """The embedding as float32 (rows, columns, dim), a grid that covers exactly the photo."""
        grid = np.asarray(embedding.embedding, dtype=np.float32).transpose(1, 2, 0)
        if self._model.name.partition(":")[0] != _PADDED:
            return grid
        height, width = embedding.original_height, embedding.original_width
        rows = max(1, round(grid.shape[0] * height / max(height, width)))
        columns = max(1, round(grid.shape[1] * width / max(height, width)))
        return grid[:rows, :columns]

    def mask(self, embedding: ImageEmbedding, prompt: SamPrompt) -> NDArray[np.bool_]:
        """The object, bool (h, w); all False where the model finds none."""
        asked = Prompt(points=prompt.points, point_labels=prompt.labels)
        request = GenerateRequest(model=self._model.name, image_embedding=embedding, prompt=asked)
        found = np.zeros((embedding.original_height, embedding.original_width), dtype=np.bool_)
        for annotation in self._model.generate(request).annotations:
            box = annotation.bounding_box
            found[box.ymin : box.ymax + 1, box.xmin : box.xmax + 1] |= annotation.mask
        return found


def sam_names() -> list[str]:
    """Names of the models that can be used, sorted."""
    names = (str(model.name) for model in osam.apis.registered_model_types)
    return sorted(name for name in names if name.partition(":")[0] in _FAMILIES)


def check_sam(name: str) -> str:
    """The full name of a model: ``sam2`` is ``sam2:latest``. Raises UserError."""
    full = name if ":" in name else f"{name}:latest"
    if full not in sam_names():
        raise UserError(
            f"osam has no model {name!r} that takes points and boxes; expected one of "
            + ", ".join(sam_names())
        )
    return full


SamName = Annotated[str, AfterValidator(check_sam)]
"""The name of a model, as a setting."""


def sam_identity(name: str) -> str:
    """What decides a model's masks: hashes of its weights, and the version of osam. Downloads nothing.
    Raises UserError."""
    model = _model_type(name)
    return f"{model.name} {model.get_id()} osam {osam.__version__}"


def pull_sam(name: str) -> None:
    """Download a model's weights unless they are in osam's cache, and name their licence. Raises
    UserError."""
    model = _model_type(name)
    if model.get_size() is None:
        _log.warning("%s: osam downloads its weights", model.name)
    with _one_error(model.name):
        model.pull()
    if model.name not in _named:
        _named.add(model.name)
        licence = model.metadata
        _log.warning(
            "%s: its weights have the licence %s, %s",
            model.name,
            licence.license_spdx or licence.license_name,
            licence.license_url,
        )


def load_sam(name: str) -> SamModel:
    """A model with its weights, loaded once in a process.

    Raises UserError if there is no such model, or its weights can be neither found nor downloaded; for a
    while, that is said again without trying again, as many threads ask for it.
    """
    full = check_sam(name)
    with _loading:
        when, reason = _failed.get(full, (-math.inf, ""))
        if time.monotonic() < when + _PATIENCE:
            raise UserError(reason)
        try:
            return _load(full)
        except UserError as error:
            _failed[full] = time.monotonic(), str(error)
            raise


@cache
def _load(name: str) -> SamModel:
    pull_sam(name)
    with _one_error(name):
        return SamModel(_model_type(name)())


def _model_type(name: str) -> Any:
    return osam.apis.get_model_type_by_name(check_sam(name))


@contextmanager
def _one_error(name: str) -> Iterator[None]:
    """Whatever osam, the network or onnxruntime raise becomes one UserError."""
    try:
        yield
    except Exception as error:
        reason = textwrap.shorten(error_line(error), _REASON, placeholder=" …")
        raise UserError(
            f"the weights of {name} are neither in osam's cache nor can they be downloaded and loaded "
            f"({reason}): run `osam pull {name}` where there is a network, and copy ~/.cache/osam from "
            "there"
        ) from error
