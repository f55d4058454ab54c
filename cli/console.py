"""`callboard console`, with `link`."""

import threading
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import structlog
import typer

from callboard.accounts import sign_in, users
from callboard.errors import Unsupported
from callboard.ledger.database import AWAY, declare_process, dispose, transaction
from callboard.operations import accounts
from callboard.settings import Settings, get_settings
from cli._options import application, who
from cli._output import say
from cli._service import configure_logs, stop_event

app = application(subcommand_metavar="[link]")
_log = structlog.get_logger(__name__)

#: Connections to Postgres: as many requests are worked on at once.
_POOL = 20
_AGAIN_SECONDS = 2.0
_NEEDED = ("fastapi", "uvicorn", "uvloop", "jinja2", "argon2", "multipart")


@app.callback(invoke_without_command=True)
def console(
    ctx: typer.Context,
    *,
    host: Annotated[
        str | None, typer.Option(metavar="HOST", help="Address to listen on; else CALLBOARD_CONSOLE_HOST.")
    ] = None,
    port: Annotated[int | None, typer.Option(metavar="PORT", min=0, max=65535, help="Port; 0: any free one.")] = None,
) -> None:
    """Serve the console and its API.

    Beyond this machine only with TLS: CALLBOARD_CONSOLE_TLS_CERT and CALLBOARD_CONSOLE_TLS_KEY.
    """
    if ctx.invoked_subcommand is None:
        _serve(host, port)


@app.command()
def link(
    email: Annotated[str | None, typer.Argument(metavar="[EMAIL]", help="Whom; else the local operator.")] = None,
    minutes: Annotated[float, typer.Option(metavar="N", min=1, max=1440, help="Good for so long.")] = 10,
) -> None:
    """Print a link that signs in once."""
    with transaction() as connection:
        user = users.local_operator(connection) if email is None else users.by_email(connection, email)
    token = accounts.make_link(user.id, who=who(), minutes=minutes)
    say(sign_in.link_url(token, console=_read(get_settings())))


def missing() -> str:
    """What the console needs and is not installed; empty if it is."""
    return ", ".join(name for name in _NEEDED if find_spec(name) is None)


def _serve(host: str | None, port: int | None) -> None:
    if missing():
        raise Unsupported(f"the console needs {missing()}: install 'callboard[console]'.")
    from console.app import make_app  # noqa: PLC0415 - half a second that `link` need not wait for
    from console.server import ConsoleServer  # noqa: PLC0415 - the same

    configure_logs("console")
    settings = get_settings()
    declare_process("callboard-console", pool_size=_POOL)
    server = ConsoleServer(make_app(settings), settings, host=host, port=port)
    stopping = stop_event()
    server.start()
    place = _write(settings, server.url)
    _log.info("console.started", url=server.url)
    try:
        _register_token(settings, stopping)
        stopping.wait()
    finally:
        place.unlink(missing_ok=True)
        server.stop()
        dispose()
    _log.info("console.stopped")


def _register_token(settings: Settings, stopping: threading.Event) -> None:
    """Make the token of the settings a link; while Postgres is away, again and again."""
    while settings.console_token is not None and not stopping.is_set():
        try:
            sign_in.register_token(settings.console_token.get_secret_value())
        except AWAY as error:
            _log.warning("console.token_waits", error=str(error).partition("\n")[0])
            stopping.wait(_AGAIN_SECONDS)
        else:
            return


def _place(settings: Settings) -> Path:
    """Where a console on a port of its own choice says so, for `link` in another terminal."""
    return settings.home / "console.url"


def _write(settings: Settings, url: str) -> Path:
    place = _place(settings)
    place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    place.write_text(url, encoding="utf-8")
    return place


def _read(settings: Settings) -> str:
    try:
        return _place(settings).read_text(encoding="utf-8").strip()
    except OSError:  # it runs elsewhere, or not
        return ""
