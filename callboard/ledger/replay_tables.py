"""The table of bulk replays; `migrations/` has the same in SQL, and a test compares."""

from __future__ import annotations

from sqlalchemy import BigInteger, Boolean, Column, Float, Index, Integer, Table, Text, text
from sqlalchemy.dialects.postgresql import ARRAY, UUID

from callboard.ledger._schema import metadata, one_of, time

BULK_RESULTS = ("done", "stopped", "canary_failed", "same_failure")

bulk_replays = Table(
    "bulk_replays",
    metadata,
    Column("id", BigInteger, primary_key=True, autoincrement=True),
    Column("run_id", UUID, nullable=False, comment="the run that does it, or did it last"),
    time("created_at", required=True),
    Column("filter", Text, nullable=False),
    Column("who", Text, nullable=False),
    Column("ip", Text),
    Column("agent", Text),
    Column("team_id", UUID),
    Column("why", Text, nullable=False, server_default=""),
    Column("rate", Float, comment="letters a second at most; null: as fast as it goes"),
    Column("canary", Boolean, nullable=False),
    Column("stop_on_same", Boolean, nullable=False),
    Column("most", Integer, comment="letters at most; null: all that fit"),
    Column("total", Integer, nullable=False, comment="letters that it was to deal with when it was asked for"),
    Column("newest", BigInteger, nullable=False, comment="the newest letter then: younger ones are not meant"),
    Column("last_failure", BigInteger, nullable=False, comment="the newest failure there was then"),
    Column("place", BigInteger, nullable=False, server_default="0", comment="the letter that was dealt with last"),
    Column("waiting", Boolean, nullable=False, server_default=text("false"), comment="for what others hold"),
    Column("replayed", Integer, nullable=False, server_default="0"),
    Column("refused", ARRAY(BigInteger), nullable=False, server_default="{}", comment="letters that stayed open"),
    Column("refusals", ARRAY(Text), nullable=False, server_default="{}", comment="why, of the first ones"),
    Column("issues", ARRAY(BigInteger), nullable=False, server_default="{}", comment="of the replayed letters"),
    Column("first_run", UUID, comment="of the first letter; the canary, where one was asked for"),
    Column("canary_ok", Boolean, nullable=False, server_default=text("false")),
    Column("result", Text, comment="how it ended; null: it has not"),
    Column("detail", Text, nullable=False, server_default="", comment="why it ended before all were dealt with"),
    Column("letters_left", Integer),
    time("ended_at"),
    one_of("result", BULK_RESULTS, "bulk_replays_result"),
    Index("bulk_replays_under_way", "id", postgresql_where=text("result is null")),
)
