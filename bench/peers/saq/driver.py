"""SAQ on Redis: two workers of ten jobs each, and with many queues one worker for each."""

from __future__ import annotations

from protocol import SHARE, AsyncDriver, program, serve


class Saq(AsyncDriver):
    """Its worker serves one queue. It has no bulk call for jobs that nobody waits for."""

    packages = ("saq", "redis", "hiredis")

    def install(self, queues: list[str]) -> None:
        import app  # noqa: PLC0415 - after the environment is set

        self.queues = app.QUEUES

    def workers(self, case: str, queues: list[str]) -> tuple[str, list[list[str]]]:
        concurrency = SHARE // 2 if case == "sleep" else 10
        share = ["env", f"BENCH_SAQ_CONCURRENCY={concurrency}", program("saq")]
        if len(queues) > 1:
            return f"{len(queues)} x 10", [[*share, f"app.settings_{queue}"] for queue in queues]
        return f"2 x {concurrency}", [[*share, f"app.settings_{queues[0]}"] for _ in range(2)]

    async def asend(self, job: str, tag: int, queue: str) -> None:
        await self.queues[queue].enqueue(job, tag=tag)


if __name__ == "__main__":
    serve(Saq)
