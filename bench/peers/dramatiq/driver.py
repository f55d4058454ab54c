"""Stock Dramatiq on Redis: 2 processes of 8 threads, its default on two cores."""

from __future__ import annotations

import os

from protocol import Driver, program, serve


class Dramatiq(Driver):
    """It has no bulk call; its delays wait in the workers."""

    packages = ("dramatiq", "redis")
    delays = True

    def install(self, queues: list[str]) -> None:
        import app  # noqa: PLC0415 - after the environment is set

        self.jobs = app.JOBS

    def workers(self, case: str, queues: list[str]) -> tuple[str, list[list[str]]]:
        # Its command line logs at INFO only when a worker starts and stops; a job is logged at DEBUG.
        threads = os.environ.get("BENCH_DRAIN_THREADS", "8") if case == "drain" else "8"
        return f"-p 2 -t {threads}", [[program("dramatiq"), "app", "-p", "2", "-t", threads]]

    def send(self, job: str, tag: int, queue: str) -> None:
        self.jobs[job, queue].send(tag)

    def send_later(self, job: str, tags: range, queue: str, seconds: float) -> None:
        for tag in tags:
            self.jobs[job, queue].send_with_options(args=(tag,), delay=int(seconds * 1000))


if __name__ == "__main__":
    serve(Dramatiq)
