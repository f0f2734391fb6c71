"""The files of docker/, read."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import yaml

from support.dockerfile import ignore_patterns, parse
from support.places import ROOT

DOCKERFILE = parse((ROOT / "docker" / "Dockerfile").read_text(encoding="utf-8"))
LAST = DOCKERFILE[-1].stage
IGNORED = ignore_patterns((ROOT / ".dockerignore").read_text(encoding="utf-8"))
TORCH_INDEX = "https://download.pytorch.org/whl/cpu"

DOCKER = ROOT / "docker"
COMPOSE = (DOCKER / "compose.yaml").read_text(encoding="utf-8")
SERVICES: dict[str, dict[str, Any]] = yaml.safe_load(COMPOSE)["services"]
EXAMPLE = (DOCKER / ".env.example").read_text(encoding="utf-8")
GUIDE = (DOCKER / "README.md").read_text(encoding="utf-8")
SECRETS = {
    "LABEL_STUDIO_USERNAME": "admin@example.com",
    "LABEL_STUDIO_PASSWORD": "a-password",
    "LABEL_STUDIO_USER_TOKEN": "0123456789abcdef0123456789abcdef01234567",
    "PRELABEL_PASSWORD": "another",
}
_VARIABLE = re.compile(r"\$\{(\w+)(?::-([^${}]*)|:\?[^${}]*)?\}")


def interpolated(value: str, settings: Mapping[str, str]) -> str:
    """A value of compose.yaml as Compose reads it: ``${NAME:-default}`` and ``${NAME:?message}``, where
    a default may have variables of its own."""
    while (filled := _VARIABLE.sub(lambda m: settings.get(m[1]) or m[2] or "", value)) != value:
        value = filled
    return value
