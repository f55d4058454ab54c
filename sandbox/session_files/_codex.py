"""Codex: `sessions/Y/M/D/rollout-<time>-<session>.jsonl`, and `history.jsonl` with every prompt once more."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from sandbox.session_files._content import Made, Order

if TYPE_CHECKING:
    from collections.abc import Callable

_HISTORY_ONLY = 3


def write(order: Order) -> Made:
    """Write one rollout and its prompt in the history; the fourth session is in the history alone."""
    session = order.uuid()
    history = order.folder / "history.jsonl"
    if order.number == _HISTORY_ONLY:
        _append_history(order, session, order.size)
        return Made(session, [history])
    folder = order.folder / "sessions" / f"{order.start:%Y/%m/%d}"
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"rollout-{order.start:%Y-%m-%dT%H-%M-%S}-{session}.jsonl"
    path.write_text("\n".join(_lines(order, session)) + "\n", encoding="utf-8")
    _append_history(order, session, 1)
    return Made(session, [path])


def _append_history(order: Order, session: str, prompts: int) -> None:
    order.folder.mkdir(parents=True, exist_ok=True)
    with (order.folder / "history.jsonl").open("a", encoding="utf-8") as file:
        for index in range(prompts):
            text = order.pick(order.phrases.prompts)
            file.write(f'{{"session_id":"{session}","ts":{order.millis() // 1000 + index},"text":{text}}}\n')


def _lines(order: Order, session: str) -> list[str]:
    meta = (
        f'{{"id":"{session}","timestamp":"{order.iso()}","cwd":"{order.project}","originator":"codex_cli_rs",'
        '"cli_version":"0.46.0","git":{"branch":"main","repository_url":"https://example.org/atlas.git"}}'
    )
    context = f'{{"cwd":"{order.project}","approval_policy":"on-request","model":"gpt-5-codex"}}'
    out = [_line(order, "session_meta", meta), _line(order, "turn_context", context)]
    for index in range(order.size):
        out.append(_line(order, "response_item", _STEPS[index % len(_STEPS)](order, f"call_{index // 5:08d}")))
        if index % 10 == 0:
            out.append(_line(order, "event_msg", '{"type":"token_count","info":null}'))
    return out


def _line(order: Order, kind: str, payload: str) -> str:
    return f'{{"timestamp":"{order.iso()}","type":"{kind}","payload":{payload}}}'


def _user(order: Order, _call: str) -> str:
    text = order.pick(order.phrases.prompts)
    return f'{{"type":"message","role":"user","content":[{{"type":"input_text","text":{text}}}]}}'


def _reasoning(order: Order, _call: str) -> str:
    text = order.pick(order.phrases.thoughts)
    return f'{{"type":"reasoning","summary":[{{"type":"summary_text","text":{text}}}],"encrypted_content":"Z0FBQUFB"}}'


def _function_call(order: Order, call: str) -> str:
    command = json.dumps(json.dumps({"command": ["bash", "-lc", json.loads(order.pick(order.phrases.commands))]}))
    return f'{{"type":"function_call","name":"shell","arguments":{command},"call_id":"{call}"}}'


def _output(order: Order, call: str) -> str:
    return f'{{"type":"function_call_output","call_id":"{call}","output":{order.pick(order.phrases.outputs)}}}'


def _assistant(order: Order, _call: str) -> str:
    text = order.pick(order.phrases.replies)
    return f'{{"type":"message","role":"assistant","content":[{{"type":"output_text","text":{text}}}]}}'


_STEPS: tuple[Callable[[Order, str], str], ...] = (_user, _reasoning, _function_call, _output, _assistant)
