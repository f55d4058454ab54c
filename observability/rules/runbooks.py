"""docs/runbooks/: the head of each page is built from the alert, the prose below it is written by hand and kept."""

from __future__ import annotations

from typing import TYPE_CHECKING

from observability.rules.alert import SEVERITIES

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from observability.rules.alert import Alert

__all__ = ["END", "SECTIONS", "head", "left_over", "pages", "prose"]

#: What every page says below its head, in this order.
SECTIONS = ("Meaning", "Impact", "Diagnosis", "Mitigation", "Safe silence")
END = "<!-- End of the facts; what follows is written by hand. -->"
_NOTICE = "<!-- Built from observability/rules by `python -m observability.rules.build`. -->"


def pages(alerts: Iterable[Alert], folder: Path) -> dict[Path, str]:
    """Path and text of each page: a fresh head, and the prose that is there."""
    named: dict[str, list[Alert]] = {}
    for alert in alerts:
        named.setdefault(alert.name, []).append(alert)
    return {
        folder / f"{name}.md": f"{head(variants)}\n{prose(folder / f'{name}.md')}" for name, variants in named.items()
    }


def prose(path: Path) -> str:
    """What stands below a page's head; the bare headings if there is no page yet."""
    if path.exists():
        return path.read_text("utf-8").partition(f"{END}\n")[2]
    return "".join(f"\n## {section}\n" for section in SECTIONS)


def left_over(alerts: Iterable[Alert], folder: Path) -> list[str]:
    """Pages of alerts that are no more."""
    return sorted({path.stem for path in folder.glob("*.md")} - {alert.name for alert in alerts})


def head(variants: Sequence[Alert]) -> str:
    """The facts, from the title to the mark that ends them."""
    first = variants[0]
    facts = [
        ("Dashboard", f"`{first.dashboard}`" + "".join(f", {label}" for label in first.link)),
        ("Command", f"`{first.command}`"),
    ]
    lines = [f"# {first.name}", "", _NOTICE, "", first.summary, "", "| | |", "| --- | --- |"]
    lines += [f"| {name} | {value} |" for name, value in facts]
    for variant in variants:
        lines += ["", *_variant(variant)]
    return "\n".join([*lines, "", END])


def _variant(alert: Alert) -> list[str]:
    labels = "".join(f", {name} `{value}`" for name, value in alert.labels.items())
    wait = "at once" if alert.wait == "0s" else f"after {alert.wait}"
    told = f"Severity **{alert.severity}** ({SEVERITIES[alert.severity]}){labels}, {wait}, when:"
    return [told, "", "```promql", alert.expr, "```"]
