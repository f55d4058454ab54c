"""Horizontal bars as SVG, readable on light and on dark pages."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple
from xml.sax.saxutils import escape

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_WIDTH, _LEFT, _RIGHT = 760, 150, 110
_TOP, _STEP, _THICK = 58, 26, 16
_FOOT = 50
_DOT = 4

_STYLE = """
text { font: 13px system-ui, -apple-system, "Segoe UI", sans-serif; fill: #1f2328; }
.title { font-size: 15px; font-weight: 600; }
.small { font-size: 11px; fill: #59636e; }
.bar { fill: #9aa4af; }
.ours { fill: #1a7f64; }
.mine { font-weight: 600; }
.range { stroke: #1f2328; stroke-width: 1; }
.dot { fill: #1f2328; }
@media (prefers-color-scheme: dark) {
  text { fill: #e6edf3; }
  .small { fill: #9198a1; }
  .bar { fill: #59636e; }
  .ours { fill: #2fb28c; }
  .range { stroke: #e6edf3; }
  .dot { fill: #e6edf3; }
}
"""


class Bar(NamedTuple):
    """One peer; `recorded` draws the dot that says every run is in a database."""

    label: str
    value: float
    least: float
    most: float
    recorded: bool
    ours: bool


def draw(bars: Sequence[Bar], *, title: str, caption: str) -> str:
    """The picture as text of an SVG file; widths are in proportion to the largest value or range.

    Raises:
        ValueError: There are no bars, or none is longer than nothing.
    """
    longest = max((max(bar.value, bar.most) for bar in bars), default=0.0)
    if longest <= 0:
        raise ValueError("a picture needs bars with values above 0")
    height = _TOP + _STEP * len(bars) + _FOOT
    spoken = "; ".join(f"{bar.label} {bar.value:,.0f}" for bar in bars)
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH}" height="{height}" viewBox="0 0 {_WIDTH} {height}"',
        f' role="img" aria-label="{_quoted(f"{title}: {spoken}")}">',
        f"<style>{_STYLE}</style>",
        f'<text class="title" x="12" y="24">{escape(title)}</text>',
        f'<circle class="dot" cx="16" cy="40" r="{_DOT}"/>',
        '<text class="small" x="26" y="44">every run is a row in a database; the thin line is least to most</text>',
    ]
    for place, bar in enumerate(bars):
        lines.extend(_bar(bar, _TOP + _STEP * place, (_WIDTH - _LEFT - _RIGHT) / longest))
    lines.append(f'<text class="small" x="12" y="{height - 16}">{escape(caption)}</text>')
    return "\n".join([*lines, "</svg>", ""])


def _bar(bar: Bar, top: float, scale: float) -> Iterator[str]:
    middle, base = top + _THICK / 2, top + _THICK - 3.5
    weight = ' class="mine"' if bar.ours else ""
    yield f'<text{weight} x="{_LEFT - 22}" y="{base}" text-anchor="end">{escape(bar.label)}</text>'
    if bar.recorded:
        yield f'<circle class="dot" cx="{_LEFT - 12}" cy="{middle}" r="{_DOT}"/>'
    kind = "ours" if bar.ours else "bar"
    yield f'<rect class="{kind}" x="{_LEFT}" y="{top}" width="{bar.value * scale:.1f}" height="{_THICK}" rx="2"/>'
    ends = f'x1="{_LEFT + bar.least * scale:.1f}" x2="{_LEFT + bar.most * scale:.1f}"'
    yield f'<line class="range" {ends} y1="{middle}" y2="{middle}"/>'
    end = _LEFT + max(bar.value, bar.most) * scale + 8
    yield f'<text{weight} x="{end:.1f}" y="{base}">{bar.value:,.0f}</text>'


def _quoted(text: str) -> str:
    return escape(text, {'"': "&quot;"})
