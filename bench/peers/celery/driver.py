"""Celery on Redis: two solo workers for short jobs, two pools of threads for jobs that wait."""

from __future__ import annotations

from protocol import SHARE, Driver, program, serve


class Celery(Driver):
    """Its default, `prefork -c 2`, was less than half as fast as two solo workers."""

    packages = ("celery", "kombu", "redis")

    def install(self, queues: list[str]) -> None:
        import app  # noqa: PLC0415 - after the environment is set

        self.jobs = {"noop": app.noop, "sleep": app.sleep}

    def workers(self, case: str, queues: list[str]) -> tuple[str, list[list[str]]]:
        pool = ["-P", "threads", "-c", str(SHARE // 2)] if case == "sleep" else ["-P", "solo"]
        words = [program("celery"), "-A", "app", "worker", "-l", "WARNING", "-Q", ",".join(queues), *pool]
        return "2 x " + " ".join(pool), [[*words, "-n", f"{name}@%h"] for name in ("one", "two")]

    def send(self, job: str, tag: int, queue: str) -> None:
        self.jobs[job].apply_async((tag,), queue=queue)


if __name__ == "__main__":
    serve(Celery)
