"""Does a strategy keep the promises of its kind? The Protocols in ``strategies`` state them."""

from __future__ import annotations

import copy
import dataclasses
import json
import pickle
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, get_type_hints

import numpy as np
from numpy.typing import NDArray
from pydantic import TypeAdapter

from prelabel.data.dataset import ExportContext
from prelabel.data.records import Prediction
from prelabel.errors import ContractError, UserError
from prelabel.storage.text import nearest
from prelabel.strategies import registry
from prelabel.strategies.checks import check_labels
from prelabel.strategies.harness import FAILED, MeanColour, Trial, equal, level, line, prediction


def check(section: str, name: str) -> list[str]:
    """Run the contract of its kind against a strategy with its default settings.

    Returns broken promises, a line each, saying what came and what was wanted; none if all are
    kept. Nothing that the strategy raises leaves this function. Raises UserError only for an
    unknown section.
    """
    if section not in _CONTRACTS:
        raise UserError(f"no kind of strategy is {section!r}{nearest(section, _CONTRACTS)}")
    try:
        strategy = registry.make(section, name, {})
    except UserError as error:
        return [str(error)]
    except Exception as error:
        return [f"cannot be made with its default settings ({line(error)})"]
    trial = Trial(strategy)
    for contract in (_form, _CONTRACTS[section]):
        try:
            contract(trial)
        except UserError as error:  # such as weights that cannot be had
            trial.note("contract", "", f"could not be checked: {error}")
        except Exception as error:
            trial.note("contract", "", f"stopped with {line(error)}")
    return trial.broken


# What every strategy promises.


def _form(trial: Trial) -> None:
    strategy = trial.strategy
    hints = get_type_hints(type(strategy))
    for field in dataclasses.fields(strategy):
        has_default = (field.default, field.default_factory) != (dataclasses.MISSING,) * 2
        trial.expect(has_default, "setting", field.name, "has no default")
        trial.expect(hints[field.name] is not Any, "setting", field.name, "has type Any")
    try:
        copy.copy(strategy).no_such_setting = 1
        trial.note("form", "", "an attribute could be set, wanted a frozen dataclass")
    except (AttributeError, TypeError):
        pass  # TypeError: CPython's own slip for frozen dataclasses with slots
    for how, again in {"pickled": _pickled, "written to a config and read": _configured}.items():
        try:
            same = again(strategy) == strategy
        except Exception as error:
            trial.note("form", "", f"cannot be {how} ({line(error)})")
        else:
            trial.expect(same, "form", "", f"another strategy came back when {how}")


def _pickled(strategy: Any) -> Any:
    return pickle.loads(pickle.dumps(strategy))


def _configured(strategy: Any) -> Any:
    settings = json.loads(json.dumps(dataclasses.asdict(strategy)))
    return TypeAdapter(type(strategy)).validate_python(settings)


# One function per kind.


def _backbone(trial: Trial) -> None:
    strategy = trial.strategy
    for name in ("patch", "dim", "batch"):
        value = getattr(strategy, name)
        if not (isinstance(value, int) and value >= 1):
            trial.note(name, "", f"is {value!r}, wanted a whole number of at least 1")
            return
    resolve = strategy.resolve()
    fits = type(resolve) is type(strategy) and resolve.resolve() == resolve
    trial.expect(fits, "settled", "", f"returned {resolve!r}, wanted the same strategy, settled")
    try:
        same = json.dumps(dict(strategy.identity())) == json.dumps(dict(strategy.identity()))
        trial.expect(same, "identity", "", "two calls gave different answers, wanted equal ones")
    except (TypeError, ValueError) as error:
        trial.note("identity", "", f"returned what JSON cannot hold ({error})")

    patch, batch = strategy.patch, strategy.batch
    for rows, columns in ((1, 1), (2, 3), (5, 2)):
        shape = (batch, rows * patch, columns * patch, 3)
        noise = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
        for kind, photos in {"noise": noise, "black": noise * 0}.items():
            case = f"{rows} × {columns} patches, {kind}"
            answers = trial.call(case, "extract", photos)
            if answers is FAILED or not _features_fit(trial, case, answers, rows, columns):
                continue
            others = photos.copy()
            others[1:] = 255 - others[1:]
            same = equal(answers[0], strategy.extract(others)[0])
            trial.expect(same, "extract", case, "a photo's features changed with its neighbours")


