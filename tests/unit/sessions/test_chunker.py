from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.sessions.chunker import ChunkLimits, Span, _blocks, chunk, chunk_spans

DEFAULT = ChunkLimits()
SMALL = ChunkLimits(longest=150, overlap=20, shortest=10)

words = st.text(alphabet="ab .?!,`~\u3002é", min_size=0, max_size=60)
lines = st.one_of(words, st.sampled_from(["", "  ", "```", "````", "```python", "~~~", "x" * 400, "# Head", "\t"]))
texts = st.lists(lines, max_size=40).map("\n".join)
limits = st.builds(ChunkLimits, st.integers(150, 400), st.integers(0, 49), st.integers(0, 60))


def test_nothing_comes_of_white_space() -> None:
    assert chunk(" \n\t ", DEFAULT) == []


def test_a_text_that_fits_is_one_chunk_however_short() -> None:
    assert chunk("  ok\n", DEFAULT) == ["ok"]
    assert chunk("x" * 2000, DEFAULT) == ["x" * 2000]


def test_paragraphs_are_gathered_up_to_the_longest_chunk() -> None:
    paragraphs = [letter * 60 for letter in "abcde"]
    assert chunk("\n\n".join(paragraphs), SMALL) == [
        "\n\n".join(paragraphs[:2]),
        "\n\n".join(paragraphs[2:4]),
        paragraphs[4],
    ]


def test_fenced_code_is_cut_from_the_text_around_it() -> None:
    before, code, after = "before " * 12, "```python\n" + "print(1)\n" * 6 + "```", "after " * 12
    assert chunk(f"{before}\n{code}\n{after}", SMALL) == [before.strip(), code, after.strip()]


def test_a_fence_is_closed_by_its_own_kind_only() -> None:
    code = "~~~~\n```\n~~~\n" + "inside\n" * 10 + "~~~~"
    assert chunk(f"{'text ' * 20}\n{code}", SMALL) == [("text " * 20).strip(), code]


def test_an_unclosed_fence_reaches_to_the_end() -> None:
    code = "```\n" + "a line\n\nanother\n" * 8
    assert chunk(f"{'text ' * 20}\n{code}", SMALL) == [("text " * 20).strip(), code.strip()]


def test_long_code_is_cut_at_line_ends_and_overlaps() -> None:
    code = "```\n" + "".join(f"line number {number}\n" for number in range(30)) + "```"
    spans = chunk_spans(code, SMALL)
    assert len(spans) > 2
    assert all(code[span.end - 1] == "\n" for span in spans[:-1])
    assert all(later.start == earlier.end - SMALL.overlap for earlier, later in itertools.pairwise(spans))


def test_prose_without_line_ends_is_cut_at_a_sentence_end() -> None:
    first = chunk("This is a sentence. " * 20, SMALL)[0]
    assert first.endswith("sentence.")
    assert SMALL.longest - 100 < len(first) <= SMALL.longest


def test_a_version_number_is_no_sentence_end() -> None:
    assert chunk("v1.2.3/" * 60, SMALL)[0] == ("v1.2.3/" * 60)[:150]


def test_blocks_shorter_than_the_shortest_are_dropped_from_a_long_text() -> None:
    assert chunk("tiny\n```\nx\n```\n" + "word " * 60, DEFAULT) == ["tiny\n```\nx\n```\n" + ("word " * 60).strip()]
    long = "word " * 500
    assert chunk(f"tiny\n```\n{long}\n```", DEFAULT)[0].startswith("```\nword")


def test_white_space_between_blocks_is_no_chunk_even_if_nothing_is_too_short() -> None:
    spans = chunk("x" * 149 + "\n\n\n\n```\ny\n```", ChunkLimits(longest=150, overlap=0, shortest=0))
    assert spans == ["x" * 149, "```\ny\n```"]


def test_a_long_text_of_short_blocks_only_is_cut_by_length_and_kept_whole() -> None:
    text = "hm\n```\ny\n```\n" * 60
    chunks = chunk(text, ChunkLimits(longest=400, overlap=50, shortest=100))
    assert chunks[0].startswith("hm\n```")
    assert chunks[-1].endswith("```")
    assert all(len(each) <= 400 for each in chunks)


def test_limits_that_make_no_headway_are_refused_with_the_mend() -> None:
    with pytest.raises(ValueError, match=r"longest=300 must exceed overlap=200 .* CALLBOARD_SESSIONS_CHUNK_OVERLAP"):
        ChunkLimits(longest=300, overlap=200)


@given(texts, limits)
def test_no_chunk_is_too_long_or_empty(text: str, limits: ChunkLimits) -> None:
    chunks = chunk(text, limits)
    assert all(0 < len(each) <= limits.longest for each in chunks)
    assert all(each == each.strip() for each in chunks)
    assert bool(chunks) == bool(text.strip())


@given(texts, limits)
def test_only_blocks_that_are_too_short_are_dropped_and_all_else_is_kept(text: str, limits: ChunkLimits) -> None:
    text = text.strip()
    blocks = list(_blocks(text, limits))
    assert lost(text, blocks) == "", "finding blocks alone loses text"
    short = [block for block in blocks if len(text[block.start : block.end].strip()) < limits.shortest]
    dropped = "".join(text[block.start : block.end] for block in short)
    if len(text) <= limits.longest or len(short) == len(blocks):
        dropped = ""
    assert lost(text, chunk_spans(text, limits)) == "".join(dropped.split())


@given(texts, limits)
def test_order_is_kept_and_no_more_is_shared_than_the_overlap(text: str, limits: ChunkLimits) -> None:
    spans = chunk_spans(text.strip(), limits)
    for earlier, later in itertools.pairwise(spans):
        assert earlier.start < later.start
        assert earlier.end < later.end
        assert earlier.end - later.start <= limits.overlap


def lost(text: str, spans: list[Span]) -> str:
    """What no span covers, without white space."""
    covered, left = 0, ""
    for span in [*spans, Span(len(text), len(text))]:
        left += text[covered : span.start]
        covered = max(covered, span.end)
    return "".join(left.split())
