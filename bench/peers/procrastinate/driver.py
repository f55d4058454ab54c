"""Procrastinate: two processes of 20 jobs each; finished jobs stay in its table, its default."""

from __future__ import annotations

from protocol import SHARE, AsyncDriver, program, serve


class Procrastinate(AsyncDriver):
    """It keeps every run as a row of `procrastinate_jobs`."""

    packages = ("procrastinate", "psycopg")
    bulk = True

    def install(self, queues: list[str]) -> None:
        self.runner.run(self._open())

    async def _open(self) -> None:
        import app  # noqa: PLC0415 - after the environment is set

        self.app = app.app
        self.jobs = {"noop": app.noop, "sleep": app.sleep}
        await self.app.open_async()
        await self.app.schema_manager.apply_schema_async()

    def workers(self, case: str, queues: list[str]) -> tuple[str, list[list[str]]]:
        share = SHARE // 2 if case == "sleep" else 20
        words = [program("procrastinate"), "--app", "app.app", "--log-level", "warning", "worker", "-c", str(share)]
        return f"2 x -c {share}", [[*words, "-q", ",".join(queues), "-n", name] for name in ("one", "two")]

    async def asend(self, job: str, tag: int, queue: str) -> None:
        await self.jobs[job].configure(queue=queue).defer_async(tag=tag)

    async def asend_many(self, job: str, tags: range, queue: str) -> None:
        await self.jobs[job].configure(queue=queue).batch_defer_async(*({"tag": tag} for tag in tags))

    def recorded(self) -> int | None:
        return self.runner.run(self._recorded())

    async def _recorded(self) -> int:
        row = await self.app.connector.execute_query_one_async(
            "select count(*) as number from procrastinate_jobs where status = 'succeeded'"
        )
        return int(row["number"])


if __name__ == "__main__":
    serve(Procrastinate)
