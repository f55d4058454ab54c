"""Huey on Redis (blocking pops): processes, and with many queues one single-thread consumer for each."""

from __future__ import annotations

from protocol import SHARE, Driver, program, serve


class Huey(Driver):
    """Its consumer serves one queue."""

    packages = ("huey", "redis")

    def install(self, queues: list[str]) -> None:
        import app  # noqa: PLC0415 - after the environment is set

        self.jobs = app.JOBS

    def workers(self, case: str, queues: list[str]) -> tuple[str, list[list[str]]]:
        options = ["-k", "process", "-w", str(SHARE if case == "sleep" else 2)]
        if len(queues) > 1:
            options = ["-k", "thread", "-w", "1"]
        commands = [[program("huey_consumer"), f"app.huey_{queue}", "-q", *options] for queue in queues]
        return f"{len(queues)} x {' '.join(options)}", commands

    def send(self, job: str, tag: int, queue: str) -> None:
        self.jobs[job, queue](tag)


if __name__ == "__main__":
    serve(Huey)
