"""RQ: a pool of SimpleWorkers, five times as fast as its default, which forks for every job."""

from __future__ import annotations

import os

from protocol import SHARE, Driver, program, serve


class Rq(Driver):
    """Results are not kept: nobody asks for them."""

    packages = ("rq", "redis")
    bulk = True

    def install(self, queues: list[str]) -> None:
        import app  # noqa: PLC0415 - after the environment is set
        from redis import Redis  # noqa: PLC0415 - the same

        from rq import Queue  # noqa: PLC0415 - the same

        connection = Redis.from_url(os.environ["BENCH_REDIS_URL"])
        self.jobs = {"noop": app.noop, "sleep": app.sleep}
        self.queues = {name: Queue(name, connection=connection) for name in queues}

    def workers(self, case: str, queues: list[str]) -> tuple[str, list[list[str]]]:
        number = {"sleep": SHARE, "drain": 4}.get(case, 2)
        words = [program("rq"), "worker-pool", "-n", str(number), "-w", "rq.SimpleWorker", "-l", "WARNING"]
        return f"-n {number} SimpleWorker", [[*words, "-u", os.environ["BENCH_REDIS_URL"], *queues]]

    def send(self, job: str, tag: int, queue: str) -> None:
        self.queues[queue].enqueue(self.jobs[job], tag, result_ttl=0)

    def send_many(self, job: str, tags: range, queue: str) -> None:
        from rq import Queue  # noqa: PLC0415 - after the environment is set

        self.queues[queue].enqueue_many([Queue.prepare_data(self.jobs[job], (tag,), result_ttl=0) for tag in tags])


if __name__ == "__main__":
    serve(Rq)
