"""The reference pages of commands, exit codes, settings, jobs, permissions, filters and the API, built from the code.

python -m cli.docs           write a page for each of these in docs/reference
python -m cli.docs --check   exit 1 if a page differs from what the code says
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from cli._docs_api import api_page
from cli._docs_commands import commands_page
from cli._docs_filters import filters_page
from cli._docs_jobs import jobs_page
from cli._docs_permissions import permissions_page
from cli._docs_settings import settings_page

#: The checkout; the pages are not part of an installed package.
ROOT = Path(__file__).resolve().parent.parent


def pages() -> dict[str, str]:
    """The text of each page by its path below the checkout."""
    built = {
        "commands": commands_page,
        "settings": settings_page,
        "jobs": jobs_page,
        "permissions": permissions_page,
        "filters": filters_page,
        "api": api_page,
    }
    return {f"docs/reference/{name}.md": build() for name, build in built.items()}


def outdated(root: Path = ROOT) -> list[str]:
    """The pages that differ from what the code says, or are not there."""
    return [path for path, text in pages().items() if not _says(root / path, text)]


def _says(path: Path, text: str) -> bool:
    return path.is_file() and path.read_text(encoding="utf-8") == text


def main(argv: list[str] | None = None) -> int:
    """Write the pages, or with `--check` say which are outdated; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m cli.docs", description="Build the reference pages.")
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 if a page is outdated")
    if parser.parse_args(argv).check:
        old = outdated()
        for path in old:
            sys.stderr.write(f"{path} is outdated: run `python -m cli.docs`.\n")
        return 1 if old else 0
    for path, text in pages().items():
        (ROOT / path).parent.mkdir(parents=True, exist_ok=True)
        (ROOT / path).write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
