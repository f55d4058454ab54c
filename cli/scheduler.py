"""`callboard scheduler`."""

from callboard.settings import get_settings
from cli._options import application
from cli._service import configure_logs
from scheduler import run

app = application()


@app.command()
def scheduler() -> None:
    """Run the scheduler that calls the cadences.

    Any number may run: one leads, the others take over within seconds when it is gone.
    """
    configure_logs("scheduler")
    run(get_settings())
