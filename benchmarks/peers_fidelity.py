"""Compare the separators that follow papers with their authors' code on the same features.

    python benchmarks/peers_fidelity.py PHOTOS --weights NAME=FILE [--weights NAME=FILE …]
        [--tokencut FOLDER] [--cutler FOLDER] [--lost FOLDER] [--deep-spectral FOLDER]
        [--promerge FOLDER] [--photos 20]

The folders are clones of github.com/YangtaoWANG95/TokenCut, facebookresearch/CutLER (which needs
TokenCut's as well), valeoai/LOST, lukemelas/deep-spectral-segmentation and facebookresearch/ProMerge;
what is not given is skipped, and its rows in the CSV stay. ProMerge's licence allows no commercial use. Their functions are called as
they are, on the CPU; what they import beside numpy, scipy and torch, and what they do not need here,
is left empty. Photos are squeezed to squares of about 480 pixels, which two of them expect.

One row of benchmarks/results/peers_fidelity.csv for each method, weights and features (``raw``, or
``relative``: without the mean of all patches). Columns: ``iou`` mean and ``iou_min`` least IoU of the
masks on the patches over photos (of several masks: the best pairing, divided by the larger number of
masks; 1 where neither has any), ``at_99`` photos of IoU >= 0.99, ``cuttable`` photos in which not all
patches are alike by the method's threshold: in the others every cut is as good, and they are in none of
the other columns; ``masks`` that were found here in all cuttable photos; ``seconds_authors`` and
``seconds_own`` median time for a photo's masks, on one thread.

TokenCut and Deep Spectral are compared as they are. MaskCut looks at the sign of an eigenvector, which
the solver leaves open: ``maskcut`` is compared with the sign with which the greatest absolute value is
positive, ``maskcut (sign as it falls)`` with what LAPACK gave. LOST takes the 100 patches of lowest degree,
and several of the same degree may compete for the last places: ``lost`` is compared with the first of them
taken (a stable sort), ``lost (ties as they fall)`` with what torch's sort gave. ProMerge expects 768
numbers for a patch, so that zeros are added, which change no product; its masks are compared before
the dense CRF, and its stride is set to 15 prompts a side, as in its 60 x 60 patches.
"""

from __future__ import annotations

import argparse
import csv
import importlib
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import MagicMock, patch

import numpy as np
import torch
from csv_file import write_csv
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage
from scipy.optimize import linear_sum_assignment
from threadpoolctl import threadpool_limits

from prelabel import config
from prelabel.data.images import read_image, resize
from prelabel.steps.photos import find_photos
from prelabel_plugins.separators.deep_spectral import deep_spectral_mask
from prelabel_plugins.separators.lost import lost_mask
from prelabel_plugins.separators.maskcut import maskcut_masks
from prelabel_plugins.separators.patch_cuts import cosines
from prelabel_plugins.separators.promerge import promerge_masks, stride
from prelabel_plugins.separators.tokencut import tokencut_mask

SIZE, TAU, MASKS, PATCHES = 480, 0.2, 3, 100
RESULTS = Path(__file__).parent / "results" / "peers_fidelity.csv"
FIELDS = (
    "method", "weights", "features", "photos", "grid", "cuttable", "masks", "iou", "iou_min", "at_99",
    "seconds_authors", "seconds_own",
)  # fmt: skip
KEY = ("weights", "features", "method")
Float = NDArray[np.float32]
Masks = NDArray[np.bool_]
Method = Callable[[Float], Masks]
"""Features float32 (h, w, dim) to masks bool (n, h, w)."""
NOT_NEEDED = (
    "datasets", "detectron2", "detectron2.utils", "detectron2.utils.colormap", "matplotlib",
    "matplotlib.pyplot", "torchvision", "pydensecrf", "pydensecrf.densecrf", "pydensecrf.utils", "pymatting",
)  # fmt: skip
"""Modules that the authors' files import, and nothing that is called here works with."""


@dataclass(frozen=True)
class Pair:
    """A method by its authors and here. ``ties``: the threshold of its graph, if it has one."""

    name: str
    authors: Method
    own: Method
    ties: float | None = None


