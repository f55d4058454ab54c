"""The pages of the console: what an operator opens at three in the morning, and what a team sees of its own runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from console.pages import account, dashboard, engine, failures, issues, letters, people, runs, shortcuts, static, teams

if TYPE_CHECKING:
    from fastapi import APIRouter

__all__ = ["routers"]


def routers() -> list[APIRouter]:
    """The routers of all pages, each with its whole paths."""
    modules = (static, dashboard, runs, failures, issues, letters, engine, people, account, teams, shortcuts)
    return [module.router for module in modules]
