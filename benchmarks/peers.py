"""Seconds per photo of prelabel, of the field's unsupervised methods and of SAM's encoder.

    python benchmarks/peers.py DATA [--weights NAME=FILE] [--photos 12] [--rounds 2] [--size 480]

Everything runs in turn, on the same photos and threads, from the file to masks of the photo's size, the
features included; loading weights is not. One row of benchmarks/results/peers.csv for each method:

- ``prelabel default`` and ``prelabel fast``: fit and predict with an empty cache, over the number of
  photos: levels, regions, classes, and for ``default`` another forward pass for each region.
- ``tokencut``, ``maskcut`` (3 masks), ``deep-spectral``, ``lost``, ``promerge``: the separators of these
  names on the same features, relative to the photos' mean, and nothing else: no levels, no classes, no fit.
- ``maskcut, ViT-B/8``: as in its paper, 480 x 480 pixels to 60 x 60 patches. The network is DINO's ViT-B/8
  with random weights, whose numbers are thrown away; what is cut are 60 x 60 patches of the run's weights,
  computed before, so that the graph is that of a photo.
- ``sam vit-b`` and ``mobilesam``: the image encoder alone at 1024 pixels, random weights, float32: timm's
  samvit_base_patch16, and tiny_vit_5m, whose last stage is half as wide and high as MobileSAM's own. Label
  Studio's SAM backend runs MobileSAM, or ViT-H, which is larger than ViT-B.

What has random weights takes as long for one photo as for any other, and is timed on the first alone.

Columns: ``cpu_seconds`` per photo, of all threads of this process, and ``seconds`` on the clock, the medians
of the rounds; ``default_is`` and ``fast_is`` how many times faster prelabel's recipes are, by
``cpu_seconds``, since the clock counts others' work too; what ran where; ``load`` the machine's load
average at the end. The eigenvectors take a fraction of the time here that they take in the authors' code
(peers_fidelity.py).
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import torch
from csv_file import write_csv
from empty_cache import empty_cache
from numpy.typing import NDArray
from photo_files import photo_files
from safetensors.torch import save_file

from prelabel import config, pipeline
from prelabel.config import Config
from prelabel.data.images import read_image, resize
from prelabel.data.records import PatchFeatures, PatchMaps
from prelabel.steps.features import Extractor
from prelabel.strategies import registry
from prelabel.strategies.protocols import Backbone
from prelabel.weights.models import STAND_IN
from prelabel.weights.timm_import import timm

METHODS = ("tokencut", "maskcut", "deep-spectral", "lost", "promerge")
PAPERS_VIT, PAPERS_SIZE = "vit_base_patch8_224.dino", 480
ENCODERS = {"sam vit-b": "samvit_base_patch16", "mobilesam": "tiny_vit_5m_224"}
SAM_SIZE = 1024
TO_REACH = {"maskcut": 10, "maskcut, ViT-B/8": 10, "tokencut": 3}
"""How many times faster prelabel ought to be."""
INSTRUCTIONS = ("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "amx_bf16", "asimd", "sve", "bf16")
RESULTS = Path(__file__).parent / "results" / "peers.csv"
FIELDS = (
    "method", "cpu_seconds", "seconds", "default_is", "fast_is", "weights", "precision", "pixels", "photos", "rounds",
    "cpu", "instructions", "cores", "threads", "load",
)  # fmt: skip
Work = Callable[[Sequence[Path]], object]
"""Photos' files to masks."""


class Spent(NamedTuple):
    """Seconds per photo: of all threads of this process, and on the clock."""

    cpu: float
    clock: float


@dataclass(frozen=True)
class Entry:
    """What is timed, and the facts of its row."""

    name: str
    work: Work
    weights: str
    precision: str
    pixels: int

    @property
    def is_random(self) -> bool:
        """Whether its network has random weights: these take as long for one photo as for any other."""
        return self.weights == "random"


