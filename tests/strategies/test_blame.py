"""What a plugin's failure costs: the photo; and the run, after three in a row."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from prelabel.data.records import Image, PatchFeatures
from prelabel.errors import ContractError, PluginError, UserError
from prelabel.storage.progress import RunLog
from prelabel.storage.text import error_line
from prelabel.strategies.blame import PluginFailures, answer_each, costs_the_photo


def test_failures__only_three_in_a_row_stop_the_run() -> None:
    log = RunLog()
    failures = PluginFailures(log)
    for photo in ("a.jpg", "b.jpg"):
        failures.add(photo, PluginError(f"failed at {photo}"))
    failures.passed()
    for photo in ("d.jpg", "e.jpg"):
        failures.add(photo, PluginError(f"failed at {photo}"))
    assert log.skipped["b.jpg"] == "failed at b.jpg"
    with pytest.raises(UserError, match=r"^failed at f\.jpg; .*: d\.jpg, e\.jpg, f\.jpg"):
        failures.add("f.jpg", PluginError("failed at f.jpg"))


def test_costs_the_photo__what_breaks_a_contract() -> None:
    with pytest.raises(PluginError, match="returned None"), costs_the_photo():
        raise ContractError("refiner 'x' returned None")


@pytest.mark.parametrize("error", [UserError("no weights"), ZeroDivisionError("ours")])
def test_costs_the_photo__other_errors_stay_as_they_are(error: Exception) -> None:
    with pytest.raises(type(error)) as raised, costs_the_photo():
        raise error
    assert raised.value is error


class _NoTextError(Exception):
    def __str__(self) -> str:
        raise ValueError


def test_error_line__of_an_error_without_a_text() -> None:
    assert error_line(_NoTextError()) == "_NoTextError"


def test_answer_each__a_photo_that_fails_costs_no_other_one_of_its_batch() -> None:
    def extract(images: Sequence[Image]) -> list[PatchFeatures]:
        if any(image.digest == "bad" for image in images):
            raise PluginError("cannot look at it")
        none = np.zeros((1, 1, 1), dtype=np.float16)
        return [PatchFeatures(none, none[0, 0], none[0]) for _ in images]

    pixels = np.zeros((2, 2, 3), dtype=np.uint8)
    images = [Image(pixels, 2, 2, digest) for digest in ("a", "bad", "c")]
    answers = answer_each(extract, images)
    assert [isinstance(answer, PatchFeatures) for answer in answers] == [True, False, True]
