"""The vector store in a process of its own, so that a worker stays small.

LanceDB holds on to memory (measured: 300 MB and more after merging 700 MB of vectors), and its knobs for threads and
memory are variables that must be set before it is loaded. A child that lives as long as a run gives all of it back.

Wire: one JSON object a line over the child's standard input and output, `{"call": name, "args": [...]}` answered by
`{"result": ...}` or `{"error": text}`; vectors as base64 of their 32-bit floats. The child ends when its input does,
so it never outlives a worker that was killed.
"""

from __future__ import annotations

import os
import subprocess
import sys
from array import array
from base64 import b64decode, b64encode
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Self, cast

import orjson

from actors.sessions.vectors import Hit, VectorRow, VectorStore, VectorStoreError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from types import TracebackType

    from actors.sessions.settings import SessionsSettings

_ROWS_A_CALL = 256
_STOP_SECONDS = 5.0
# Few threads, small batches, and an allocator that gives memory back: a merge of 120,000 vectors peaks at 210 MB
# instead of 275, a search over them at 256 MB instead of 490.
_ENVIRONMENT = {
    "LANCE_CPU_THREADS": "1",
    "LANCE_IO_THREADS": "2",
    "LANCE_DEFAULT_BATCH_SIZE": "256",
    "MALLOC_ARENA_MAX": "1",
    "MALLOC_MMAP_THRESHOLD_": "65536",
    "MALLOC_TRIM_THRESHOLD_": "131072",
}


class VectorProcess:
    """A child process with a `VectorStore`, for the `with` block; for one thread.

    Every method raises VectorStoreError when LanceDB cannot, or when the child has died.
    """

    def __init__(self, folder: Path, dimensions: int) -> None:
        command = [sys.executable, "-m", __name__, str(folder), str(dimensions)]
        self._child = subprocess.Popen(  # noqa: S603 - our own module and our own folder
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env={**os.environ, **_ENVIRONMENT}
        )

    @classmethod
    def of(cls, settings: SessionsSettings) -> Self:
        """A process for the folder in the settings."""
        return cls(settings.vectors_dir, settings.embedding_dimensions)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the child: by the end of its input, or by force after five seconds. May be called twice."""
        stdin, stdout = self._pipes()
        with suppress(BrokenPipeError):  # it has died before: nothing is left to tell it
            stdin.close()
        try:
            self._child.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._child.kill()
            self._child.wait()
        stdout.close()

    def replace(self, message_ids: Sequence[int], rows: Iterable[VectorRow]) -> None:
        """Make `rows` the only ones of these messages; repeating it after a crash in between comes to the same."""
        self._call("delete", list(message_ids))
        remaining = iter(rows)
        while part := list(islice(remaining, _ROWS_A_CALL)):
            self._call("add", [[*row[:3], _encode(row.vector)] for row in part])

    def delete(self, message_ids: Sequence[int]) -> None:
        """Remove every row of these messages."""
        self._call("delete", list(message_ids))

    def nearest(self, vector: array[float], limit: int) -> list[Hit]:
        """The chunks nearest to `vector` by cosine, best first."""
        return [Hit(*each) for each in self._call("nearest", _encode(vector), limit)]

    def count(self) -> int:
        """Number of rows."""
        return int(self._call("count"))

    def message_ids(self) -> array[int]:
        """Ids of all messages that have rows, ascending."""
        return array("q", b64decode(self._call("message_ids")))

    def fragments(self) -> int:
        """Number of data files."""
        return int(self._call("fragments"))

    def compact(self, keep_seconds: float) -> None:
        """Merge small files and drop versions older than `keep_seconds`."""
        self._call("compact", keep_seconds)

    def _call(self, name: str, *args: object) -> Any:  # noqa: ANN401 - JSON; the callers know what
        stdin, stdout = self._pipes()
        try:
            stdin.write(orjson.dumps({"call": name, "args": args}) + b"\n")
            stdin.flush()
            answer = orjson.loads(stdout.readline())
        except (OSError, orjson.JSONDecodeError) as error:
            raise VectorStoreError(f"the vector process died while asked to {name}: {self._child.poll()}") from error
        if "error" in answer:
            raise VectorStoreError(answer["error"])
        return answer["result"]

    def _pipes(self) -> tuple[IO[bytes], IO[bytes]]:
        """Popen was told to make both."""
        return cast("IO[bytes]", self._child.stdin), cast("IO[bytes]", self._child.stdout)


def _encode(vector: array[float]) -> str:
    return b64encode(vector.tobytes()).decode()


def _decode(text: str) -> array[float]:
    return array("f", b64decode(text))


def _answer(store: VectorStore, name: str, args: list[Any]) -> object:
    """What the store says to one call."""
    match name, args:
        case "add", [rows]:
            store.add([VectorRow(message, number, text, _decode(vector)) for message, number, text, vector in rows])
        case "delete", [ids]:
            store.delete(ids)
        case "nearest", [vector, limit]:
            return [tuple(hit) for hit in store.nearest(_decode(vector), limit)]
        case "message_ids", []:
            return b64encode(store.message_ids().tobytes()).decode()
        case (("count" | "fragments" | "compact"), _):
            return getattr(store, name)(*args)
        case _:
            raise VectorStoreError(f"no call {name} with {len(args)} arguments")
    return None


def serve(store: VectorStore, requests: IO[bytes], answers: IO[bytes]) -> None:
    """Answer calls until the requests end."""
    for line in requests:
        call = orjson.loads(line)
        try:
            answer: dict[str, object] = {"result": _answer(store, call["call"], call["args"])}
        except VectorStoreError as error:
            answer = {"error": str(error)}
        answers.write(orjson.dumps(answer) + b"\n")
        answers.flush()


if __name__ == "__main__":
    serve(VectorStore(Path(sys.argv[1]), int(sys.argv[2])), sys.stdin.buffer, sys.stdout.buffer)