def _features_fit(trial: Trial, case: str, answers: Any, rows: int, columns: int) -> bool:
    n = len(answers) if isinstance(answers, Sequence) else type(answers).__name__
    if n != trial.strategy.batch:
        found = f"returned {n} results, wanted {trial.strategy.batch}"
        trial.note("extract", case, found)
        return False
    wanted = {
        "patches": (rows, columns, trial.strategy.dim),
        "cls": (None,),
        "attention": (rows, columns),
    }
    for answer in answers:
        for field, shape in wanted.items():
            array = getattr(answer, field, None)
            if not trial.array(array, shape, "extract", case, what=field, dtype=np.float16):
                return False
        low, mean = float(answer.attention.min()), float(answer.attention.mean(dtype=np.float64))
        fits = low >= 0 and abs(mean - 1) < 0.01
        found = f"attention is at least {low:.3g} with mean {mean:.3g}, wanted at least 0, mean 1"
        trial.expect(fits, "extract", case, found)
    return True


def _clusterer(trial: Trial) -> None:
    rng = np.random.default_rng(0)
    cases = {
        "60 points, k = 4": (rng.normal(size=(60, 5)), 4),
        "60 points, k = 1": (rng.normal(size=(60, 5)), 1),
        "60 points around 10000, k = 4": (rng.normal(size=(60, 5)) + 1e4, 4),
        "60 points within 0.001 of 0, k = 4": (rng.uniform(-1e-3, 1e-3, size=(60, 5)), 4),
        "one point, k = 3": (rng.normal(size=(1, 5)), 3),
        "3 points, k = 8": (rng.normal(size=(3, 5)), 8),
        "20 identical points, k = 4": (np.ones((20, 5)), 4),
        "20 points at 0, k = 4": (np.zeros((20, 5)), 4),
    }
    for case, (values, k) in cases.items():
        points = values.astype(np.float32)
        most = min(k, len(np.unique(points, axis=0)))
        centroids = trial.call(case, "fit", points, k=k, seed=0)
        if centroids is FAILED or not trial.array(centroids, (None, 5), "fit", case):
            continue
        if not 1 <= len(centroids) <= most:
            trial.note("fit", case, f"returned {len(centroids)} centroids, wanted 1 to {most}")
        elif (labels := trial.call(case, "assign", points, centroids)) is not FAILED:
            _check_assigned(trial, case, labels, points, centroids)


def _check_assigned(trial: Trial, case: str, labels: Any, points: Any, centroids: Any) -> None:
    try:
        check_labels("", labels, n=len(points), k=len(centroids))
    except ContractError as error:
        trial.note("assign", case, str(error).strip())
        return
    trial.expect(labels.dtype == np.int64, "assign", case, f"returned {labels.dtype}, wanted int64")
    alone = [int(trial.strategy.assign(point[None], centroids)[0]) for point in points]
    same = alone == labels.tolist()
    trial.expect(same, "assign", case, "a point's cluster changed with the other points")


def _foreground(trial: Trial) -> None:
    rng = np.random.default_rng(0)
    clusters = rng.integers(0, 4, 80)
    attention = rng.gamma(1, size=80).astype(np.float32)
    border = rng.random(80) < 0.3
    cases = {
        "80 patches in 4 of 5 clusters": (clusters, 5, attention, border),
        "one patch, k = 1": (clusters[:1] * 0, 1, attention[:1], border[:1]),
        "one patch, k = 8": (clusters[:1] * 0 + 2, 8, attention[:1], border[:1]),
        "no patch on the frame": (clusters, 4, attention, border & False),
        "all patches on the frame": (clusters, 4, attention, border | True),
        "attention 0 everywhere": (clusters, 4, attention * 0, border),
    }
    for case, (own, k, looked, frame) in cases.items():
        scores = trial.call(case, "score", own, k=k, attention=looked, border=frame)
        if scores is FAILED or not trial.array(scores, (k,), "score", case, probability=True):
            continue
        empty = scores[np.bincount(own, minlength=k) == 0].max(initial=0)
        found = f"a cluster without patches got {empty:.3g}, wanted 0.5 or less"
        trial.expect(empty <= 0.5, "score", case, found)


def _consistency(trial: Trial) -> None:
    for height, width in ((1, 1), (1, 6), (4, 5)):
        for n_levels in (1, 2, 3):
            case = f"{n_levels} levels of {height} × {width} patches"
            levels = [level(seed, height, width) for seed in range(n_levels)]
            answer = trial.call(case, "combine", levels)
            if answer is not FAILED:
                trial.array(answer, (height, width), "combine", case, probability=True)


def _refiner(trial: Trial) -> None:
    rng = np.random.default_rng(0)
    for height, width in ((1, 1), (1, 9), (9, 1), (24, 36), (3, 200)):
        noise = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
        said = rng.random((height, width)).astype(np.float32)
        for kind, photo in {"noise": noise, "black": noise * 0}.items():
            for probability, foreground in {
                "random": said,
                "0": said * 0,
                "1": said * 0 + 1,
            }.items():
                case = f"{height} × {width} pixels of {kind}, P {probability}"
                answer = trial.call(case, "refine", foreground, photo)
                if answer is not FAILED:
                    trial.array(answer, (height, width), "refine", case, probability=True)


