"""The JSON API under `/v1`: one router a resource, every answer modelled, every refusal documented.

Nothing is imported before `routers()` is called: the command line reads the models without a server's packages.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fastapi import APIRouter

_RESOURCES = (
    "me",
    "overview",
    "runs",
    "jobs",
    "team_jobs",
    "schedules",
    "queues",
    "workers",
    "breakers",
    "failures",
    "issues",
    "dead_letters",
    "replays",
    "notifications",
    "teams",
    "members",
    "projects",
    "keys",
    "users",
    "sign_ins",
    "audit",
)


def routers() -> list[APIRouter]:
    """The routers of all resources, each with its whole paths."""
    return [import_module(f"console.api.{name}").router for name in _RESOURCES]
