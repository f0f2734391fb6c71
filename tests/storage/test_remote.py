"""Photos, models and results by addresses: in fsspec's memory, and in S3 as moto's server has it."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest

from prelabel.errors import UserError
from prelabel.review.result_folder import ResultFolder, review_of_run
from prelabel.steps.photos import find_photos
from prelabel.storage.remote import RemoteFolder, file_in, is_below, is_url, local_path, place
from support.command_line import LIGHT, cli, contents, refused, write_discs, write_labels
from support.messages import assert_says

fsspec = pytest.importorskip(
    "fsspec", reason="fsspec is not installed: pip install 'prelabel[cloud]'"
)


def upload(folder: Path, url: str) -> None:
    """The files of a folder."""
    for file in folder.rglob("*"):
        if file.is_file():
            name = file.relative_to(folder).as_posix()
            RemoteFolder(url).write(name, file)


def remote(url: str) -> dict[str, bytes]:
    """The files below an address."""
    return {name: file.read_bytes() for name, file in RemoteFolder(url).files()}


def test_is_url() -> None:
    assert is_url("s3://bucket/photos")
    assert is_url(Path("s3://bucket/photos"))
    assert not any(
        map(is_url, ("photos", "/photos", "C:/photos", "C:\\photos", "./s3:/x", "a:b", ""))
    )


def test_place() -> None:
    assert place("s3://bucket/a/") == RemoteFolder("s3://bucket/a")
    assert place("a/b") == Path("a/b")
    with pytest.raises(UserError, match="'s3://bucket/a' is an address: save takes paths"):
        local_path(Path("s3://bucket/a"), what="save")


def test_is_below(tmp_path: Path) -> None:
    (tmp_path / "out").symlink_to(tmp_path.parent)
    assert is_below(tmp_path / "a" / ".." / "b.jpg", tmp_path)
    assert not is_below(tmp_path / "out" / "b.jpg", tmp_path)
    bucket = RemoteFolder("s3://bucket/a")
    assert is_below(file_in(bucket, "b/c..jpg"), bucket)
    assert not is_below(file_in(bucket, "../b.jpg"), bucket)
    assert not is_below(file_in(bucket, "b.jpg"), RemoteFolder("s3://bucket/ab"))
    assert not is_below(file_in(bucket, "b.jpg"), tmp_path)


def test_find_photos__lists_what_a_folder_would(memory: str) -> None:
    folder = RemoteFolder(memory)
    shown = ["a/c d.PNG", "b.jpg", "x y 100%.jpg", "ü/é?.webp"]
    for name in (*shown, ".hidden/x.jpg", "notes.txt", "x.svg"):
        folder.write(name, name.encode())
    found = find_photos(memory)
    assert [photo.name for photo in found.photos] == shown
    assert [photo.file.read_bytes().decode() for photo in found.photos] == shown
    assert str(found.root) == memory
    assert found.passed_over == {".svg": 1}
    (single,) = find_photos(f"{memory}/a/c d.PNG").photos
    assert (single.name, single.file.read_bytes()) == ("c d.PNG", b"a/c d.PNG")


def test_find_photos__tells_what_is_wrong(memory: str) -> None:
    RemoteFolder(memory).write("notes.txt", b"")
    for url, told in {
        memory: "holds no photo",
        f"{memory}/none": "holds no photo",
        "nothing://bucket/photos": "no such kind of storage",
        "https://example.com/photos": "pages of the web cannot be listed",
    }.items():
        with pytest.raises(UserError, match=told):
            find_photos(url)


def test_driver_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "gcsfs", None)
    with pytest.raises(
        UserError, match=r"needs a driver \(.*gcsfs.*pip install 'prelabel\[cloud\]'"
    ):
        find_photos("gs://bucket/photos")


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Photos with a broken one, a model, and what one process predicts."""
    folder = tmp_path_factory.mktemp("remote")
    photos = write_discs(folder / "photos", 7)
    (photos / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n broken")
    assert cli("fit", photos, "--out", folder / "model", *LIGHT).exit_code == 0
    assert cli("predict", folder / "model", photos, "--out", folder / "one").exit_code == 0
    return folder


def everything(local: Path, url: str) -> None:
    """fit, predict by shards and by an engine, and merge, with all folders at addresses."""
    upload(local / "photos", f"{url}/photos")
    photos, model = f"{url}/photos", f"{url}/model"
    fitted = cli("fit", photos, "--out", model, *LIGHT)
    assert fitted.exit_code == 0
    assert f"model      {model}\n" in fitted.stdout
    expected = (local / "one" / "predictions.jsonl").read_bytes()
    for part in ("1/2", "2/2"):
        done = cli("predict", model, photos, "--out", f"{url}/parts", "--shard", part)
        assert done.exit_code == 0
    assert sorted(remote(f"{url}/parts")) == [
        f"{i}-of-2/{name}" for i in (1, 2) for name in ("predictions.jsonl", "run.json")
    ]
    assert cli("merge", f"{url}/parts", "--out", f"{url}/merged").exit_code == 0
    assert remote(f"{url}/merged")["predictions.jsonl"] == expected
    arguments = ("--out", f"{url}/all", "--engine", "local", "--shards", 3)
    assert cli("predict", model, photos, *arguments).exit_code == 0
    found = remote(f"{url}/all")
    assert found["predictions.jsonl"] == expected
    facts = json.loads(found["run.json"])
    assert facts["state"] == "done"
    assert facts["photos"]["folder"] == photos
    assert [skipped["photo"] for skipped in facts["photos"]["skipped"]] == ["broken.png"]


def run_everywhere(local: Path, url: str, out: Path) -> None:
    """run, with photos and results at addresses, gives what it gives of folders; and what is done with a
    result afterwards reads its photos from there."""
    upload(local / "photos", f"{url}/photos")
    photos = f"{url}/photos"
    formats = ("--format", "coco", "--format", "label-studio", "--format", "voc")
    images = ("--set", "voc.images=link")
    assert (
        cli("run", local / "photos", "--out", out / "here", *LIGHT, *formats, *images).exit_code
        == 0
    )
    done = cli("run", photos, "--out", f"{url}/out", *LIGHT, *formats, *images)
    assert done.exit_code == 0
    assert f"report       {url}/out/report/index.html\n" in done.stdout
    found = remote(f"{url}/out")
    here = {
        f.relative_to(out / "here").as_posix() for f in (out / "here").rglob("*") if f.is_file()
    }
    assert set(found) == {name for name in here if not name.endswith(".lock")}
    same = [name for name in found if Path(name).suffix in (".jsonl", ".xml", ".webp", ".jpg")]
    assert len(same) > 14
    for name in [*same, "coco/instances.json"]:
        assert found[name] == (out / "here" / name).read_bytes(), name
    tasks = json.loads(found["label-studio/tasks.json"])
    assert tasks[0]["data"]["image"] == f"{photos}/{tasks[0]['meta']['photo']}"
    assert json.loads(found["run.json"])["photos"]["folder"] == photos

    assert cli("run", photos, "--out", out / "run", *LIGHT).exit_code == 0
    yolo = ("--format", "yolo-seg", "--set", "yolo-seg.images=link", "--out", out / "yolo")
    assert cli("export", out / "run", *yolo).exit_code == 0
    written = sorted((out / "yolo" / "yolo-seg" / "images").iterdir())
    assert [file.read_bytes() for file in written] == [
        file.read_bytes() for file in sorted((local / "photos").glob("photo *.png"))
    ]
    truth = (out / "here" / "coco", "--out", out / "evaluation")
    assert cli("evaluate", out / "run", *truth).exit_code == 0
    assert len(list((out / "evaluation" / "thumbs").iterdir())) == len(written)
    source = ResultFolder(out / "run")
    with review_of_run(source) as review:
        assert not source.problems.counts
        assert review.photo(0).name == "photo 0.png"


def test_memory__run_everywhere(local: Path, memory: str, tmp_path: Path) -> None:
    run_everywhere(local, memory, tmp_path)


@pytest.mark.slow
def test_s3__run_everywhere(local: Path, s3: Any, tmp_path: Path) -> None:
    run_everywhere(local, "s3://photos/run", tmp_path)


def test_run_again__replaces_its_results(local: Path, memory: str, tmp_path: Path) -> None:
    command = ("run", local / "photos", "--out", memory, *LIGHT)
    assert cli(*command).exit_code == 0
    first = remote(memory)
    (tensors,) = (name for name in first if "tensors-" in name)
    mine = {"notes.txt", f"older/{tensors}", f"evaluation/thumbs/{'0' * 32}.jpg"}
    for name in mine:
        RemoteFolder(memory).write(name, b"mine")
    assert cli(*command, "--seed", "1").exit_code == 0
    second = remote(memory)
    # Nothing is left of the first, and what others put there stays.
    here = cli("run", local / "photos", "--out", tmp_path, *LIGHT, "--seed", "1")
    assert here.exit_code == 0
    files = {f.relative_to(tmp_path).as_posix() for f in tmp_path.rglob("*") if f.is_file()}
    assert set(second) == {name for name in files if not name.endswith(".lock")} | mine
    assert set(first) - set(second)
    assert json.loads(second["run.json"])["config"]["fit"]["seed"] == 1
    line = refused("predict", local / "model", local / "photos", "--out", memory)
    assert_says(line, f"'{memory}' holds what `prelabel run` wrote")


def test_labels__of_photos_at_an_address(local: Path, memory: str, tmp_path: Path) -> None:
    upload(local / "photos", memory)
    labels = write_labels(local / "photos", tmp_path / "labels", 4)
    for photos, out in ((local / "photos", "here"), (memory, "there")):
        done = cli("run", photos, "--labels", labels, "--out", tmp_path / out, *LIGHT)
        assert done.exit_code == 0
    here, there = ((tmp_path / out / "predictions.jsonl").read_bytes() for out in ("here", "there"))
    assert here == there
    facts = json.loads((tmp_path / "there" / "run.json").read_bytes())
    assert facts["taught"]["photos"] == 4


def test_memory__all_folders(local: Path, memory: str) -> None:
    everything(local, memory)


def test_file__all_folders(local: Path, tmp_path: Path) -> None:
    everything(local, f"file://{tmp_path}/new")


@pytest.mark.slow
def test_s3__all_folders(local: Path, s3: Any) -> None:
    everything(local, "s3://photos/some folder")


def test_finished_shard_is_not_predicted_again(
    local: Path, memory: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = ("predict", local / "model", local / "photos", "--out", memory, "--shard", "1/2")
    assert cli(*command).exit_code == 0
    written: list[str] = []
    write = RemoteFolder.write

    def noted(self: RemoteFolder, name: str, data: bytes | Path) -> None:
        written.append(name)
        write(self, name, data)

    monkeypatch.setattr(RemoteFolder, "write", noted)
    assert cli(*command).exit_code == 0
    assert written == []
    RemoteFolder(f"{memory}/1-of-2").write(
        "run.json", b'{"command": "predict", "state": "started"}'
    )
    written.clear()
    assert cli(*command).exit_code == 0
    # The folder counts as not finished until all is there.
    assert written == ["run.json", "predictions.jsonl", "run.json"]


def test_folder_of_something_else_is_refused(local: Path, memory: str) -> None:
    RemoteFolder(memory).write("thesis.txt", b"mine")
    line = refused("predict", local / "model", local / "photos", "--out", memory)
    assert_says(line, "holds 'thesis.txt' and is not an earlier result", memory)
    assert remote(memory) == {"thesis.txt": b"mine"}
    RemoteFolder(f"{memory}/model").write("run.json", b'{"command": "fit", "state": "done"}')
    line = refused("predict", local / "model", local / "photos", "--out", f"{memory}/model")
    assert_says(line, f"'{memory}/model' holds what `prelabel fit` wrote")


def test_merge__names_what_is_missing(local: Path, memory: str) -> None:
    command = ("predict", local / "model", local / "photos", "--out", memory, "--shard", "1/2")
    assert cli(*command).exit_code == 0
    line = refused("merge", memory, "--out", f"{memory}/merged")
    assert_says(line, f"'{memory}': 1 of 2 shards are missing", "--shard 2/2")


def test_photo_that_cannot_be_read_costs_that_photo(
    local: Path, memory: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, empty_cache: Path
) -> None:
    upload(local / "photos", memory)
    system = type(fsspec.filesystem("memory"))
    read = system.cat_file

    def denied(self: Any, path: str, *args: Any, **options: Any) -> bytes:
        if path.endswith("photo 2.png"):
            raise PermissionError(13, "AccessDenied", path)
        if path.endswith("photo 3.png"):
            raise FileNotFoundError(2, "was deleted", path)
        return bytes(read(self, path, *args, **options))

    monkeypatch.setattr(system, "cat_file", denied)
    assert cli("predict", local / "model", memory, "--out", tmp_path / "out").exit_code == 0
    facts = json.loads((tmp_path / "out" / "run.json").read_bytes())
    skipped = {one["photo"]: one["reason"] for one in facts["photos"]["skipped"]}
    assert skipped["photo 2.png"] == "cannot be read (AccessDenied)"
    assert skipped["photo 3.png"] == "cannot be read (was deleted)"
    assert facts["photos"]["predicted"] == 5


def test_storage_that_does_not_answer_ends_the_command(
    local: Path, memory: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, empty_cache: Path
) -> None:
    """No photo is left out for it: the shard would count as finished without them."""
    upload(local / "photos", memory)

    def late(*_: object, **__: object) -> bytes:
        raise TimeoutError("no answer within 60 seconds")

    monkeypatch.setattr(type(fsspec.filesystem("memory")), "cat_file", late)
    line = refused("predict", local / "model", memory, "--out", tmp_path / "out")
    assert_says(line, memory, "cannot be reached (TimeoutError: no answer within 60 seconds)")


@pytest.mark.slow
def test_s3__a_photo_is_one_request(local: Path, s3: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    upload(local / "photos", "s3://photos/counted")
    (photo, *_) = find_photos("s3://photos/counted").photos
    asked = []
    call = type(s3)._call_s3

    async def counted(self: Any, method: str, *args: Any, **options: Any) -> Any:
        asked.append(method)
        return await call(self, method, *args, **options)

    monkeypatch.setattr(type(s3), "_call_s3", counted)
    assert photo.file.read_bytes() == (local / "photos" / photo.name).read_bytes()
    assert asked == ["get_object"]


@pytest.mark.slow
def test_s3__awkward_names(s3: Any) -> None:
    folder = RemoteFolder("s3://photos/awkward")
    shown = ["a::b.jpg", "a//b.jpg", "c? 1.jpg", "d#1.jpg", "e 100%.jpg", "ü/é.jpg"]
    for name in shown:
        folder.write(name, name.encode())
    found = find_photos("s3://photos/awkward")
    assert found.skipped == (("a//b.jpg", "its name has an empty part: rename it"),)
    readable = sorted(set(shown) - {"a//b.jpg"})
    assert [photo.name for photo in found.photos] == readable
    assert [photo.file.read_bytes().decode() for photo in found.photos] == readable


@pytest.mark.slow
def test_s3__tells_what_is_wrong(s3: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match="'s3://no-such-bucket/x': no such bucket, folder or file"):
        find_photos("s3://no-such-bucket/x")
    nobody = {"endpoint_url": "http://127.0.0.1:9", "key": "any", "secret": "any"}
    quick = {"connect_timeout": 1, "retries": {"max_attempts": 0}}
    monkeypatch.setitem(fsspec.config.conf, "s3", {**nobody, "config_kwargs": quick})
    with pytest.raises(UserError, match=r"cannot be reached \(EndpointConnectionError"):
        find_photos("s3://photos/x")
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("HOME", "/nonexistent")
    monkeypatch.setitem(
        fsspec.config.conf, "s3", {"endpoint_url": s3.endpoint_url, "config_kwargs": quick}
    )
    with pytest.raises(UserError, match=r"access is denied \(.*credentials"):
        find_photos("s3://photos/x")


@pytest.mark.parametrize(
    "arguments",
    [
        ("tune", "s3://bucket/photos", "--labels", "labels.json", "--out", "out"),
        ("order", "model", "s3://bucket/photos"),
        ("export", "s3://bucket/out", "--out", "out", "--format", "coco"),
        ("review", "s3://bucket/out"),
        ("merge", "parts", "--out", "merged", "--model", "s3://bucket/model"),
    ],
    ids=lambda arguments: arguments[0],
)
def test_other_commands_refuse_addresses(
    arguments: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert_says(
        refused(*arguments), "'s3://bucket/", "is an address", "run, fit, predict and merge"
    )
    assert contents(tmp_path) == {}
