"""`callboard up`: servers, migrations, scheduler, workers, exporter and console on this machine, on one screen."""

from callboard.settings import get_settings
from cli._options import application
from cli._output import say
from cli._signals import Stopped, ignored, raising
from cli.up._board import Board
from cli.up._watch import watch

app = application()


@app.command()
def up() -> None:
    """Start everything on this machine and show it on one screen.

    Embedded Postgres and Valkey under CALLBOARD_HOME, unless CALLBOARD_DATABASE_URL and CALLBOARD_BROKER_URL name
    others; then the scheduler, the workers, the exporter and the console, with a link that signs in once. Ctrl-C stops
    all of it.
    """
    board = Board(get_settings())
    try:
        with raising():
            board.start(say)
            watch(board)
    except Stopped:
        pass  # asked to: that is how it ends
    finally:
        with ignored():
            board.stop(say)
