"""Tools whose files are whole JSON documents: Gemini (one a session) and OpenCode (one a session, message and part)."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from sandbox.session_files._content import Made, Order

if TYPE_CHECKING:
    from pathlib import Path


def write_gemini(order: Order) -> Made:
    """Write `<hash>/chats/session-<time>-<id>.json`; the project is known by its hash alone."""
    session = order.uuid()
    project = hashlib.sha256(order.project.encode()).hexdigest()
    folder = order.folder / project / "chats"
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"session-{order.start:%Y-%m-%dT%H-%M}-{session[:8]}.json"
    started = order.iso()
    messages = ",\n    ".join(_gemini_message(order, index) for index in range(order.size))
    path.write_text(
        f'{{\n  "sessionId": "{session}",\n  "projectHash": "{project}",\n  "startTime": "{started}",\n'
        f'  "lastUpdated": "{order.iso()}",\n  "messages": [\n    {messages}\n  ]\n}}',
        encoding="utf-8",
    )
    return Made(session, [path])


def _gemini_message(order: Order, index: int) -> str:
    head = f'"id":"{order.uuid()}","timestamp":"{order.iso()}"'
    if index % 2 == 0:
        return f'{{{head},"type":"user","content":{order.pick(order.phrases.prompts)}}}'
    thought = f'{{"subject":"Plan","description":{order.pick(order.phrases.thoughts)}}}'
    call = (
        f'{{"id":"call-{index}","name":"read_file","args":{{"path":"src/main.py"}},"status":"success",'
        f'"resultDisplay":{order.pick(order.phrases.outputs)}}}'
    )
    return (
        f'{{{head},"type":"gemini","content":{order.pick(order.phrases.replies)},"thoughts":[{thought}],'
        f'"toolCalls":[{call}],"model":"gemini-2.5-pro"}}'
    )


def write_opencode(order: Order) -> Made:
    """Write `session/<project>/ses_*.json`, `message/<session>/msg_*.json` and `part/<message>/prt_*.json`."""
    session = f"ses_{order.rng.getrandbits(80):020x}"
    project = hashlib.sha256(order.project.encode()).hexdigest()[:40]
    created = order.millis()
    path = order.folder / "session" / project / f"{session}.json"
    text = (
        f'{{"id":"{session}","version":"0.15.0","projectID":"{project}","directory":"{order.project}",'
        f'"title":"Session {order.number}","time":{{"created":{created},"updated":{created}}}}}'
    )
    paths = [_put(path, text)]
    for index in range(order.size):
        paths.extend(_opencode_message(order, session, index))
    return Made(session, paths)


def _opencode_message(order: Order, session: str, index: int) -> list[Path]:
    message = f"msg_{index:06d}{order.rng.getrandbits(56):014x}"
    moment = order.millis()
    role = "assistant" if index % 2 else "user"
    model = ',"modelID":"claude-sonnet-4-5","providerID":"anthropic"' if index % 2 else ""
    text = (
        f'{{"id":"{message}","sessionID":"{session}","role":"{role}"{model},'
        f'"time":{{"created":{moment},"completed":{moment + 900}}}}}'
    )
    parts = [_opencode_text(order, index)]
    if index % 4 == 1:
        parts.append(_opencode_tool(order, index))
    files = [_put(order.folder / "message" / session / f"{message}.json", text)]
    for number, part in enumerate(parts):
        part_id = f"prt_{index:06d}{number:02d}{order.rng.getrandbits(48):012x}"
        body = f'{{"id":"{part_id}","messageID":"{message}","sessionID":"{session}",{part}}}'
        files.append(_put(order.folder / "part" / message / f"{part_id}.json", body))
    return files


def _opencode_text(order: Order, index: int) -> str:
    pool = order.phrases.replies if index % 2 else order.phrases.prompts
    return f'"type":"text","text":{order.pick(pool)}'


def _opencode_tool(order: Order, index: int) -> str:
    return (
        f'"type":"tool","callID":"call_{index}","tool":"bash","state":{{"status":"completed",'
        f'"input":{{"command":{order.pick(order.phrases.commands)}}},"output":{order.pick(order.phrases.outputs)}}}'
    )


def _put(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path
