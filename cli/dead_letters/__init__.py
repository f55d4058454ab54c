"""`callboard dead-letters`: messages that were given up on, one file for each thing to do with them."""

from cli._groups import ListGroup
from cli._options import application
from cli.dead_letters._discard import discard
from cli.dead_letters._list import list_letters
from cli.dead_letters._replay import replay
from cli.dead_letters._show import show

app = application(cls=ListGroup, no_args_is_help=True, help="List, show, replay and discard dead letters.")
app.command("list")(list_letters)
app.command("show")(show)
app.command("replay")(replay)
app.command("discard")(discard)
