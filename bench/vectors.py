"""What the nearest memories of a user cost: `python -m bench.vectors [--memories 100000] [--dimensions 512]`.

Starts an embedded Postgres in a temporary folder, fills it with memories and vectors (a mixture of 200 directions with
noise, as embeddings of real texts lie), half of them of one user, and asks the same questions of pgvector's two ways:
exactly, within the user's rows, as the catalogue does; and by an HNSW index over all rows that goes on until it has
enough of the user's (`hnsw.iterative_scan`). Prints medians, what the server spent of its processors for a question
(which a busy machine does not distort), the recall of the second way, and what its index costs in time to build, in
size, and with each vector that is added. Exits 1 if the exact way takes more than 50 ms of a processor for a user with
up to 10,000 memories.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
import time
from base64 import b64encode
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple
from uuid import UUID

import numpy as np
import psutil  # type: ignore[import-untyped] # ships no types
from sqlalchemy import text

from actors.memory.settings import get_memory_settings
from actors.memory.vectors import Scope, model_name, nearest
from callboard import get_settings, transaction
from callboard.embedded import EmbeddedServers
from callboard.ledger.database import get_engine
from callboard.ledger.migrate import upgrade

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray
    from sqlalchemy import Connection

TENANT = UUID(int=1)
DIRECTIONS, NOISE = 200, 0.06
QUESTIONS, WANTED = 30, 10
MOST_MILLISECONDS, USUAL = 50.0, 10_000
_BATCH = 1000

_BY_INDEX = """
select m.id from memory.embeddings e join memory.memories m on m.id = e.memory_id
where m.user_id = :user and m.retention_status = 'active'
order by e.embedding::public.halfvec({dims}) operator(public.<=>) cast(:vector as public.halfvec({dims})) limit :most
"""
_INDEX = """
create index embeddings_hnsw on memory.embeddings
using hnsw ((embedding::public.halfvec({dims})) public.halfvec_cosine_ops)
"""


class Corpus:
    """Users with their numbers of memories, and vectors for them."""

    def __init__(self, memories: int, dimensions: int) -> None:
        self.random = np.random.default_rng(8)
        self.dimensions = dimensions
        self.centres = self.random.normal(size=(DIRECTIONS, dimensions))
        self.centres /= np.linalg.norm(self.centres, axis=1, keepdims=True)
        half = memories // 2
        self.users = {UUID(int=2): half}
        sizes = [size for size in (10_000, 1_000, 1_000, 100, 100) if size < half]
        left = memories - half
        while left > 0:
            size = min(sizes[len(self.users) % len(sizes)], left)
            self.users[UUID(int=len(self.users) + 2)] = size
            left -= size

    def vectors(self, count: int) -> NDArray[np.float64]:
        """So many, each of length 1."""
        found = self.centres[self.random.integers(0, DIRECTIONS, count)]
        found = found + self.random.normal(scale=NOISE, size=found.shape)
        lengths: NDArray[np.float64] = np.linalg.norm(found, axis=1, keepdims=True)
        return found / lengths

    def user_with(self, most: int) -> tuple[UUID, int]:
        """The user who has most memories, up to `most`."""
        return max(((user, size) for user, size in self.users.items() if size <= most), key=lambda pair: pair[1])


def fill(corpus: Corpus) -> None:
    """Tenants, users, memories and vectors, by COPY."""
    with transaction() as connection:
        connection.execute(text("insert into memory.tenants (id, name) values (:id, 'Acme')"), {"id": TENANT})
        users = [{"id": user, "tenant": TENANT, "email": f"{user}@x"} for user in corpus.users]
        connection.execute(text("insert into memory.users (id, tenant_id, email) values (:id, :tenant, :email)"), users)
        owners = [user for user, size in corpus.users.items() for _ in range(size)]
        corpus.random.shuffle(owners)
        _copy_memories(connection, owners)
        _copy_vectors(connection, corpus, range(1, len(owners) + 1))
    with get_engine().connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.exec_driver_sql("vacuum analyze memory.memories, memory.embeddings")


def _copy_memories(connection: Connection, owners: list[UUID], first: int = 1) -> None:
    copy = "copy memory.memories (id, tenant_id, user_id, text_ciphertext, content_hash, extracted_type, extracted_key)"
    with _cursor(connection).copy(f"{copy} from stdin") as out:
        for number, owner in enumerate(owners, start=first):
            out.write_row((number, TENANT, owner, os.urandom(150), f"{number:064x}", "FACT", f"key {number}"))


def _copy_vectors(connection: Connection, corpus: Corpus, ids: range) -> None:
    """In COPY's binary form: a halfvec is its length, a zero, and big-endian halves."""
    model = model_name(get_memory_settings()).encode()
    head = np.array([corpus.dimensions, 0], ">i2").tobytes()
    copy = "copy memory.embeddings (memory_id, content_hash, model, embedding) from stdin (format binary)"
    with _cursor(connection).copy(copy) as out:
        out.write(b"PGCOPY\n\xff\r\n\x00" + bytes(8))
        for at in range(0, len(ids), _BATCH):
            part = ids[at : at + _BATCH]
            for number, vector in zip(part, corpus.vectors(len(part)).astype(">f2"), strict=True):
                fields = (number.to_bytes(8, "big"), f"{number:064x}".encode(), model, head + vector.tobytes())
                out.write(b"\x00\x04" + b"".join(len(one).to_bytes(4, "big") + one for one in fields))
        out.write(b"\xff\xff")


