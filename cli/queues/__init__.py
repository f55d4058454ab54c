"""`callboard queues`: what waits where, and the commands that change it, one file for each kind."""

from cli._options import application
from cli.queues._change import limit, pause, resume
from cli.queues._delayed import delayed, drop
from cli.queues._list import queues

app = application(subcommand_metavar="[pause|resume|limit|delayed|drop QUEUE]")
app.callback(invoke_without_command=True)(queues)
for command in (pause, resume, limit, delayed, drop):
    app.command()(command)