def main() -> int:
    """Measure, write the CSV and say which targets are reached."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--weights", default=STAND_IN, metavar="NAME=FILE")
    parser.add_argument("--photos", type=int, default=12)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--size", type=int, default=480)
    parser.add_argument("--out", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    files = photo_files(arguments.data)
    files = files[:: max(1, len(files) // arguments.photos)][: arguments.photos]
    spent: dict[str, list[Spent]] = {}
    with tempfile.TemporaryDirectory() as folder:
        entries = list_entries(arguments.weights, files, size=arguments.size, folder=Path(folder))
        for entry in entries:
            if not entry.is_random:  # those are loaded
                entry.work(files[:1])
        for _ in range(arguments.rounds):
            for entry in entries:
                own = files[:1] if entry.is_random else files
                spent.setdefault(entry.name, []).append(measure(entry.work, own))
                cpu, clock = spent[entry.name][-1]
                print(f"{entry.name}: {cpu:.3f} s a photo, {clock:.3f} on the clock", flush=True)
    medians = {
        name: Spent(*(statistics.median(values) for values in zip(*rounds, strict=True)))
        for name, rounds in spent.items()
    }
    common = {"rounds": arguments.rounds, **machine()}
    write_csv(
        arguments.out, FIELDS, [row(entry, medians, len(files)) | common for entry in entries]
    )
    print(f"\nwritten to {arguments.out}")
    print_targets(medians)
    return 0


def measure(work: Work, files: Sequence[Path]) -> Spent:
    """What a photo costs."""
    clock, cpu = time.perf_counter(), time.process_time()
    work(files)
    return Spent(
        (time.process_time() - cpu) / len(files), (time.perf_counter() - clock) / len(files)
    )


def row(entry: Entry, medians: dict[str, Spent], n: int) -> dict[str, object]:
    """The figures and facts of one method."""
    own = medians[entry.name]
    return {
        "method": entry.name,
        "cpu_seconds": round(own.cpu, 3),
        "seconds": round(own.clock, 3),
        "default_is": round(own.cpu / medians["prelabel default"].cpu, 2),
        "fast_is": round(own.cpu / medians["prelabel fast"].cpu, 2),
        "weights": entry.weights,
        "precision": entry.precision,
        "pixels": entry.pixels,
        "photos": 1 if entry.is_random else n,
    }


def print_targets(medians: dict[str, Spent]) -> None:
    """Say of each target whether it is reached."""
    for name, target in TO_REACH.items():
        for recipe in ("default", "fast"):
            ratio = medians[name].cpu / medians[f"prelabel {recipe}"].cpu
            verdict = "reached" if ratio >= target else "missed"
            print(f"{recipe} is {ratio:.2f} times as fast as {name} (expected {target}): {verdict}")


def list_entries(named: str, files: Sequence[Path], *, size: int, folder: Path) -> list[Entry]:
    """All that is timed. ``folder``: for random weights."""
    name, _, source = named.partition("=")
    settings = [f"backbone.weights={source or name}", f"features.size={size}"]
    chosen = {recipe: config.load(recipe, settings) for recipe in ("default", "fast")}
    backbone = chosen["fast"].strategy("backbone").resolve()
    precision = str(backbone.identity()["precision"])
    entries = [
        Entry(f"prelabel {recipe}", whole_run(own), name, precision, size)
        for recipe, own in chosen.items()
    ]
    extractor = Extractor(backbone, name="timm", size=size)
    center = mean_patch(extractor, files)
    entries += [
        Entry(method, with_features(method, extractor, center), name, precision, size)
        for method in METHODS
    ]
    random = save_random(PAPERS_VIT, folder)
    large = config.load("fast", [f"backbone.model={PAPERS_VIT}", f"backbone.weights={random}"])
    network = large.strategy("backbone").resolve()
    side = PAPERS_SIZE // network.patch
    grid = patch_grid(files[0], backbone, side=side, center=center)
    work = with_other_network("maskcut", network, grid)
    facts = "random", str(network.identity()["precision"]), PAPERS_SIZE
    entries.append(Entry("maskcut, ViT-B/8", work, *facts))
    for encoder, model in ENCODERS.items():
        entries.append(Entry(encoder, encode(model), "random", "float32", SAM_SIZE))
    return entries


def whole_run(chosen: Config) -> Work:
    """Fit and predict, with nothing in the cache."""

    def work(files: Sequence[Path]) -> None:
        with empty_cache():
            model = pipeline.fit(list(files), chosen)
            for _ in pipeline.predict(model, list(files)):
                pass

    return work


def mean_patch(extractor: Extractor, files: Sequence[Path]) -> NDArray[np.float32]:
    """float32 (dim,), the mean of all patches of these photos."""
    means = [
        extractor.extract([read_image(file)])[0].patches.astype(np.float32).mean(axis=(0, 1))
        for file in files
    ]
    return np.asarray(np.mean(means, axis=0))


def with_features(method: str, extractor: Extractor, center: NDArray[np.float32]) -> Work:
    """A method on the features of each photo."""
    separator = registry.make("separator", method, {"features": "relative"})

    def work(files: Sequence[Path]) -> None:
        for file in files:
            image = read_image(file)
            [features] = extractor.extract([image])
            maps = patch_maps(features, center)
            refined = np.zeros(image.pixels.shape[:2], dtype=np.float32)
            separator.separate(refined, threshold=0.5, patches=maps, image=image.pixels)

    return work


def with_other_network(method: str, network: Backbone, grid: PatchMaps) -> Work:
    """A method on patches that are known, after a forward pass of another network."""
    separator = registry.make("separator", method, {"features": "relative"})

    def work(files: Sequence[Path]) -> None:
        for file in files:
            image = read_image(file)
            pixels = resize(image.pixels, height=PAPERS_SIZE, width=PAPERS_SIZE)
            network.extract(np.repeat(pixels[None], network.batch, axis=0))
            refined = np.zeros(image.pixels.shape[:2], dtype=np.float32)
            separator.separate(refined, threshold=0.5, patches=grid, image=image.pixels)

    return work


def patch_grid(
    file: Path, backbone: Backbone, *, side: int, center: NDArray[np.float32]
) -> PatchMaps:
    """side x side patches of a photo."""
    pixels = resize(
        read_image(file).pixels, height=side * backbone.patch, width=side * backbone.patch
    )
    features = backbone.extract(np.repeat(pixels[None], backbone.batch, axis=0))[0]
    return patch_maps(features, center)


def patch_maps(features: PatchFeatures, center: NDArray[np.float32]) -> PatchMaps:
    """What the methods look at; the rest is empty."""
    shape = features.attention.shape
    return PatchMaps(
        foreground=np.zeros(shape, dtype=np.float32),
        vectors=features.patches.astype(np.float32) - center,
        raw=features.patches,
        attention=features.attention.astype(np.float32),
        clusters=np.zeros((1, *shape), dtype=np.int16),
    )


def save_random(model: str, folder: Path) -> Path:
    """A file with random weights of timm's ``model``."""
    torch.manual_seed(0)
    file = folder / "random.safetensors"
    state = timm.create_model(model, pretrained=False).state_dict()
    save_file({name: tensor.contiguous() for name, tensor in state.items()}, file)
    return file