def main() -> int:
    """Compare what the arguments name, and write the CSV."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, metavar="PHOTOS")
    parser.add_argument("--weights", action="append", required=True, metavar="NAME=FILE")
    for name in ("tokencut", "cutler", "lost", "deep-spectral", "promerge"):
        parser.add_argument(f"--{name}", type=Path, metavar="FOLDER")
    parser.add_argument("--photos", type=int, default=20)
    parser.add_argument("--out", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    rows = read_rows(arguments.out)
    for named in arguments.weights:
        name, _, source = named.partition("=")
        raw = features(arguments.folder, source or name, arguments.photos)
        for kind, vectors in {"raw": raw, "relative": raw - raw.mean(axis=(0, 1, 2))}.items():
            for pair in pairs(arguments, dim=raw.shape[-1]):
                labels = {"weights": name, "features": kind}
                row = {"method": pair.name, **labels, **compare(pair, vectors)}
                print(" ".join(f"{k}={row[k]}" for k in FIELDS), flush=True)
                rows[tuple(str(row[k]) for k in KEY)] = row
                write_csv(arguments.out, FIELDS, [rows[key] for key in sorted(rows)])
    print(f"\nwritten to {arguments.out}")
    return 0


def read_rows(file: Path) -> dict[tuple[str, ...], dict[str, object]]:
    """The rows of an earlier call."""
    if not file.exists():
        return {}
    with file.open(encoding="utf-8") as lines:
        return {tuple(row[k] for k in KEY): dict(row) for row in csv.DictReader(lines)}


def features(folder: Path, source: str, n: int) -> Float:
    """Keys float32 (n, side, side, dim) of photos that are spread over the folder."""
    backbone = config.load("default", [f"backbone.weights={source}"]).strategy("backbone").resolve()
    side = SIZE // backbone.patch * backbone.patch
    photos = find_photos(folder).photos
    found = []
    for photo in photos[:: max(1, len(photos) // n)][:n]:
        pixels = resize(read_image(photo.file).pixels, height=side, width=side)
        batch = np.repeat(pixels[None], backbone.batch, axis=0)
        found.append(backbone.extract(batch)[0].patches.astype(np.float32))
    return np.stack(found)


def compare(pair: Pair, photos: Float) -> dict[str, object]:
    """The figures of a row."""
    ious, theirs, ours, n_masks = [], [], [], 0
    for vectors in photos:
        if pair.ties is not None and (cosines(vectors) > pair.ties).all():
            continue
        with threadpool_limits(1):
            started = time.perf_counter()
            expected = pair.authors(vectors)
            between = time.perf_counter()
            found = pair.own(vectors)
            theirs.append(between - started)
            ours.append(time.perf_counter() - between)
        ious.append(iou(expected, found))
        n_masks += len(found)
    return {
        "photos": len(photos),
        "grid": "x".join(map(str, photos.shape[1:3])),
        "cuttable": len(ious),
        "masks": n_masks,
        "iou": round(float(np.mean(ious)), 4) if ious else "",
        "iou_min": round(min(ious), 4) if ious else "",
        "at_99": sum(value >= 0.99 for value in ious),
        "seconds_authors": round(float(np.median(theirs)), 4) if ious else "",
        "seconds_own": round(float(np.median(ours)), 4) if ious else "",
    }


def iou(some: Masks, others: Masks) -> float:
    """The IoU of masks in their best pairing, over the larger number of masks."""
    if not len(some) or not len(others):
        return float(len(some) == len(others))
    flat, rest = some.reshape(len(some), -1) * 1.0, others.reshape(len(others), -1) * 1.0
    both = flat @ rest.T
    ious = both / (flat.sum(axis=1)[:, None] + rest.sum(axis=1) - both)
    return float(ious[linear_sum_assignment(-ious)].sum() / max(len(some), len(others)))


def pairs(given: argparse.Namespace, *, dim: int) -> Iterator[Pair]:
    """What is compared: the methods whose authors' code was given."""
    if given.tokencut:
        yield Pair(
            "tokencut",
            tokencut_of(given.tokencut),
            lambda v: tokencut_mask(v, TAU)[None],
            ties=TAU,
        )
    if given.cutler and given.tokencut:
        for name, fixed in {"maskcut": True, "maskcut (sign as it falls)": False}.items():
            yield Pair(
                name,
                maskcut_of(given.cutler, given.tokencut, fixed_sign=fixed),
                lambda v: maskcut_masks(v, TAU, n=MASKS),
                ties=TAU,
            )
    if given.lost:
        for name, stable in {"lost": True, "lost (ties as they fall)": False}.items():
            yield Pair(
                name,
                lost_of(given.lost, stable=stable),
                lambda v: lost_mask(v, PATCHES)[None],
                ties=0,
            )
    if given.deep_spectral:
        yield Pair(
            "deep-spectral",
            deep_spectral_of(given.deep_spectral),
            lambda v: deep_spectral_mask(v)[None],
        )
    if given.promerge:
        yield Pair(
            "promerge",
            promerge_of(given.promerge, dim),
            lambda v: promerge_masks(v, TAU),
            ties=TAU,
        )


@contextmanager
def importing(*folders: Path) -> Iterator[None]:
    """Import from these folders, without what is not needed; afterwards their modules are forgotten,
    since several authors have files of the same names."""
    empty = {name: MagicMock() for name in NOT_NEEDED}
    with (
        patch.object(sys, "path", [*map(str, folders), *sys.path]),
        patch.dict(sys.modules, empty),
    ):
        yield


def load(module: str, *folders: Path) -> Any:
    """A module of the authors', in which functions may be replaced."""
    with importing(*folders):
        return importlib.import_module(module)


def tokencut_of(folder: Path) -> Method:
    """``ncut`` of object_discovery.py."""
    module = load("object_discovery", folder)

    def run(vectors: Float) -> Masks:
        tokens = np.concatenate([np.zeros((1, vectors.shape[-1]), np.float32), flat(vectors)])
        _, _, mask, *_ = module.ncut(
            torch.from_numpy(tokens)[None], vectors.shape[:2], [1, 1], (3, *vectors.shape[:2]), TAU
        )
        found: Masks = mask[None] > 0
        return found

    return run


