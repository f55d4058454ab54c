"""Claude Code: `<encoded project>/<session>.jsonl`, one JSON object a line; subagents in files of their own."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from sandbox.session_files._content import Made, Order

if TYPE_CHECKING:
    from pathlib import Path

_SUBAGENT_EVERY = 10
_CONTINUED_EVERY = 25
_MODELS = ("claude-sonnet-4-5-20250929", "claude-opus-4-1-20250805")


def write(order: Order) -> Made:
    """Write one session; every tenth is a subagent's of the session before it, every 25th continues that session."""
    folder = order.folder / re.sub(r"[^A-Za-z0-9]", "-", order.project)
    own = order.uuid()
    parent = order.previous if order.number % _SUBAGENT_EVERY == _SUBAGENT_EVERY - 1 else None
    agent = own[:8] if parent else None
    path = _path(folder, order.number, own, parent, agent)
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = _lines(order, parent or own, agent)
    path.write_text("\n".join([*_noise(order, agent), *lines]) + "\n", encoding="utf-8")
    return Made(parent or own, [path])


def _path(folder: Path, number: int, own: str, parent: str | None, agent: str | None) -> Path:
    if not agent or not parent:
        return folder / f"{own}.jsonl"
    nested = number // _SUBAGENT_EVERY % 2  # older releases write beside the session, newer ones below it
    return (folder / parent / "subagents" if nested else folder) / f"agent-{agent}.jsonl"


def _noise(order: Order, agent: str | None) -> list[str]:
    if agent:
        return []
    snapshot = (
        f'{{"type":"file-history-snapshot","messageId":"{order.uuid()}","snapshot":{{}},"isSnapshotUpdate":false}}'
    )
    return [snapshot, f'{{"type":"queue-operation","operation":"enqueue","timestamp":"{order.iso()}"}}']


def _lines(order: Order, session: str, agent: str | None) -> list[str]:
    agent_id = f'"agentId":"{agent}",' if agent else ""
    head = (
        f'"isSidechain":{"true" if agent else "false"},{agent_id}"userType":"external","cwd":"{order.project}",'
        f'"sessionId":"{session}","version":"2.0.14","gitBranch":"main",'
    )
    model = _MODELS[order.number % len(_MODELS)]
    parent, out = "null", []
    for index in range(order.size):
        uuid = order.uuid()
        body = _body(order, index, model)
        out.append(f'{{"parentUuid":{parent},{head}{body},"uuid":"{uuid}","timestamp":"{order.iso()}"}}')
        parent = f'"{uuid}"'
    return out


def _body(order: Order, index: int, model: str) -> str:
    step = index % 6
    if step == 0:
        return f'"type":"user","message":{{"role":"user","content":{_prompt(order, index)}}}'
    call = f"toolu_{order.number:06d}{index - step:06d}"
    if step == 4:  # noqa: PLR2004 - the fifth of six steps answers the fourth's call
        result = f'{{"type":"tool_result","tool_use_id":"{call}","content":{order.pick(order.phrases.outputs)}}}'
        return f'"type":"user","message":{{"role":"user","content":[{result}]}}'
    block = _block(order, step, call)
    return (
        f'"type":"assistant","message":{{"model":"{model}","id":"msg_{order.rng.getrandbits(64):016x}",'
        f'"role":"assistant","content":[{block}],"usage":{{"output_tokens":{index}}}}}'
    )


def _block(order: Order, step: int, call: str) -> str:
    if step == 1:
        return f'{{"type":"thinking","thinking":{order.pick(order.phrases.thoughts)},"signature":"c2ln"}}'
    if step == 3:  # noqa: PLR2004 - the fourth of six steps
        command = order.pick(order.phrases.commands)
        return f'{{"type":"tool_use","id":"{call}","name":"Bash","input":{{"command":{command}}}}}'
    return f'{{"type":"text","text":{order.pick(order.phrases.replies)}}}'


def _prompt(order: Order, index: int) -> str:
    text = order.pick(order.phrases.prompts)
    if index == 0 and order.previous and order.number % _CONTINUED_EVERY == _CONTINUED_EVERY - 1:
        return f'"[continuation_from: {order.previous}] {text[1:]}'
    return text
