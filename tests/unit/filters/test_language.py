"""The filter language: what it reads, what it refuses and how, and that what it writes says the same."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import select
from sqlalchemy.dialects import postgresql

from callboard.errors import FilterError
from callboard.filters import FIELDS, RESOURCES, Field, Filter, Resource, Term, parse, suggest
from callboard.ledger import tables
from callboard.ledger.account_tables import audit

TABLES = {name: audit if name == "audit" else getattr(tables, name) for name in RESOURCES}
FIELDS_OF_ALL = [(resource, field) for resource in RESOURCES for field in FIELDS[resource].values()]

resources = st.sampled_from(RESOURCES)
# Text that is mostly made of what means something to the reader.
pieces = st.sampled_from(
    [*FIELDS["runs"], *FIELDS["issues"], *tables.STATES, ":", ",", "-", "*", '"', "\\", ">", "<=", " ", "2h", "12", "%"]
)
texts = st.one_of(st.text(max_size=40), st.lists(pieces, max_size=12).map("".join))


def sql(chosen: Filter) -> str:
    """The query of a filter, as Postgres would be sent it."""
    query = select(TABLES[chosen.resource].c.id).where(*chosen.where())
    return str(query.compile(dialect=postgresql.dialect(), compile_kwargs={"render_postcompile": True}))


@given(texts, resources)
@settings(max_examples=400, deadline=None)
def test_any_text_is_a_filter_or_a_filter_error(text: str, resource: Resource) -> None:
    try:
        chosen = parse(text, resource)
    except FilterError as refused:
        error = refused
    else:
        says_the_same_again(chosen)
        return
    assert 0 <= error.at <= len(text)
    assert "\n" not in str(error)
    line, carets = error.pointer.split("\n")
    assert carets.strip("^ ") == ""
    assert len(line) == len(text)


def says_the_same_again(chosen: Filter) -> None:
    again = parse(chosen.text, chosen.resource)
    assert again == chosen
    assert again.text == chosen.text
    assert sql(again) == sql(chosen)


words = st.tuples(
    st.sampled_from(["job", "queue", "text", "error", "scope", "project"]),
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=12),
    st.booleans(),
)


@given(st.lists(words, max_size=4))
@settings(max_examples=200, deadline=None)
def test_what_is_added_is_meant_literally_and_reads_back(added: list[tuple[str, str, bool]]) -> None:
    chosen = parse("", "runs")
    for key, value, negated in added:
        chosen = chosen.and_(key, value, negated=negated)
    assert parse(chosen.text, "runs") == chosen
    assert [word.items[0].plain for word in chosen.words] == [value for _, value, _ in dict.fromkeys(added)]
    for term in chosen.terms:
        assert term not in chosen.without(term).terms


@pytest.mark.parametrize(
    ("text", "terms"),
    [
        ("", []),
        ("state:failed", [("state", "", "failed", False)]),
        ("STATE:Failed", [("state", "", "failed", False)]),
        ("-queue:mail", [("queue", "", "mail", True)]),
        ("age:>2h attempt:<=3", [("age", ">", "2h", False), ("attempt", "<=", "3", False)]),
        ("kind:transient,runtime", [("kind", "", "transient,runtime", False)]),
        ('"free text" timeout', [("text", "", '"free text"', False), ("text", "", "timeout", False)]),
        ("text:timeout -refused", [("text", "", "timeout", False), ("text", "", "refused", True)]),
        ("trigger:manual:user:*", [("trigger", "", "manual:user:*", False)]),
        ('job:"a,b",c', [("job", "", '"a,b",c', False)]),
        ('scope:""', [("scope", "", '""', False)]),
        ("job:a job:a job:b,b", [("job", "", "a", False), ("job", "", "b", False)]),
        ("attempt:007", [("attempt", "", "7", False)]),
        ('"state:failed"', [("text", "", "state:failed", False)]),
    ],
)
def test_words_are_read_as_terms(text: str, terms: list[tuple[str, str, str, bool]]) -> None:
    assert list(parse(text, "runs").terms) == [Term(*term) for term in terms]


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("  state:failed \t job:a ", "state:failed job:a"),
        ('text:"state:failed"', '"state:failed"'),
        ('job:"plain"', "job:plain"),
        ('job:"a*b"', 'job:"a*b"'),
        ("job:a**b", "job:a*b"),
        ('job:"a b"*', 'job:"a b"*'),
        (r'error:"say \"no\" \\ now"', r'error:"say \"no\" \\ now"'),
        ('"-x"', '"-x"'),
        ('job:">x"', 'job:">x"'),
    ],
)
def test_the_canonical_text_quotes_only_what_needs_it(text: str, canonical: str) -> None:
    assert parse(text, "runs").text == canonical


@pytest.mark.parametrize(
    ("text", "resource", "at", "shown", "words"),
    [
        ("state:failed jb:x", "runs", 13, "jb:x", "did you mean job:?"),
        ("state:fail", "runs", 0, "state:fail", "did you mean state:failed?"),
        ("status:open", "runs", 0, "status:open", "issues do"),
        ("age:2h", "runs", 0, "age:2h", "age:>2h or age:<2h"),
        ("age:>soon", "runs", 0, "age:>soon", "90s, 15m, 2h, 3d or 1w"),
        ("age:>9999999w", "runs", 0, "age:>9999999w", "a hundred years"),
        ("started:2h", "runs", 0, "started:2h", "before or after"),
        ("since:tomorrow", "runs", 0, "since:tomorrow", "2026-07-01T09:30Z"),
        ("since:0001-01-01T00:00+14:00", "runs", 0, "since:0001", "a moment is meant"),
        ("since:>2h", "runs", 0, "since:>2h", "says it already"),
        ("attempt:>40000", "runs", 0, "attempt:>40000", "from 0 to 32767"),
        ("attempt:>1,2", "runs", 0, "attempt:>1,2", "takes one value"),
        ("attempt:*", "runs", 0, "attempt:*", "in texts only"),
        ("job:>a", "runs", 0, "job:>a", "> does not go with a text"),
        ("id:xyz", "runs", 0, "id:xyz", "first 4 or more"),
        ("id:abc", "runs", 0, "id:abc", "first 4 or more"),
        ("job:", "runs", 0, "job:", "a value is missing"),
        ("a job:b,, c", "runs", 2, "job:b,", "a value is missing"),
        ("-", "runs", 0, "-", "a value is missing"),
        ('a "b c', "runs", 2, '"b c', "the quotes are not closed"),
        ("a \0", "runs", 2, "\0", "no text in the ledger"),
        ("http://example.org", "runs", 0, "http://example.org", "goes in quotes"),
        ("silenced:maybe", "issues", 0, "silenced:maybe", "one of yes, no"),
        ("issue:12 reason:x", "failures", 9, "reason:x", "dead letters do"),
        (" ".join(["x" * 100] * 50), "runs", 0, "x", "4000 are the most"),
    ],
)
def test_what_cannot_be_read_is_pointed_at(text: str, resource: Resource, at: int, shown: str, words: str) -> None:
    with pytest.raises(FilterError) as raised:
        parse(text, resource)
    error = raised.value
    assert (error.at, error.text[error.at : error.at + error.length].startswith(shown)) == (at, True)
    assert words in str(error)


def test_dead_letters_are_the_open_ones_unless_it_is_said() -> None:
    assert "state = 'open'" in sql(parse("", "dead_letters"))
    assert "state" not in sql(parse("", "runs"))
    assert "'replayed'" in sql(parse("state:replayed", "dead_letters"))
    assert parse("", "dead_letters").text == ""
    assert parse("state:*", "dead_letters").chosen("state") == tables.LETTER_STATES


def test_terms_are_added_and_taken_away() -> None:
    chosen = parse("state:failed -queue:mail timeout", "runs")
    assert chosen.and_("job", "sync_*").text == 'state:failed -queue:mail timeout job:"sync_*"'
    assert chosen.and_("job", "sync_*", pattern=True).text.endswith(" job:sync_*")
    assert chosen.and_("age", "2h", op=">", negated=True).text.endswith(" -age:>2h")
    assert chosen.and_("state", "failed") == chosen
    assert chosen.without("queue").text == "state:failed timeout"
    assert chosen.without(chosen.terms[2]).text == "state:failed -queue:mail"
    with pytest.raises(FilterError, match="runs have no field severity"):
        chosen.and_("severity", "error")


def test_values_never_become_sql() -> None:
    nasty = "'; drop table board.runs; --"
    chosen = parse("", "runs").and_("job", nasty).and_("error", nasty).and_("correlation", nasty)
    assert "drop" not in sql(chosen)
    assert [term.value for term in chosen.terms] == [f'"{nasty}"'] * 3


@pytest.mark.parametrize(("resource", "field"), FIELDS_OF_ALL, ids=lambda value: getattr(value, "key", value))
def test_every_field_has_an_example_that_is_read(resource: Resource, field: Field) -> None:
    example = field.example.replace("…", "")
    (term,) = parse(example, resource).terms
    assert term.key == field.key
    for value in field.values:
        assert parse(f"{field.key}:{value}", resource).text == f"{field.key}:{value}"
    for op in (">", ">=", "<", "<="):
        if field.compares:
            value = "1h" if field.kind.name in ("age", "duration", "moment") else "3"
            assert parse(f"-{field.key}:{op}{value}", resource).terms == (Term(field.key, op, value, negated=True),)
        else:
            with pytest.raises(FilterError):
                parse(f"{field.key}:{op}1 text:{op}1", resource)


@pytest.mark.parametrize(
    ("text", "resource", "words"),
    [
        ("job:a -st", "runs", ["-state:", "-started:"]),
        ("state", "runs", ["state:", *(f"state:{state}" for state in tables.STATES)]),
        ("state:c", "runs", ["state:completed", "state:cancelled"]),
        ("state:completed,c", "runs", ["state:completed,cancelled"]),
        ("job:s", "runs", ['job:"send mail"', "job:sync"]),
        ("nothing:", "runs", []),
        ("silenced:", "issues", ["silenced:yes", "silenced:no"]),
        ("", "issues", [f"{key}:" for key in FIELDS["issues"] if key != "text"]),
    ],
)
def test_suggestions_go_on_as_the_last_word_does(text: str, resource: Resource, words: list[str]) -> None:
    assert suggest(text, resource, {"job": {"sync", "send mail", "mend"}}) == words
