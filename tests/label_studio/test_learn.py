"""Learning from the tasks of a project."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from prelabel.label_studio import learn
from prelabel.label_studio.names.exemplar_lines import PhotoExemplars
from prelabel.label_studio.names.exemplars import ExemplarFile, Lessons
from prelabel.label_studio.project_folder import ProjectFolder
from prelabel.storage.progress import RunLog


def test_learn_tasks__a_task_that_is_gone_meanwhile_costs_that_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Server:
        def find_tasks(self, project: int, numbers: list[int]) -> dict[int, dict[str, Any]]:
            return {n: {"id": n, "project": project} for n in numbers if n != 2}

    def lesson(task: dict[str, Any], *_: object, **__: object) -> Lessons:
        return {f"{task['id']}/image": PhotoExemplars("1:x")}

    monkeypatch.setattr(learn, "learn_task", lesson)
    monkeypatch.setattr(learn, "Predictor", lambda *_: SimpleNamespace(flush=lambda: None))
    tasks: Any = [
        SimpleNamespace(id=n, stamp="1:x", photos=[SimpleNamespace(name=f"{n}/image")])
        for n in (1, 2, 3)
    ]
    home = ProjectFolder(tmp_path / "7")
    unused: Any = SimpleNamespace(config=None, vectors_origin="")
    server: Any = Server()
    log = RunLog()
    learned = learn.learn_tasks(server, unused, tasks, home, unused, unused, unused, log)
    assert learned == 2
    assert list(log.skipped) == ["2"]
    assert ExemplarFile(home.names).photos_of_annotations([1]) == ["1/image", "3/image"]