def _embedder(trial: Trial) -> None:
    backbone, rng, dims = MeanColour(), np.random.default_rng(0), set()
    shape = (backbone.batch, 3 * backbone.patch, 4 * backbone.patch, 3)
    features = backbone.extract(rng.integers(0, 256, shape, dtype=np.uint8))[0]
    for height, width in ((1, 1), (40, 56), (37, 9)):
        image = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
        masks = np.zeros((4, height, width), dtype=np.bool_)
        masks[0, 0, 0] = masks[1, -1, -1] = True  # regions of one pixel
        masks[2, : height // 2 + 1, : width // 2 + 1] = True
        masks[3] = True

        def embed(case: str, chosen: NDArray[np.bool_], image: Any = image) -> Any:
            known = {"features": features, "backbone": backbone}
            answer = trial.call(case, "embed", image, chosen, **known)
            fits = answer is not FAILED and trial.array(answer, (len(chosen), None), "embed", case)
            return answer if fits else None

        case = f"{height} × {width} pixels"
        together = embed(f"{case}, 4 regions", masks)
        for i in range(len(masks)):
            alone = embed(f"{case}, one region", masks[i : i + 1].copy())
            if together is not None and alone is not None:
                dims |= {together.shape[1], alone.shape[1]}
                same = equal(alone, together[i : i + 1])
                trial.expect(same, "embed", case, "a region's vector changed with the others")
    found = f"vectors of {sorted(dims)} values, wanted one length for all photos"
    trial.expect(len(dims) <= 1, "embed", "", found)


def _exporter(trial: Trial) -> None:
    context = ExportContext(photos=Path("photos"), classes=("one", "two"), model_version="0-0")
    first, second = (prediction(number, n_regions=n) for number, n in enumerate((2, 0)))
    for case, predictions in {
        "no predictions": [],
        "a photo without regions": [second],
        "two photos": [first, second],
    }.items():
        written = []
        for _ in range(2):
            with TemporaryDirectory() as name:
                folder = Path(name)
                _export(trial, case, predictions, folder, context)
                written.append(_files(folder))
                _break_off(trial, case, first, folder, context)
        same = written[0] == written[1]
        trial.expect(same, "write", case, "two calls wrote different files, wanted equal ones")


def _export(
    trial: Trial, case: str, predictions: Any, folder: Path, context: ExportContext
) -> None:
    (folder / "notes.txt").write_bytes(b"somebody's")
    before: dict[str, bytes] = {}
    for time in ("", " over an earlier export"):
        try:
            path = trial.strategy.write(iter(predictions), folder, context)
        except Exception as error:
            trial.note("write", case, f"raised {line(error)}{time}")
            return
        fits = isinstance(path, Path) and path.exists() and path.is_relative_to(folder)
        found = f"returned {path!r}, wanted a Path in the folder that exists"
        trial.expect(fits, "write", case, found)
        after = _files(folder)
        kept = after.get("notes.txt") == b"somebody's"
        trial.expect(kept, "write", case, "changed a file that it did not write")
        same = not before or after == before
        trial.expect(same, "write", case, "wrote something else over an earlier export")
        before = after


def _break_off(
    trial: Trial, case: str, prediction: Prediction, folder: Path, context: ExportContext
) -> None:
    """Files are written beside and then renamed: what breaks off leaves the old ones."""

    def breaks_off() -> Iterator[Prediction]:
        yield prediction
        raise _BrokenOffError

    before, found = _files(folder), "raised nothing"
    try:
        trial.strategy.write(breaks_off(), folder, context)
    except _BrokenOffError:
        found = ""
    except Exception as error:
        found = f"raised {line(error)}"
    trial.expect(not found, "write", case, f"{found} when the predictions broke off with an error")
    after = _files(folder)
    changed = [name for name in before if after.get(name) != before[name]]
    found = f"changed {', '.join(changed)} although the predictions broke off"
    trial.expect(not changed, "write", case, found)


_CONTRACTS: dict[str, Callable[[Trial], None]] = {
    "backbone": _backbone,
    "clusterer": _clusterer,
    "foreground": _foreground,
    "consistency": _consistency,
    "refiner": _refiner,
    "embedder": _embedder,
    "exporter": _exporter,
}


def _files(folder: Path) -> dict[str, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


class _BrokenOffError(Exception):
    """Predictions that stop coming."""