def maskcut_of(folder: Path, tokencut: Path, *, fixed_sign: bool) -> Method:
    """``maskcut_forward`` of maskcut/maskcut.py."""
    with tempfile.TemporaryDirectory() as parent:
        (Path(parent) / "TokenCut").symlink_to(tokencut.resolve())
        module = load("maskcut", folder / "maskcut", Path(parent))
    second = module.second_smallest_eigenvector

    def positive(*matrices: Float) -> tuple[Float, Float]:
        vector = second(*matrices)[1]
        vector = vector * np.sign(vector[np.argmax(np.abs(vector))])
        return vector.copy(), vector

    if fixed_sign:
        module.second_smallest_eigenvector = positive

    def run(vectors: Float) -> Masks:
        shape = list(vectors.shape[:2])
        keys = torch.from_numpy(np.ascontiguousarray(flat(vectors).T))
        _, masks, _ = module.maskcut_forward(keys, shape, [1, 1], shape, TAU, N=MASKS, cpu=True)
        return np.array([mask > 0 for mask in masks if mask.any()])

    return run


def lost_of(folder: Path, *, stable: bool) -> Method:
    """``lost`` of object_discovery.py, which draws a box around the mask that is compared here."""
    module = load("object_discovery", folder)
    draw_box = module.detect_box
    seen: list[Masks] = []

    def detect_box(products: torch.Tensor, seed: torch.Tensor, dims: Any, **rest: Any) -> Any:
        parts, _ = ndimage.label(products.reshape(*dims).numpy() > 0)
        seen[:] = [parts == parts.flat[int(seed)]]
        return draw_box(products, seed, dims, **rest)

    module.detect_box = detect_box

    def run(vectors: Float) -> Masks:
        shape = vectors.shape[:2]
        keys = torch.from_numpy(flat(vectors))[None]
        with patch.object(torch, "argsort", partial(torch.argsort, stable=stable)):
            module.lost(keys, shape, [1, 1], (3, *shape), k_patches=PATCHES)
        return np.stack(seen)

    return run


def deep_spectral_of(folder: Path) -> Method:
    """The eigenvectors of object-localization/object_discovery.py, of features of length 1, and the sign
    and the threshold that extract/extract.py applies to them."""
    module = load("object_discovery", folder / "object-localization")

    def run(vectors: Float) -> Masks:
        keys = torch.nn.functional.normalize(torch.from_numpy(flat(vectors)), dim=-1)
        vector = module.get_eigenvectors_from_features(keys, "laplacian")[1].numpy()
        positive = (vector > 0).mean()
        vector = -vector if 0.5 < positive < 1 else vector
        found: Masks = (vector > 0).reshape(1, *vectors.shape[:2])
        return found

    return run


def promerge_of(folder: Path, dim: int) -> Method:
    """``ProMerge`` of promerge/promerge.py, up to the dense CRF."""
    module = load("promerge", folder / "promerge")
    seen: list[Masks] = []

    def densecrf(_: object, mask: Float) -> Float:
        seen.append(mask > 0)
        return mask

    module.densecrf, module.plot_masks, module.tqdm = densecrf, MagicMock(), list

    def run(vectors: Float) -> Masks:
        side = vectors.shape[0]
        padded = np.pad(flat(vectors), ((0, 0), (0, 768 - dim)))
        keys = torch.from_numpy(np.ascontiguousarray(padded.T))
        with tempfile.TemporaryDirectory() as photos, without_gpu():
            Image.new("RGB", (side, side)).save(Path(photos) / "photo.png")
            method = module.ProMerge(SimpleNamespace(**promerge_settings(photos, side)))
            method.patch_size = 1  # the photo has a pixel for each patch
            seen.clear()
            method(lambda _: keys[None])
        return np.array(seen).reshape(-1, side, side)

    return run


def promerge_settings(photos: str, side: int) -> dict[str, object]:
    """Those of the authors' run_script.sh."""
    return {
        "image_dir": photos, "fixed_size": side, "stride": stride(side),
        "bipartition_tau": TAU, "foreground_include_tau": 0.1, "intersection_merge_tau": 0.5,
        "dino_merge_tau": 0.1, "cc_maskarea_tau": 0.5, "merge_ioa_tau": 0.1, "iou_filter_tau": 0.8,
        "img_out_dir": None, "final_figures_dir": None,
    }  # fmt: skip


@contextmanager
def without_gpu() -> Iterator[None]:
    """Leave tensors where they are when the code asks for a GPU."""
    with patch.object(torch.Tensor, "cuda", lambda tensor, *_, **__: tensor):
        yield


def flat(vectors: Float) -> Float:
    """float32 (n, dim), from (h, w, dim)."""
    return np.ascontiguousarray(vectors.reshape(-1, vectors.shape[-1]))


if __name__ == "__main__":
    sys.exit(main())
