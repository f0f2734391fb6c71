"""The model class under both APIs of label-studio-ml: 1.0.9 itself, and the main branch's as it is
documented. ``label_studio_ml_api`` holds what Label Studio asks and what it is to be answered."""

from __future__ import annotations

import importlib
import json
import multiprocessing
import os
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from prelabel.errors import UserError

API = Path(__file__).parent / "label_studio_ml_api"
VERSION = "0123456789ab-3"
CONFIG = json.loads((API / "setup.json").read_text("utf-8"))["request"]["json"]["schema"]
MASK = (
    b'{"result": [{"id": "a1", "type": "brushlabels", "from_name": "tag", "to_name": "image",'
    b' "original_width": 4, "original_height": 2, "image_rotation": 0, "score": 0.75, "value":'
    b' {"format": "rle", "rle": [0, 0, 0, 32], "brushlabels": ["Cat"]}}], "score": 0.75,'
    b' "model_version": "0123456789ab-3"}'
)
ANSWERS = {
    41: MASK,
    42: b"[]",
    43: b'{"result": [], "score": 0.0, "model_version": "0123456789ab-3"}',
}
EVENTS: dict[str, Mapping[str, Any]] = {
    "ANNOTATION_CREATED": {"status": "learning", "tasks": 1},
    "START_TRAINING": {"status": "fit", "job": "waiting"},
}


class FakeService:
    """Answers by the task's id; ``asked``: projects, label configs and contexts of predictions."""

    def __init__(self) -> None:
        self.live = VERSION
        self.versions_of: list[str] = []
        self.asked: list[tuple[str, str, Any]] = []
        self.events: list[tuple[str, Mapping[str, Any]]] = []

    def version(self, name: str) -> str:
        self.versions_of.append(name)
        return self.live

    def answers(
        self,
        name: str,
        tasks: Sequence[Mapping[str, Any]],
        label_xml: str,
        context: Mapping[str, Any] | None = None,
    ) -> list[bytes]:
        self.asked.append((name, label_xml, context))
        return [ANSWERS[task["id"]] for task in tasks]

    def event(self, action: str, payload: Mapping[str, Any]) -> Mapping[str, object]:
        self.events.append((action, payload))
        return EVENTS.get(action, {"status": "noted"})


