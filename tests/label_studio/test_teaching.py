"""What annotations teach about masks: photos whose faint things are found only once they were drawn."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest

from builders import iou
from prelabel.data.masks import Mask, decode_rle
from prelabel.data.records import LabelledPatches
from prelabel.label_studio import teaching
from prelabel.label_studio.format.shapes import Kind
from prelabel.label_studio.learning_curve import LearningCurve
from prelabel.label_studio.names.exemplars import ExemplarFile
from prelabel.model import FittedModel
from prelabel.pipeline import fit
from prelabel.steps.exemplars import classes_of
from prelabel.steps.patch_labels import LabelledPhoto
from prelabel.steps.taught import Taught
from prelabel.teacher import Teacher
from support.faint_things import SIDE, faint_thing
from support.project_of_photos import ProjectOfPhotos, label_xml
from support.small_photos import tiny_config

pytestmark = pytest.mark.slow

THINGS = {number: faint_thing(number) for number in range(1, 13)}
PHOTOS = {number: thing.png for number, thing in THINGS.items()}
OTHERS = range(7, 13)
"""Tasks that no test annotates."""
SETTINGS = ("features.size=224",)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FittedModel]:
    folder = tmp_path_factory.mktemp("photos")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PRELABEL_CACHE", str(tmp_path_factory.mktemp("cache")))
        for number, data in PHOTOS.items():
            (folder / f"{number}.png").write_bytes(data)
        yield fit(folder, tiny_config(*SETTINGS))


@pytest.fixture
def project(tmp_path: Path, model: FittedModel) -> ProjectOfPhotos:
    return ProjectOfPhotos(tmp_path / "1", model, PHOTOS)


def truth(number: int) -> tuple[Mask, str]:
    return THINGS[number].mask, "polyp"


def mean_iou(project: ProjectOfPhotos) -> float:
    """Of the masks of photos that nobody has annotated."""
    return float(np.mean([iou(project.masks(n), THINGS[n].mask) for n in OTHERS]))


@pytest.mark.parametrize(
    "kind", ["brush", "bitmask", "magicwand", "polygon", "vector", "rectangle", "ellipse"]
)
def test_every_shape__makes_the_masks_of_other_photos_better(
    tmp_path: Path, model: FittedModel, kind: Kind
) -> None:
    project = ProjectOfPhotos(tmp_path / "1", model, PHOTOS, label_xml(kind))
    before = mean_iou(project)
    for number in (1, 2, 3, 4):
        project.annotate(number, truth(number))
    assert project.problems == []
    assert mean_iou(project) > before + 0.1


def test_annotations__submitted_updated_and_deleted_each_change_the_masks(
    project: ProjectOfPhotos,
) -> None:
    untaught = project.masks(7)
    for number in (1, 2, 3):
        project.annotate(number, (THINGS[number].glare, "polyp"))
    submitted = project.masks(7)
    for number in (1, 2, 3):
        project.annotate(number, truth(number))
    updated = project.masks(7)
    for number in (1, 2, 3):
        project.delete(number)
    assert iou(submitted, THINGS[7].glare) > 0.8
    assert iou(updated, THINGS[7].mask) > 0.8
    assert project.taught() is None
    assert np.array_equal(project.masks(7), untaught)


def test_photo_without_a_region__is_background_and_counts(project: ProjectOfPhotos) -> None:
    project.annotate(1, truth(1))
    first, revision = project.taught(), project.folder.state.revision
    project.annotate(2)
    second = project.taught()
    assert first
    assert second
    assert project.folder.state.revision == revision + 1
    assert (first.facts.photos, second.facts.photos) == (1, 2)
    assert not second.same_as(first)


def test_deleted_annotation__leaves_no_trace(
    project: ProjectOfPhotos, tmp_path: Path, model: FittedModel
) -> None:
    never = ProjectOfPhotos(tmp_path / "2", model, PHOTOS)
    for number in (1, 2, 3):
        project.annotate(number, truth(number))
        if number != 2:
            never.annotate(number, truth(number))
    assert project.taught_bytes() != never.taught_bytes()
    project.delete(2)
    assert project.taught_bytes() == never.taught_bytes()


def test_wrong_label_that_is_corrected__leaves_no_trace(
    project: ProjectOfPhotos, tmp_path: Path, model: FittedModel
) -> None:
    never = ProjectOfPhotos(tmp_path / "2", model, PHOTOS)
    project.annotate(1, (THINGS[1].mask, "tool"))
    project.annotate(2, truth(2))
    wrong = project.taught()
    assert wrong
    assert wrong.facts.classes == ("polyp", "tool")
    for one in (project, never):
        one.annotate(1, truth(1))
    never.annotate(2, truth(2))
    assert project.taught_bytes() == never.taught_bytes()


def test_taught__is_read_by_other_processes(
    project: ProjectOfPhotos, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in (1, 2):
        project.annotate(number, truth(number))
    first = project.taught()

    def never(*_: object) -> None:
        raise AssertionError("it is in a file")

    monkeypatch.setattr(Teacher, "teach", never)
    again = project.taught()
    assert first
    assert again
    assert again.same_as(first)
    assert again.facts == first.facts
    assert project.problems == []


def test_taught__a_damaged_file_is_made_again(project: ProjectOfPhotos) -> None:
    for number in (1, 2):
        project.annotate(number, truth(number))
    data = project.taught_bytes()
    [file] = project.folder.path.glob("taught-*")
    file.write_bytes(data[:100])
    assert project.taught_bytes() == data


def test_taught__files_of_earlier_revisions_are_removed(project: ProjectOfPhotos) -> None:
    for number in (1, 2, 3, 4):
        project.annotate(number, truth(number))
        project.taught()
    found = {int(f.stem.rpartition("-")[2]) for f in project.folder.path.glob("taught-*")}
    assert found == {3, 4}  # the one before may still be in use


def test_features__of_deleted_annotations_are_removed_in_time(project: ProjectOfPhotos) -> None:
    for number in (1, 2):
        project.annotate(number, truth(number))
    kept = list(project.folder.path.glob("features/*/*"))
    assert len(kept) == 2
    for file in kept:
        os.utime(file, (0, time.time() - 4000))
    project.delete(2)
    project.taught()
    assert len(list(project.folder.path.glob("features/*/*"))) == 1


def test_features_that_are_gone__are_computed_again(project: ProjectOfPhotos) -> None:
    for number in (1, 2):
        project.annotate(number, truth(number))
    first = project.taught()
    next(project.folder.path.glob("taught-*")).unlink()
    for file in project.folder.path.glob("features/*/*"):
        file.unlink()
    assert project.taught() is None
    assert project.folder.outdated_tasks() == [1, 2]
    revision = project.folder.state.revision
    for number in project.folder.outdated_tasks():
        assert not project.learn(number)  # what it says is the same
    assert project.folder.outdated_tasks() == []
    again = project.taught()
    assert first
    assert again
    assert again.same_as(first)
    assert project.folder.state.revision == revision


def test_features_that_are_damaged__cost_their_photo(project: ProjectOfPhotos) -> None:
    for number in (1, 2, 3):
        project.annotate(number, truth(number))
    known = ExemplarFile(project.folder.names).photos["2/image"].labels
    assert known
    [file] = project.folder.path.glob(f"features/*/{known.digest}.safetensors")
    file.write_bytes(file.read_bytes()[:1000])
    taught = project.taught()
    assert taught
    assert taught.facts.photos == 2
    assert project.problems == []
    assert project.folder.outdated_tasks() == [2]
    project.learn(2)
    whole = project.taught()
    assert whole
    assert whole.facts.photos == 3


def test_other_weights__the_photos_are_learned_from_again_and_nothing_is_lost(
    project: ProjectOfPhotos, tmp_path: Path
) -> None:
    for number in (1, 2):
        project.annotate(number, truth(number))
    project.taught()
    for number, data in PHOTOS.items():
        (tmp_path / f"{number}.png").write_bytes(data)
    other = fit(tmp_path, tiny_config("features.size=160"))
    moved = ProjectOfPhotos(project.folder.path, other, PHOTOS)
    moved.annotations = project.annotations
    assert moved.taught() is None  # until they are learned from again
    assert moved.folder.outdated_tasks() == [1, 2]
    for number in moved.folder.outdated_tasks():
        assert moved.learn(number)
    taught = moved.taught()
    assert taught
    assert (taught.facts.photos, taught.facts.classes) == (2, ("polyp",))
    assert moved.folder.outdated_tasks() == []
    assert moved.problems == []


def test_refit__keeps_what_was_taught_and_needs_no_photo(
    project: ProjectOfPhotos, tmp_path: Path
) -> None:
    for number in (1, 2):
        project.annotate(number, truth(number))
    before = project.taught()
    for number, data in PHOTOS.items():
        (tmp_path / f"{number}.png").write_bytes(data)
    again = ProjectOfPhotos(
        project.folder.path, fit(tmp_path, tiny_config(*SETTINGS, "levels.dataset_k=[4]")), PHOTOS
    )
    assert again.model.fit_hash != project.model.fit_hash
    assert again.folder.outdated_tasks() == []
    taught = again.taught()
    assert before
    assert taught
    assert taught.facts.classes == before.facts.classes
    assert taught.facts.photos == 2
    assert again.reads == 0


def test_file_of_an_earlier_version__its_photos_are_learned_from_again(
    project: ProjectOfPhotos,
) -> None:
    project.annotate(1, truth(1))
    names = project.folder.names
    head, line = names.read_text(encoding="ascii").splitlines()
    old = json.loads(line)
    del old["labels"]
    names.write_text(f"{head}\n{json.dumps(old)}\n", encoding="ascii")
    project.folder.go_live(project.model.config, now=True)
    assert [e.name for e in ExemplarFile(names).exemplars] == ["polyp"]
    assert project.taught() is None
    assert project.folder.outdated_tasks() == [1]
    assert project.learn(1)
    taught = project.taught()
    assert taught
    assert taught.facts.photos == 1


# What annotations look like that nobody expects ---------------------------------------------------


def test_one_class_alone__is_learned(project: ProjectOfPhotos) -> None:
    project.xml = label_xml(labels="polyp")
    before = mean_iou(project)
    for number in (1, 2, 3):
        project.annotate(number, truth(number))
    assert mean_iou(project) > before + 0.1


def test_photo_that_is_one_class_wholly__teaches_no_nonsense(project: ProjectOfPhotos) -> None:
    before = project.masks(7)
    project.annotate(1, (np.ones((SIDE, SIDE), dtype=np.bool_), "polyp"))
    taught = project.taught()
    assert taught
    assert not taught.learned  # nothing is known of background
    assert np.array_equal(project.masks(7), before)
    assert project.problems == []


def test_masks_of_a_pixel__change_next_to_nothing(project: ProjectOfPhotos) -> None:
    point = np.zeros((SIDE, SIDE), dtype=np.bool_)
    point[40, 40] = True
    for number in (1, 2, 3):
        project.annotate(number, (point, "polyp"))
    taught = project.taught()
    assert taught
    assert taught.facts.photos == 3
    assert project.problems == []


def test_label_that_the_config_no_longer_has__is_unknown_and_not_background(
    project: ProjectOfPhotos,
) -> None:
    project.annotations[1] = [project.annotation(truth(1))]
    project.xml = label_xml(labels="tool")
    project.learn(1)
    known = ExemplarFile(project.folder.names).photos["1/image"]
    assert known.exemplars == ()
    assert known.labels
    photo = teaching.labelled_photo(known, project.model.vectors_origin)
    assert len(photo.unknown) == 1
    assert photo.complete
    project.annotate(2, (THINGS[2].glare, "tool"))
    taught = project.taught()
    assert taught
    assert taught.facts.classes == ("tool",)


def test_two_annotators_who_contradict__ground_truth_counts_then_the_newest(
    project: ProjectOfPhotos, tmp_path: Path, model: FittedModel
) -> None:
    alone = ProjectOfPhotos(tmp_path / "2", model, PHOTOS)
    old, new = (project.annotation((THINGS[1].glare, "tool")), project.annotation(truth(1)))
    for one in (project, alone):
        one.annotate(2, truth(2))
    project.annotations[1] = [new, old]
    project.learn(1)
    alone.annotate(1, truth(1))
    assert project.taught_bytes() == alone.taught_bytes()
    project.annotations[1] = [new, {**old, "ground_truth": True}]
    project.learn(1)
    taught = project.taught()
    assert taught
    assert taught.facts.classes == ("polyp", "tool")


def test_class_whose_name_was_taken_away__is_unknown_and_not_background(
    project: ProjectOfPhotos,
) -> None:
    project.annotate(1, truth(1))
    names = ExemplarFile(project.folder.names)
    [exemplar] = names.exemplars
    model = project.model
    clusterer = model.config.strategy("clusterer")
    [cluster] = classes_of([exemplar], model.classes, clusterer)
    names.name_class(int(cluster), "", centroids=model.classes, clusterer=clusterer)
    photo = teaching.labelled_photo(names.photos["1/image"], model.vectors_origin)
    assert photo.regions == ()
    assert photo.unknown == (exemplar.rle,)
    project.taught()
    assert project.problems == []


def test_skipped_annotations__teach_nothing(project: ProjectOfPhotos) -> None:
    project.annotate(1, truth(1), was_cancelled=True)
    assert project.taught() is None


def test_region_that_cannot_be_read__leaves_the_rest_unknown(project: ProjectOfPhotos) -> None:
    annotation = project.annotation(truth(1), (THINGS[1].glare, "tool"))
    annotation["result"][1]["value"]["rle"] = [1, 2]
    project.annotations[1] = [annotation]
    project.learn(1)
    known = ExemplarFile(project.folder.names).photos["1/image"]
    assert known.labels
    assert not known.labels.complete


def test_partial__what_is_not_drawn_is_unknown_and_the_setting_is_learned_anew(
    project: ProjectOfPhotos,
) -> None:
    project.annotate(1, truth(1))
    assert project.folder.outdated_tasks() == []
    project.folder.update(partial=True)
    assert project.folder.outdated_tasks() == [1]
    assert project.learn(1)
    known = ExemplarFile(project.folder.names).photos["1/image"]
    assert known.labels
    assert not known.labels.complete
    # The project's own setting counts before that of the backend.
    project.folder.update(partial=False)
    assert project.folder.outdated_tasks(partial=True) == [1]
    assert project.learn(1, partial=True)
    assert project.folder.outdated_tasks(partial=True) == []


def test_partial__photos_in_which_one_of_two_was_drawn_teach_more(
    tmp_path: Path, model: FittedModel
) -> None:
    """The bright spots are tools, which nobody has drawn on the first three photos."""
    found = {}
    for partial in (False, True):
        project = ProjectOfPhotos(tmp_path / str(partial), model, PHOTOS)
        project.folder.update(partial=partial)
        for number in (1, 2, 3):
            project.annotate(number, truth(number))
        found[partial] = float(
            np.mean([(project.masks(n) & THINGS[n].glare).sum() for n in OTHERS])
        )
    assert found[True] > found[False]


def test_deleted_region_that_was_found_by_what_was_taught__counts(
    project: ProjectOfPhotos,
) -> None:
    """Without corrections, the swelling and the bright spot of photo 4 are two regions of their own;
    taught that all bright spots are things, another region is shown, and deleted."""
    for number in (1, 2, 3):
        project.annotate(number, (THINGS[number].glare, "tool"))
    project.taught()
    project.annotate(4, parent_prediction=5)
    known = ExemplarFile(project.folder.names).photos["4/image"]
    masks = [decode_rle(e.rle) for e in known.exemplars if e.rle is not None and not e.name]
    alone = [r.mask for r in project.predictor.segment(PHOTOS[4]).regions]
    assert len(masks) > len(alone)
    assert max(iou(mask, THINGS[4].glare) for mask in masks) > 0.8


# What goes wrong ----------------------------------------------------------------------------------


def test_learner_that_fails__costs_no_prediction_and_is_reported_once(
    project: ProjectOfPhotos, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = project.masks(7)
    project.annotate(1, truth(1))
    state = project.folder.go_live(project.model.config, now=True)

    def fail(*_: object) -> LabelledPatches:
        raise ValueError("singular")

    monkeypatch.setattr(Teacher, "teach", fail)
    teacher = teaching.ProjectTeacher(project.folder, project.model)
    problems: list[str] = []
    for _ in range(3):
        assert teacher.taught(state.revision, problems.append) is None
    assert len(problems) == 1
    assert "singular" in problems[0]
    assert np.array_equal(project.masks(7), before)


def test_curve__has_a_point_for_each_revision(project: ProjectOfPhotos) -> None:
    for number in (1, 2, 3, 4):
        project.annotate(number, truth(number))
        project.taught()
    points = LearningCurve(project.folder.path).points()
    assert [(p.revision, p.photos) for p in points] == [(1, 1), (2, 2), (3, 3), (4, 4)]
    assert (points[0].before, points[0].after) == (None, None)
    assert points[-1].before is not None
    assert points[-1].after is not None
    assert points[-1].after > points[-1].before + 0.1
    assert "4 photos (polyp)" in points[-1].text()


def test_learning__holds_up_nobody_who_needs_what_is_live(
    project: ProjectOfPhotos, monkeypatch: pytest.MonkeyPatch
) -> None:
    project.annotate(1, truth(1))
    live = project.folder.go_live(project.model.config, now=True).revision
    teacher = teaching.ProjectTeacher(project.folder, project.model)
    first = teacher.taught(live, project.problems.append)
    project.annotate(2, truth(2))
    following = project.folder.go_live(project.model.config, now=True).revision
    begun, go_on = threading.Event(), threading.Event()
    teach = Teacher.teach

    def slow(self: Teacher, photos: Sequence[LabelledPhoto]) -> Taught:
        begun.set()
        assert go_on.wait(30)
        return teach(self, photos)

    monkeypatch.setattr(Teacher, "teach", slow)
    thread = threading.Thread(target=teacher.taught, args=(following, project.problems.append))
    thread.start()
    assert begun.wait(30)
    assert teacher.taught(live, project.problems.append) is first
    go_on.set()
    thread.join(30)
    assert project.problems == []


TEACH = """
import sys
sys.path[:0] = sys.argv[3].split(":")
from pathlib import Path
from prelabel.label_studio.project_folder import ProjectFolder
from prelabel.label_studio.teaching import ProjectTeacher
folder = ProjectFolder(Path(sys.argv[1]))
model = folder.newest_model()
print("ready", flush=True)
for number in range(1000):
    for file in folder.path.glob("taught-*"):
        file.unlink()
    ProjectTeacher(folder, model).taught(int(sys.argv[2]), print)
