"""taskiq with taskiq-redis streams: two worker processes and its defaults."""

from __future__ import annotations

from protocol import SHARE, AsyncDriver, program, serve


class Taskiq(AsyncDriver):
    """It has no bulk call. Its consumer groups begin at the newest message, so they are made before the first."""

    packages = ("taskiq", "taskiq-redis", "redis", "uvloop")

    def install(self, queues: list[str]) -> None:
        import app  # noqa: PLC0415 - after the environment is set

        self.jobs = {"noop": app.noop, "sleep": app.sleep}
        self.runner.run(app.broker.startup())

    def workers(self, case: str, queues: list[str]) -> tuple[str, list[list[str]]]:
        options = ["--workers", "2"]
        if case == "sleep":
            options += ["--max-async-tasks", str(SHARE // 2)]
        words = [program("taskiq"), "worker", "app:broker", "--log-level", "WARNING", *options]
        return f"streams, {' '.join(options)}", [words]

    async def asend(self, job: str, tag: int, queue: str) -> None:
        await self.jobs[job].kicker().with_labels(queue_name=queue).kiq(tag)


if __name__ == "__main__":
    serve(Taskiq)
