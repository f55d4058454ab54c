"""`callboard exporter`."""

from typing import Annotated

import structlog
import typer

from callboard.loading import load_actors
from callboard.settings import get_settings
from callboard.state import snapshot
from cli._options import application
from cli._service import configure_logs, stop_event
from observability.exporter import state_registry
from observability.exposition import choose_plain
from observability.server import MetricsServer

app = application()
_log = structlog.get_logger(__name__)


@app.command()
def exporter(
    *,
    host: Annotated[
        str | None, typer.Option(metavar="HOST", help="Address to listen on; else CALLBOARD_EXPORTER_HOST.")
    ] = None,
    port: Annotated[int | None, typer.Option(metavar="PORT", min=0, max=65535, help="Port; 0: any free one.")] = None,
) -> None:
    """Serve metrics for Prometheus."""
    configure_logs("exporter")
    settings = get_settings()
    load_actors(settings)
    server = MetricsServer(
        state_registry(snapshot),
        host=host or settings.exporter_host,
        port=settings.exporter_port if port is None else port,
        encoder=choose_plain,
    )
    stopping = stop_event()
    server.start()
    _log.info("exporter.started", url=f"{server.url}/metrics")
    stopping.wait()
    server.stop()
    _log.info("exporter.stopped")