@pytest.fixture
def fresh(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The library and the class are imported anew; afterwards all is as before."""
    import prelabel.label_studio as package

    start_method = multiprocessing.get_start_method(allow_none=True)
    monkeypatch.setattr(package, "ml_model", None, raising=False)
    for name in _imported():
        monkeypatch.delitem(sys.modules, name)
    yield
    for name in _imported():
        del sys.modules[name]
    multiprocessing.set_start_method(start_method, force=True)


def _imported() -> list[str]:
    own = "prelabel.label_studio.server.ml_model"
    return [n for n in sys.modules if n == own or n.partition(".")[0] == "label_studio_ml"]


def ml_model() -> Any:
    return importlib.import_module("prelabel.label_studio.server.ml_model")


@pytest.fixture
def main_branch(fresh: None, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The stand-in of the main branch's ``label_studio_ml.model``."""
    monkeypatch.syspath_prepend(str(API))
    return importlib.import_module("label_studio_ml.model")


@pytest.fixture
def service() -> FakeService:
    return FakeService()


@pytest.fixture
def model_class(main_branch: Any, service: FakeService) -> Any:
    """The class under the main branch's API."""
    found = ml_model().PrelabelModel
    found.service = service
    return found


def recorded(name: str) -> tuple[dict[str, Any], int, dict[str, Any]]:
    """A request's body, and the status and body of its answer."""
    exchange = json.loads((API / f"{name}.json").read_text("utf-8"))
    return exchange["request"]["json"], exchange["response"]["status"], exchange["response"]["json"]


def ask(model_class: Any, body: dict[str, Any]) -> dict[str, Any]:
    """What the main branch's server calls for a request, and what it answers."""
    if "action" in body:
        event = body.pop("action")
        project = body["project"]
        model = model_class(str(project["id"]), label_config=project["label_config"])
        return {"result": model.fit(event, body), "status": "ok"}
    number = str(body.get("project")).partition(".")[0]
    if "schema" in body:
        model = model_class(project_id=number, label_config=body["schema"])
        return {"model_version": model.get("model_version")}
    params = body["params"]
    context = params.pop("context", {})
    model = model_class(project_id=number, label_config=body["label_config"])
    return {"results": model.predict(body["tasks"], context=context, **params)}


# --- the main branch's API ---


@pytest.mark.parametrize("name", sorted(file.stem for file in API.glob("*.json")))
def test_main__what_label_studio_asks_is_answered_as_recorded(name: str, model_class: Any) -> None:
    body, _, expected = recorded(name)
    assert ask(model_class, body) == expected


def test_main__setup_says_a_new_version_and_writes_it_once(
    model_class: Any, main_branch: Any, service: FakeService
) -> None:
    for live in ("0123456789ab-3", "0123456789ab-3", "0123456789ab-4"):
        service.live = live
        assert ask(model_class, recorded("setup")[0]) == {"model_version": live}
    # the base's own first version, and each of ours once
    assert main_branch.WRITES.count("model_version") == 3
    assert set(service.versions_of) == {"7"}


def test_main__the_service_gets_the_project_the_config_and_the_click(
    model_class: Any, service: FakeService
) -> None:
    ask(model_class, recorded("predict")[0])
    body = recorded("predict_interactive")[0]
    click = dict(body["params"]["context"])
    ask(model_class, body)
    assert service.asked == [("7", CONFIG, None), ("7", CONFIG, click)]
    assert click["result"][0]["value"]["x"] == 50.0


def test_main__an_event_reaches_the_service_without_its_action(
    model_class: Any, service: FakeService
) -> None:
    body = recorded("webhook_annotation_created")[0]
    ask(model_class, dict(body))
    ((action, payload),) = service.events
    assert action == body.pop("action") == "ANNOTATION_CREATED"
    assert payload == body


@pytest.mark.parametrize("context", [None, {}])
def test_predict__without_a_click_there_is_no_context(
    context: Any, model_class: Any, service: FakeService
) -> None:
    model_class("7", label_config=CONFIG).predict([{"id": 41}], context=context)
    assert service.asked == [("7", CONFIG, None)]


def test_predict__a_config_of_an_earlier_request_serves(
    model_class: Any, service: FakeService
) -> None:
    model_class("7", label_config=CONFIG)
    model_class("7").predict([{"id": 41}])
    model_class("8").predict([{"id": 41}])
    assert service.asked == [("7", CONFIG, None), ("8", "", None)]


def test_predict__a_request_without_a_project_leaves_it_to_the_tasks(
    model_class: Any, service: FakeService
) -> None:
    body = recorded("predict")[0]
    del body["project"]  # the server makes "None" of it
    ask(model_class, body)
    assert service.asked[0][0] == ""


_VALUES = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text()
_EMPTY: list[object] = []
_ANSWERS = st.just(_EMPTY) | st.dictionaries(st.text(), _VALUES | st.lists(_VALUES), max_size=3)


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(answers=st.lists(_ANSWERS, max_size=5))
def test_predict__gives_what_the_service_says_in_the_order_of_the_tasks(
    model_class: Any, service: FakeService, answers: list[Any]
) -> None:
    texts = [json.dumps(answer).encode() for answer in answers]
    tasks = [{"id": i} for i in reversed(range(len(answers)))]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(service, "answers", lambda _, tasks, *more: [texts[t["id"]] for t in tasks])
        assert model_class("7", label_config=CONFIG).predict(tasks) == answers[::-1]


DATA = {"project": {"id": 7}}


@pytest.mark.parametrize(
    ("args", "named"),
    [
        (("ANNOTATION_CREATED", DATA), {}),
        (("ANNOTATION_CREATED", DATA), {"job_id": "1", "workdir": "w"}),
        (("ANNOTATION_CREATED",), {"data": DATA}),
        ((), {"event": "ANNOTATION_CREATED", "data": DATA, "job_id": "1"}),
        (((),), {"event": "ANNOTATION_CREATED", "data": DATA, "job_id": "1", "workdir": "w"}),
        (((), "w"), {"event": "ANNOTATION_CREATED", "data": DATA, "job_id": "1"}),
    ],
)
def test_fit__every_way_to_call_it_gives_the_same_event(
    args: tuple[Any, ...], named: dict[str, Any], model_class: Any, service: FakeService
) -> None:
    assert model_class("7").fit(*args, **named) == {"status": "learning", "tasks": 1}
    assert service.events == [("ANNOTATION_CREATED", DATA)]


def test_fit__without_an_event_does_nothing(model_class: Any, service: FakeService) -> None:
    assert model_class("7").fit(iter([{"id": 41}]), "workdir") == {}
    assert service.events == []


@pytest.mark.parametrize("action", ["ANNOTATION_DELETED", "PROJECT_UPDATED", "START_TRAINING"])
def test_process_event__hands_over_what_a_project_tells(
    action: str, model_class: Any, service: FakeService
) -> None:
    model_class("7").process_event(action, DATA, "1", {"workdir": "w"})
    assert service.events == [(action, DATA)]


def test_process_event__ignores_other_calls(model_class: Any, service: FakeService) -> None:
    assert model_class("7").process_event("PROJECT_DELETED", DATA, "1", {}) is None
    assert service.events == []


# --- the service, and the library's import ---


def test_service__is_made_once_however_many_ask_at_once(
    main_branch: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = []

    def default_service() -> FakeService:
        time.sleep(0.02)
        made.append(FakeService())
        return made[-1]

    module = ModuleType("prelabel.label_studio.server.service")
    module.default_service = default_service  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, module.__name__, module)
    model_class = ml_model().PrelabelModel
    assert model_class.service is None
    with ThreadPoolExecutor(4) as threads:
        versions = list(threads.map(lambda i: model_class(str(i)).version, range(8)))
    assert versions == [VERSION] * 8
    assert len(made) == 1
    assert model_class.service is made[0]


def test_service__one_that_was_set_is_not_made_again(model_class: Any, service: Any) -> None:
    other = model_class("7")
    assert other.version == VERSION
    assert model_class.service is service


def test_import__the_database_goes_to_the_data_folder(
    fresh: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.syspath_prepend(str(API))
    monkeypatch.delenv("MODEL_DIR", raising=False)
    monkeypatch.setenv("PRELABEL_HOME", str(tmp_path))
    ml_model()
    opened_in = sys.modules["label_studio_ml.model"].OPENED_IN
    assert opened_in == str(tmp_path / "label-studio-ml")
    assert "MODEL_DIR" not in os.environ  # 1.0.9's server would take it for its own


def test_import__the_users_model_dir_stays(
    fresh: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.syspath_prepend(str(API))
    monkeypatch.setenv("MODEL_DIR", str(tmp_path))
    ml_model()
    opened_in = sys.modules["label_studio_ml.model"].OPENED_IN
    assert opened_in == str(tmp_path)
    assert os.environ["MODEL_DIR"] == str(tmp_path)


def test_import__a_missing_library_says_what_to_install(
    fresh: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Absent:
        @staticmethod
        def find_spec(name: str, *_: Any) -> None:
            if name == "label_studio_ml":
                raise ModuleNotFoundError(f"No module named {name!r}", name=name)

    monkeypatch.setattr(sys, "meta_path", [Absent, *sys.meta_path])
    with pytest.raises(UserError) as error:
        ml_model()
    assert str(error.value) == "label-studio-ml is missing: pip install 'prelabel[serve]'"


def test_import__a_library_that_lacks_redis_names_it(
    fresh: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "label_studio_ml").mkdir()
    (tmp_path / "label_studio_ml" / "__init__.py").touch()
    (tmp_path / "label_studio_ml" / "model.py").write_text("import redis\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setitem(sys.modules, "redis", None)
    with pytest.raises(UserError, match=r"cannot be imported \(.*redis.*\): pip install"):
        ml_model()


# --- 1.0.9 itself, through its own server ---


@pytest.fixture
def released(
    fresh: None, service: FakeService, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Any:
    """``label_studio_ml.api`` of 1.0.9; its job for an event runs in this process."""
    api = pytest.importorskip("label_studio_ml.api", reason="label-studio-ml is not installed")
    manager = getattr(api, "_manager", None)
    if manager is None:
        pytest.skip("label-studio-ml is the main branch")
    jobs = sys.modules["label_studio_ml.model"].SimpleJobManager
    monkeypatch.setattr(jobs, "run_job", lambda self, model, args: self.job(model, *args))
    ml_model().PrelabelModel.service = service
    return api


def client(api: Any, folder: Path, **settings: Any) -> Any:
    app = api.init_app(ml_model().PrelabelModel, model_dir=str(folder), **settings)
    return app.test_client()


@pytest.mark.slow
def test_released__health_setup_and_predict(
    released: Any, service: FakeService, tmp_path: Path
) -> None:
    http = client(released, tmp_path)
    assert http.get("/health").get_json()["status"] == "UP"
    body, status, _ = recorded("setup")
    answer = http.post("/setup", json=body)
    assert (answer.status_code, answer.get_json()) == (status, {"model_version": "INITIAL"})
    model = released._manager._current_model.model
    assert (model.hostname, model.access_token) == (body["hostname"], body["access_token"])
    for name in ("predict", "predict_interactive"):
        body, status, expected = recorded(name)
        answer = http.post("/predict", json=body)
        assert (answer.status_code, answer.get_json()["results"]) == (status, expected["results"])
    click = body["params"]["context"]
    # Which project it is, only the tasks say.
    assert service.asked == [("", CONFIG, None), ("", CONFIG, click)]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["webhook_annotation_created", "webhook_start_training"])
def test_released__an_event_reaches_the_service_and_its_result_is_kept(
    name: str, released: Any, service: FakeService, tmp_path: Path
) -> None:
    body, status, expected = recorded(name)
    answer = client(released, tmp_path).post("/webhook", json=body)
    assert answer.status_code == status
    action = body.pop("action")
    assert service.events == [(action, body)]
    kept = tmp_path / answer.get_json()["job_id"] / "job_result.json"
    assert json.loads(kept.read_text("utf-8")) == expected["result"]


@pytest.mark.slow
def test_released__the_project_may_be_named_at_the_start(
    released: Any, service: FakeService, tmp_path: Path
) -> None:
    http = client(released, tmp_path, project_id=9)  # start … --with project_id=9
    http.post("/setup", json=recorded("setup")[0])
    assert released._manager._current_model.model.version == VERSION
    assert service.versions_of == ["9"]
