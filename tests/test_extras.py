"""The table of extras against pyproject.toml and what is installed, and the errors made from it."""

from __future__ import annotations

import re
import sys
import tomllib
from importlib.metadata import packages_distributions

import pytest

from prelabel.errors import UserError
from prelabel.extras import EXTRAS, FOR_DEVELOPERS, extra_of, install_command, missing, required
from support.places import ROOT


def test_table__lists_what_pyproject_lists() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    listed = {
        extra: {re.split(r"[^\w.-]", requirement)[0] for requirement in requirements}
        - {project["name"]}  # an extra may include another one
        for extra, requirements in project["optional-dependencies"].items()
        if extra not in FOR_DEVELOPERS
    }
    assert {name: set(extra.packages) for name, extra in EXTRAS.items()} == listed


@pytest.mark.parametrize("name", EXTRAS)
def test_table__import_names_are_those_of_the_installed_packages(name: str) -> None:
    providers = packages_distributions()
    for distribution, module in EXTRAS[name].packages.items():
        if module in providers:  # else it is not installed
            assert distribution in [_normalised(found) for found in providers[module]]


def _normalised(distribution: str) -> str:
    return re.sub(r"[-_.]+", "-", distribution).lower()


def test_extra_of() -> None:
    assert extra_of("pydensecrf.densecrf") == "dense-crf"
    assert extra_of("label_studio_ml") == "serve"
    assert extra_of("torch") is None
    assert extra_of(None) is None


def test_install_command__says_what_it_needs() -> None:
    assert install_command("samples") == "pip install 'prelabel[samples]'"
    assert "C++ compiler" in install_command("dense-crf")


@pytest.mark.parametrize("name", EXTRAS)
def test_missing__names_package_purpose_and_command(name: str) -> None:
    text = str(missing("somewhere", name))
    for part in ("somewhere", EXTRAS[name].purpose, f"pip install 'prelabel[{name}]'"):
        assert part in text


def test_required__turns_a_missing_package_into_what_to_install() -> None:
    installed = r"^no_such_package is missing.*pip install 'prelabel\[serve\]'"
    with pytest.raises(UserError, match=installed), required("serve"):
        import no_such_package  # type: ignore[import-not-found]  # noqa: F401


def test_required__names_the_package_as_pip_does(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "prometheus_client", None)
    with pytest.raises(UserError, match="prometheus-client is missing"), required("serve"):
        import prometheus_client  # noqa: F401


def test_required__leaves_other_errors_alone() -> None:
    with pytest.raises(ModuleNotFoundError), required("serve"):
        import prelabel.no_such_module  # type: ignore[import-not-found]  # noqa: F401
    with pytest.raises(ZeroDivisionError), required("serve"):
        raise ZeroDivisionError