"""


def test_killed_while_learning__nothing_is_lost(project: ProjectOfPhotos) -> None:
    for number in (1, 2, 3):
        project.annotate(number, truth(number))
    data, revision = project.taught_bytes(), project.folder.state.revision
    names = project.folder.names.read_bytes()
    for wait in (0.0, 0.05, 0.2, 0.4):
        process = subprocess.Popen(
            [
                sys.executable,
                "-c",
                TEACH,
                str(project.folder.path),
                str(revision),
                ":".join(sys.path),
            ],
            stdout=subprocess.PIPE,
            text=True,
        )
        assert process.stdout
        assert process.stdout.readline() == "ready\n"
        time.sleep(wait)
        process.send_signal(signal.SIGKILL)
        process.wait(10)
        assert project.folder.names.read_bytes() == names
        assert project.taught_bytes() == data
        assert len(LearningCurve(project.folder.path).points()) == 1
    assert project.problems == []


def test_one_more_photo__takes_less_than_a_second(
    project: ProjectOfPhotos,
) -> None:
    teacher = teaching.ProjectTeacher(project.folder, project.model)
    took = []
    for number in (1, 2, 3, 4, 5, 6):
        project.annotate(number, truth(number))
        state = project.folder.go_live(project.model.config, now=True)
        began = time.process_time()
        assert teacher.taught(state.revision, project.problems.append)
        took.append(time.process_time() - began)
    assert took[-1] < 1