def _cursor(connection: Connection) -> Any:  # noqa: ANN401 - psycopg's
    return connection.connection.cursor()


def exactly(user: UUID, vector: list[float]) -> list[int]:
    """As the catalogue asks."""
    with transaction() as connection:
        return [found for found, _ in nearest(connection, Scope(user), vector, WANTED)]


def by_index(user: UUID, vector: list[float]) -> list[int]:
    """By HNSW over all rows, until it has enough of the user's."""
    with transaction() as connection:
        for setting in ("hnsw.iterative_scan = strict_order", "enable_seqscan = off", "enable_sort = off"):
            connection.exec_driver_sql(f"set local {setting}")
        question = text(_BY_INDEX.format(dims=len(vector)))
        given = {"user": user, "vector": str(vector), "most": WANTED}
        return [row.id for row in connection.execute(question, given)]


class Asked(NamedTuple):
    """What a user's questions took, in milliseconds each, and their answers."""

    median: float
    processor: float
    answers: list[list[int]]

    def __str__(self) -> str:
        return f"{self.median:8.1f} {self.processor:8.1f} ms"


def timed(ask: Callable[[UUID, list[float]], list[int]], user: UUID, questions: NDArray[np.float64]) -> Asked:
    """The first question, which fills caches, counts for nothing."""
    ask(user, questions[0].tolist())
    times, answers, before = [], [], _server_seconds()
    for question in questions:
        began = time.perf_counter()
        answers.append(ask(user, question.tolist()))
        times.append(1000 * (time.perf_counter() - began))
    return Asked(statistics.median(times), 1000 * (_server_seconds() - before) / len(times), answers)


def _server_seconds() -> float:
    """What the processes of the server have used so far; those of connections stay as long as these do."""
    spent = 0.0
    for process in psutil.Process().children(recursive=True):
        with suppress(psutil.NoSuchProcess):
            times = process.cpu_times()
            spent += times.user + times.system
    return spent


def seconds_to_add(corpus: Corpus, first: int, count: int) -> float:
    """Seconds for one vector more, of `count` that go in with one COPY."""
    with transaction() as connection:
        _copy_memories(connection, [next(iter(corpus.users))] * count, first)
        began = time.perf_counter()
        _copy_vectors(connection, corpus, range(first, first + count))
        return (time.perf_counter() - began) / count


def build_index(dimensions: int) -> tuple[float, float]:
    """Seconds it takes, and its size in MB."""
    with get_engine().connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.exec_driver_sql("set maintenance_work_mem = '512MB'")
        began = time.perf_counter()
        connection.exec_driver_sql(_INDEX.format(dims=dimensions))
        seconds = time.perf_counter() - began
        size = connection.exec_driver_sql("select pg_relation_size('memory.embeddings_hnsw')").scalar_one()
    return seconds, size / 1e6


def measure(corpus: Corpus, memories: int) -> bool:
    """Ask, build, ask again, and print; whether the exact way is quick enough."""
    questions = corpus.vectors(QUESTIONS)
    users = sorted({corpus.user_with(most) for most in (100, 1_000, USUAL, memories)}, key=lambda pair: pair[1])
    found = {user: timed(exactly, user, questions) for user, _ in users}
    plain = seconds_to_add(corpus, memories + 1, 2_000)
    seconds, size = build_index(corpus.dimensions)
    indexed = seconds_to_add(corpus, memories + 2_001, 2_000)
    print(f"hnsw index     {seconds:.1f} s to build, {size:.0f} MB")
    print(f"a vector more  {1e6 * plain:.0f} us without the index, {1e6 * indexed:.0f} us with it")
    print("memories of the user    exact: median, processor    hnsw: median, processor    its recall")
    for user, number in users:
        indexed_way = timed(by_index, user, questions)
        recall = _recall(found[user].answers, indexed_way.answers)
        print(f"{number:20,}    {found[user]}         {indexed_way}        {recall:.2f}")
    return all(found[user].processor <= MOST_MILLISECONDS for user, number in users if number <= USUAL)


def _recall(truth: list[list[int]], answers: list[list[int]]) -> float:
    return statistics.mean(len(set(a) & set(b)) / max(len(a), 1) for a, b in zip(truth, answers, strict=True))


def _environment(url: str, folder: str, dimensions: int) -> Iterator[tuple[str, str]]:
    yield "CALLBOARD_DATABASE_URL", url
    yield "CALLBOARD_HOME", folder
    yield "CALLBOARD_SECRET_KEYS", b64encode(os.urandom(32)).decode()
    yield "CALLBOARD_MEMORY_EMBEDDING_DIMENSIONS", str(dimensions)


def main() -> int:
    """Fill, measure, print."""
    parser = argparse.ArgumentParser(prog="python -m bench.vectors", description=str(__doc__).partition("\n")[0])
    parser.add_argument("--memories", type=int, default=100_000)
    parser.add_argument("--dimensions", type=int, default=512)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, EmbeddedServers(Path(folder)) as servers:
        os.environ.update(_environment(servers.start().database_url, folder, asked.dimensions))
        get_settings.cache_clear()
        get_memory_settings.cache_clear()
        upgrade(get_settings().database_url or "")
        corpus = Corpus(asked.memories, asked.dimensions)
        fill(corpus)
        print(f"{asked.memories:,} memories of {len(corpus.users)} users, {asked.dimensions} dimensions")
        quick = measure(corpus, asked.memories)
        get_engine().dispose()
    return 0 if quick else 1


if __name__ == "__main__":
    sys.exit(main())
