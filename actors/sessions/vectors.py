"""The vector store: a LanceDB table `embeddings`, one row for each chunk of a message.

LanceDB and pyarrow take 140 MB and a pool of threads, so jobs do not use this class in their own process but through
`VectorProcess`, which does.
"""

from __future__ import annotations

from array import array
from contextlib import contextmanager
from datetime import timedelta
from importlib import import_module
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

TABLE = "embeddings"
_CACHE_BYTES = 16 * 1024 * 1024
_ALWAYS_FRESH = timedelta(0)  # see what other processes wrote since the table was opened


class VectorStoreError(Exception):
    """LanceDB could not do what was asked: a conflict with another writer, a full disk, a damaged table."""


class VectorRow(NamedTuple):
    """One chunk of one message and its vector of 32-bit floats."""

    message_id: int
    chunk_index: int
    content: str
    vector: array[float]


class Hit(NamedTuple):
    """A chunk near a query; `distance` is 1 - cosine, from 0 for the same direction to 2."""

    message_id: int
    chunk_index: int
    content: str
    distance: float


class VectorStore:
    """One folder of LanceDB.

    Args:
        folder: Made when the first row is added.
        dimensions: Length of every vector.
    """

    def __init__(self, folder: Path, dimensions: int) -> None:
        self._folder, self._dimensions = folder, dimensions
        self._table: Any = None

    def add(self, rows: Sequence[VectorRow]) -> None:
        """Insert rows; those of the same messages must have been deleted before."""
        with _errors("add"):
            if rows:
                self._open(create=True).add(self._as_arrow(rows))

    def delete(self, message_ids: Sequence[int]) -> None:
        """Remove every row of these messages; no row is no error."""
        with _errors("delete"):
            if message_ids and self._exists():
                self._open().delete(f"message_id IN ({', '.join(str(int(each)) for each in message_ids)})")

    def nearest(self, vector: array[float], limit: int) -> list[Hit]:
        """The chunks whose directions are nearest to `vector`, best first."""
        with _errors("search"):
            if not self._exists():
                return []
            query = self._open().search(self._as_numpy(vector)).distance_type("cosine").limit(limit)
            found = query.select(["message_id", "chunk_index", "content", "_distance"]).to_list()
        return [Hit(each["message_id"], each["chunk_index"], each["content"], each["_distance"]) for each in found]

    def count(self) -> int:
        """Number of rows."""
        with _errors("count"):
            return int(self._open().count_rows()) if self._exists() else 0

    def message_ids(self) -> array[int]:
        """Ids of all messages that have rows, each once, as 64-bit integers."""
        with _errors("scan"):
            if not self._exists():
                return array("q")
            batches = self._open().search().select(["message_id"]).to_batches()
            columns = [batch.column("message_id").to_numpy() for batch in batches]
        if not columns:
            return array("q")
        numpy = _load("numpy")
        return array("q", numpy.unique(numpy.concatenate(columns)).tobytes())

    def fragments(self) -> int:
        """Number of data files; every `add` makes one, and reading slows with them."""
        with _errors("read the statistics"):
            return int(self._open().stats()["fragment_stats"]["num_fragments"]) if self._exists() else 0

    def compact(self, keep_seconds: float) -> None:
        """Merge small files and drop versions older than `keep_seconds`.

        Younger ones stay because another process may be reading them; for the same reason files that no version knows
        are left alone until they are seven days old: they may belong to a write that is under way.
        """
        with _errors("compact"):
            if self._exists():
                self._open().optimize(cleanup_older_than=timedelta(seconds=keep_seconds))

    def _exists(self) -> bool:
        return self._table is not None or table_folder(self._folder).is_dir()

    def _open(self, *, create: bool = False) -> Any:  # noqa: ANN401 - LanceDB's table, without a type that helps
        if self._table is None:
            lancedb = _load("lancedb")
            session = lancedb.Session(_CACHE_BYTES, _CACHE_BYTES)
            database = lancedb.connect(self._folder, session=session, read_consistency_interval=_ALWAYS_FRESH)
            if create:
                self._table = database.create_table(TABLE, schema=self._schema(), exist_ok=True)
            else:
                self._table = database.open_table(TABLE)
        return self._table

    def _schema(self) -> Any:  # noqa: ANN401 - pyarrow ships no types
        pyarrow = _load("pyarrow")
        return pyarrow.schema(
            {
                "message_id": pyarrow.int64(),
                "chunk_index": pyarrow.int32(),
                "content": pyarrow.string(),
                "vector": pyarrow.list_(pyarrow.float32(), self._dimensions),
            }
        )

    def _as_arrow(self, rows: Sequence[VectorRow]) -> Any:  # noqa: ANN401 - pyarrow ships no types
        pyarrow = _load("pyarrow")
        floats = pyarrow.py_buffer(b"".join(row.vector.tobytes() for row in rows))
        values = pyarrow.Array.from_buffers(pyarrow.float32(), len(rows) * self._dimensions, [None, floats])
        columns = [
            pyarrow.array([row.message_id for row in rows], pyarrow.int64()),
            pyarrow.array([row.chunk_index for row in rows], pyarrow.int32()),
            pyarrow.array([row.content for row in rows], pyarrow.string()),
            pyarrow.FixedSizeListArray.from_arrays(values, self._dimensions),
        ]
        return pyarrow.Table.from_arrays(columns, schema=self._schema())

    def _as_numpy(self, vector: array[float]) -> Any:  # noqa: ANN401 - LanceDB takes any array
        numpy = _load("numpy")
        return numpy.frombuffer(vector, numpy.float32)


def table_folder(folder: Path) -> Path:
    """Where LanceDB keeps the table's files."""
    return folder / f"{TABLE}.lance"


def _load(name: str) -> Any:  # noqa: ANN401 - a module without types
    """Import at the last moment: these modules are large, and most processes never use them."""
    return import_module(name)


@contextmanager
def _errors(act: str) -> Iterator[None]:
    try:
        yield
    except (RuntimeError, OSError, ValueError) as error:
        raise VectorStoreError(f"LanceDB could not {act}: {error}") from error