def encode(model: str) -> Work:
    """A SAM's image encoder with random weights: the long side at 1024 pixels, padded to a square."""
    network = timm.create_model(model, pretrained=False, num_classes=0).eval()

    @torch.inference_mode()
    def work(files: Sequence[Path]) -> None:
        for file in files:
            pixels = read_image(file).pixels
            scale = SAM_SIZE / max(pixels.shape[:2])
            height, width = (round(side * scale) for side in pixels.shape[:2])
            square = np.zeros((SAM_SIZE, SAM_SIZE, 3), dtype=np.float32)
            square[:height, :width] = cv2.resize(pixels, (width, height)) / 255.0
            network.forward_features(torch.from_numpy(square).permute(2, 0, 1)[None])

    return work


def machine() -> dict[str, object]:
    """The processor, and what of it was used."""
    facts: dict[str, str] = {}
    if Path("/proc/cpuinfo").exists():
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            name, _, value = line.partition(":")
            facts.setdefault(name.strip(), value.strip())
    flags = (facts.get("flags") or facts.get("Features") or "").split()
    parts = [facts[name] for name in ("model name", "cpu family", "model") if name in facts]
    return {
        "cpu": " ".join(parts),
        "instructions": " ".join(name for name in INSTRUCTIONS if name in flags),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "load": round(os.getloadavg()[0], 1),
    }


if __name__ == "__main__":
    sys.exit(main())
