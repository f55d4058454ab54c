"""One span for each SQL statement and each HTTP call that a traced run makes, by OpenTelemetry's instrumentations.

SQL is traced where SQLAlchemy hands it to the driver, whichever that is: with the driver's own instrumentation besides,
each statement would be there twice.
"""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING

from opentelemetry import metrics
from opentelemetry.instrumentation.httpx import HTTPXClientInstrumentor
from opentelemetry.instrumentation.sqlalchemy.engine import EngineTracer
from sqlalchemy import Engine, event

if TYPE_CHECKING:
    from opentelemetry.trace import TracerProvider
    from sqlalchemy import Connection

__all__ = ["trace_clients"]

_traced: weakref.WeakSet[Engine] = weakref.WeakSet()


def trace_clients(provider: TracerProvider) -> None:
    """Trace what goes through SQLAlchemy and httpx in this process; a second call changes nothing."""
    instrumentor = HTTPXClientInstrumentor()
    if instrumentor.is_instrumented_by_opentelemetry:
        return
    instrumentor.instrument(tracer_provider=provider)
    tracer = provider.get_tracer("opentelemetry.instrumentation.sqlalchemy")
    usage = metrics.NoOpMeter("callboard").create_up_down_counter("db.client.connections.usage")

    def adopt(connection: Connection) -> None:
        # The instrumentor's own way in wraps `create_engine`, which modules have imported by its name long before.
        engine = connection.engine
        engine = getattr(engine, "_proxied", engine)  # one made by `execution_options` shares its listeners
        if engine not in _traced:
            _traced.add(engine)
            EngineTracer(tracer, engine, usage)  # type: ignore[no-untyped-call]  # it is not typed

    event.listen(Engine, "engine_connect", adopt)
