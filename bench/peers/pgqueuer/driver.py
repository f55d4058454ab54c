"""PgQueuer on asyncpg and uvloop: two processes with batches of 100, its best setting by far."""

from __future__ import annotations

import os
import subprocess

from protocol import SHARE, AsyncDriver, program, serve


class OnPgqueuer(AsyncDriver):
    """Finished jobs leave its queue table and are logged, one row for each change of state, in `pgqueuer_log`."""

    packages = ("pgqueuer", "asyncpg", "uvloop")
    bulk = True

    @staticmethod
    def env() -> dict[str, str]:
        return {"PGDSN": os.environ["BENCH_DATABASE_URL"]}

    def install(self, queues: list[str]) -> None:
        subprocess.run([program("pgq"), "install"], check=True, stdout=subprocess.DEVNULL)  # noqa: S603
        self.runner.run(self._open())

    async def _open(self) -> None:
        import asyncpg  # noqa: PLC0415 - after the environment is set
        from pgqueuer.db import AsyncpgDriver  # noqa: PLC0415 - the same
        from pgqueuer.queries import Queries  # noqa: PLC0415 - the same

        self.connection = await asyncpg.connect(os.environ["BENCH_DATABASE_URL"])
        self.queries = Queries(AsyncpgDriver(self.connection))

    def workers(self, case: str, queues: list[str]) -> tuple[str, list[list[str]]]:
        options = ["--batch-size", "100"]
        if case == "sleep":  # its limit must be at least twice the batch
            options = ["--batch-size", str(SHARE // 4), "--max-concurrent-tasks", str(SHARE // 2)]
        words = [program("pgq"), "run", "app:main", "--log-level", "WARNING", *options]
        return f"2 x {' '.join(options)}", [words, words]

    async def asend(self, job: str, tag: int, queue: str) -> None:
        await self.queries.enqueue(f"{job}.{queue}", b"%d" % tag)

    async def asend_many(self, job: str, tags: range, queue: str) -> None:
        number = len(tags)
        await self.queries.enqueue([f"{job}.{queue}"] * number, [b"%d" % tag for tag in tags], [0] * number)

    def recorded(self) -> int | None:
        query = "select count(distinct job_id) from pgqueuer_log where status = 'successful'"
        return int(self.runner.run(self.connection.fetchval(query)))


if __name__ == "__main__":
    serve(OnPgqueuer)
