"""Cuts a message into chunks that an embedding model takes whole.

Fenced code and prose are cut apart first, so that no chunk mixes them. Prose is gathered by paragraphs up to the
longest chunk; a block that is longer still is cut by length, each cut overlapping the one before. Every chunk is a
slice of the text without its outer white space. What is lost: white space between chunks, and, in texts that need
cutting at all, blocks shorter than `shortest`; if those are all there is, the text is cut by length instead.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

_FENCE = re.compile(r" {0,3}(`{3,}|~{3,})")
_PARAGRAPH_END = re.compile(r"\n[ \t\r]*\n")
_SENTENCE_END = re.compile(r"[.!?](?=\s)|[\u3002\uff01\uff1f]")  # the latter are the CJK full stop, ! and ?
_CUT_WINDOW = 100  # characters before the longest chunk's end in which a line or sentence end is looked for


@dataclass(frozen=True, slots=True)
class ChunkLimits:
    """Sizes in characters."""

    longest: int = 2000
    overlap: int = 200
    shortest: int = 100

    def __post_init__(self) -> None:
        if self.overlap < 0 or self.longest <= self.overlap + _CUT_WINDOW:
            raise ValueError(
                f"chunk longest={self.longest} must exceed overlap={self.overlap} by more than {_CUT_WINDOW}, or "
                "cutting makes no headway; raise CALLBOARD_SESSIONS_CHUNK_LONGEST, or lower "
                "CALLBOARD_SESSIONS_CHUNK_OVERLAP"
            )


class Span(NamedTuple):
    """A slice `[start, end)` of a text."""

    start: int
    end: int


def chunk(text: str, limits: ChunkLimits) -> list[str]:
    """The chunks of `text` in order; none for white space alone, one for a text that fits."""
    text = text.strip()
    return [text[start:end].strip() for start, end in chunk_spans(text, limits)]


def chunk_spans(text: str, limits: ChunkLimits) -> list[Span]:
    """Where the chunks of a stripped `text` lie; a span may have white space at its ends."""
    if len(text) <= limits.longest:
        return [Span(0, len(text))] if text else []
    whole = Span(0, len(text))
    kept = [block for block in _blocks(text, limits) if _weight(text, block) >= limits.shortest] or [whole]
    return [piece for block in kept for piece in _by_length(text, block, limits) if _weight(text, piece)]


def _weight(text: str, span: Span) -> int:
    return len(text[span.start : span.end].strip())


def _blocks(text: str, limits: ChunkLimits) -> Iterator[Span]:
    """Fenced code, and paragraphs gathered up to the longest chunk; one that is longer by itself is not yet cut."""
    for is_code, block in _code_and_text(text):
        if is_code:
            yield block
        else:
            yield from _by_paragraph(text, block, limits)


def _code_and_text(text: str) -> Iterator[tuple[bool, Span]]:
    """Spans of fenced code (with its fences; an unclosed fence reaches to the end) and of the text between them."""
    start = position = 0
    fence = ""
    for line in text.splitlines(keepends=True):
        opened = _FENCE.match(line)
        end = position + len(line)
        if fence and _closes(line, fence):
            yield True, Span(start, end)
            start, fence = end, ""
        elif not fence and opened:
            if position > start:
                yield False, Span(start, position)
            start, fence = position, opened[1]
        position = end
    if position > start:
        yield bool(fence), Span(start, position)


def _closes(line: str, fence: str) -> bool:
    """A fence is closed by a line of at least as many of its own characters, and nothing else."""
    mark = line.strip()
    return len(mark) >= len(fence) and set(mark) == {fence[0]}


def _by_paragraph(text: str, block: Span, limits: ChunkLimits) -> Iterator[Span]:
    """Neighbouring paragraphs together as long as they fit."""
    held: Span | None = None
    for paragraph in _paragraphs(text, block):
        if held and paragraph.end - held.start <= limits.longest:
            held = Span(held.start, paragraph.end)
            continue
        if held:
            yield held
        held = paragraph
    if held:
        yield held


def _paragraphs(text: str, block: Span) -> Iterator[Span]:
    start = block.start
    for gap in _PARAGRAPH_END.finditer(text, block.start, block.end):
        yield Span(start, gap.start())
        start = gap.end()
    yield Span(start, block.end)


def _by_length(text: str, block: Span, limits: ChunkLimits) -> Iterator[Span]:
    """Pieces of at most the longest size; each starts `overlap` characters before the end of the one before."""
    start = block.start
    while block.end - start > limits.longest:
        end = _cut(text, start, start + limits.longest)
        yield Span(start, end)
        start = end - limits.overlap
    yield Span(start, block.end)


def _cut(text: str, start: int, end: int) -> int:
    """The last line end in the window before `end`, else the last sentence end there, else `end`."""
    window = max(start, end - _CUT_WINDOW)
    line_end = text.rfind("\n", window, end)
    if line_end >= 0:
        return line_end + 1
    sentence_ends = [found.end() for found in _SENTENCE_END.finditer(text, window, end)]
    return sentence_ends[-1] if sentence_ends else end
