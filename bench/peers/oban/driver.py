"""Oban for Python (the free edition): two processes, each with a limit of 50 jobs a queue."""

from __future__ import annotations

import os
import subprocess

from protocol import SHARE, AsyncDriver, program, serve


class OnOban(AsyncDriver):
    """It keeps every run as a row of `oban_jobs`."""

    packages = ("oban", "psycopg", "uvloop")
    bulk = True

    def install(self, queues: list[str]) -> None:
        subprocess.run([program("oban"), "install", "--dsn", os.environ["BENCH_DATABASE_URL"]], check=True)  # noqa: S603
        self.runner.run(self._open())

    async def _open(self) -> None:
        import app  # noqa: PLC0415 - after the environment is set

        from oban import Oban  # noqa: PLC0415 - the same

        self.jobs = {"noop": app.Noop, "sleep": app.Sleep}
        self.pool = await Oban.create_pool(dsn=os.environ["BENCH_DATABASE_URL"])
        self.oban = Oban(pool=self.pool)

    def workers(self, case: str, queues: list[str]) -> tuple[str, list[list[str]]]:
        limit = SHARE // 2 if case == "sleep" else 50
        listed = ",".join(f"{queue}:{limit}" for queue in queues)
        words = [program("oban"), "start", "--dsn", os.environ["BENCH_DATABASE_URL"], "--log-level", "warning"]
        return f"2 x limit {limit}", [[*words, "--queues", listed, "--node", name] for name in ("one", "two")]

    async def asend(self, job: str, tag: int, queue: str) -> None:
        await self.jobs[job].enqueue({"tag": tag}, queue=queue)

    async def asend_many(self, job: str, tags: range, queue: str) -> None:
        await self.oban.enqueue_many([self.jobs[job].new({"tag": tag}, queue=queue) for tag in tags])

    def recorded(self) -> int | None:
        return self.runner.run(self._recorded())

    async def _recorded(self) -> int:
        async with self.pool.connection() as connection:
            rows = await connection.execute("select count(*) from oban_jobs where state = 'completed'")
            return int((await rows.fetchone())[0])


if __name__ == "__main__":
    serve(OnOban)
