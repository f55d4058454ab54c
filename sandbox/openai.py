"""A stand-in for an OpenAI-compatible API: chat completions and embeddings, always the same for the same request.

    GET  /v1/models
    POST /v1/chat/completions   {"model", "messages", "response_format": text, json_object or json_schema}
    POST /v1/embeddings         {"model", "input": text or list, "dimensions", "encoding_format": float or base64}

Errors look as the vendor's do: {"error": {"message", "type", "param", "code"}}. A quota that is used up, which is also
a 429, is planted as a fault with an answer: `fail(status=429, answer=QUOTA)`.

`python -m sandbox.openai --port 8090` serves until it is interrupted; in tests `with OpenAIStandIn() as openai:` does.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import math
import threading
from array import array
from typing import TYPE_CHECKING, Any

from sandbox.openai_answers import SchemaError, check_schema, document, prose
from sandbox.stand_in import ApiError, StandIn, parse_object
from sandbox.vectors import embed

if TYPE_CHECKING:
    from sandbox.faults import Fault

CHAT_MODELS = ("gpt-5-mini",)
EMBEDDING_MODELS = {"text-embedding-3-small": 1536, "text-embedding-3-large": 3072}
CHAT_CONTEXT, EMBEDDING_CONTEXT = 128_000, 8192  # tokens
MOST_INPUTS = 2048
_CREATED = 1_767_225_600
_TYPES = {401: "invalid_request_error", 429: "requests", 500: "server_error", 503: "server_error"}
_CODES = {401: "invalid_api_key", 404: "model_not_found", 429: "rate_limit_exceeded"}

#: The answer, with status 429, of an account that has nothing left to spend.
QUOTA = {
    "error": {
        "message": "You exceeded your current quota, please check your plan and billing details.",
        "type": "insufficient_quota",
        "param": None,
        "code": "insufficient_quota",
    }
}


class OpenAIStandIn(StandIn):
    """The API as far as chat and embeddings go.

    Args:
        port: 0 takes any free one.
        key: The only bearer token that is let in; empty lets in any.
    """

    def __init__(self, port: int = 0, *, key: str = "") -> None:
        super().__init__(port)
        self.key = key

    @property
    def api(self) -> str:
        """What clients take as their base URL."""
        return f"{self.url}/v1"

    def answer(self, method: str, path: str, body: bytes, fault: Fault) -> object:
        """See the head of this file."""
        self._let_in()
        match method, path:
            case "GET", "/v1/models":
                names = (*CHAT_MODELS, *EMBEDDING_MODELS)
                rows = [{"id": name, "object": "model", "created": _CREATED, "owned_by": "openai"} for name in names]
                return {"object": "list", "data": rows}
            case "POST", "/v1/chat/completions":
                return _chat(parse_object(body))
            case "POST", "/v1/embeddings":
                return _embeddings(parse_object(body), fault.dimensions)
        raise ApiError(404, f"Invalid URL ({method} {path})")

    def complaint(self, error: ApiError, fault: Fault) -> object:
        """The vendor's shape of an error, or the planted one."""
        if fault.status and fault.answer is not None:
            return fault.answer
        return {
            "error": {
                "message": str(error),
                "type": _TYPES.get(error.status, "invalid_request_error"),
                "param": None,
                "code": getattr(error, "code", None) or _CODES.get(error.status),
            }
        }

    def _let_in(self) -> None:
        kind, _, token = (self.headers.get("Authorization") or "").partition(" ")
        if kind != "Bearer" or not token:
            raise ApiError(401, "You didn't provide an API key.")
        if self.key and token != self.key:
            raise ApiError(401, f"Incorrect API key provided: {token[:3]}***.")


class _Refused(ApiError):  # noqa: N818 - what it is
    """A request that the vendor refuses with a code of its own."""

    def __init__(self, message: str, code: str | None = None) -> None:
        super().__init__(400, message)
        self.code = code


# Chat


def _chat(asked: dict[str, Any]) -> dict[str, Any]:
    model = _model(asked, CHAT_MODELS)
    said = _messages(asked)
    prompt = sum(map(tokens_of, said))
    if prompt > CHAT_CONTEXT:
        raise _Refused(
            f"This model's maximum context length is {CHAT_CONTEXT} tokens. However, your messages resulted in "
            f"{prompt} tokens. Please reduce the length of the messages.",
            "context_length_exceeded",
        )
    content = _content(asked.get("response_format") or {"type": "text"}, said)
    return {
        "id": f"chatcmpl-{hashlib.sha256(content.encode()).hexdigest()[:24]}",
        "object": "chat.completion",
        "created": _CREATED,
        "model": model,
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": content, "refusal": None},
                "logprobs": None,
                "finish_reason": "stop",
            }
        ],
        "usage": _usage(prompt, tokens_of(content)),
    }


def _messages(asked: dict[str, Any]) -> list[str]:
    messages = asked.get("messages")
    if not isinstance(messages, list) or not messages:
        raise _Refused("Invalid 'messages': empty array. Expected an array with minimum length 1.")
    try:
        return [str(message["content"]) for message in messages]
    except (TypeError, KeyError):
        raise _Refused("Invalid type for 'messages[0]': expected an object with role and content.") from None


def _content(wanted: dict[str, Any], said: list[str]) -> str:
    match wanted.get("type"):
        case "text":
            return prose(said[-1])
        case "json_object":
            if not any("json" in text.lower() for text in said):
                raise _Refused(
                    "'messages' must contain the word 'json' in some form, to use 'response_format' of type "
                    "'json_object'."
                )
            return document({"type": "object", "properties": {"answer": {"type": "string"}}}, said[-1])
        case "json_schema":
            return _by_schema(wanted.get("json_schema") or {}, said[-1])
    raise _Refused(
        f"Invalid value: {wanted.get('type')!r}. Supported values are: 'json_object', 'json_schema', 'text'."
    )


def _by_schema(wanted: dict[str, Any], said: str) -> str:
    if not isinstance(wanted.get("name"), str) or not isinstance(wanted.get("schema"), dict):
        raise _Refused("Missing required parameter: 'response_format.json_schema.name' or '.schema'.")
    try:
        check_schema(wanted["schema"], strict=bool(wanted.get("strict")))
    except SchemaError as error:
        raise _Refused(f"Invalid schema for response_format '{wanted['name']}': {error}") from None
    return document(wanted["schema"], said)


# Embeddings


def _embeddings(asked: dict[str, Any], wrong_length: int) -> dict[str, Any]:
    model, texts = _model(asked, EMBEDDING_MODELS), _inputs(asked.get("input"))
    length = wrong_length or _dimensions(asked.get("dimensions"), EMBEDDING_MODELS[model])
    coded = asked.get("encoding_format", "float") == "base64"
    vectors = [embed(text, length) for text in texts]
    rows = [
        {"object": "embedding", "index": number, "embedding": _base64(vector) if coded else vector}
        for number, vector in enumerate(vectors)
    ]
    used = sum(map(tokens_of, texts))
    # Callers must sort by the index, so the order is the wrong one whenever it can be.
    return {
        "object": "list",
        "data": rows[::-1],
        "model": model,
        "usage": {"prompt_tokens": used, "total_tokens": used},
    }


def _inputs(given: object) -> list[str]:
    texts = [given] if isinstance(given, str) else given
    if not isinstance(texts, list) or not texts or not all(isinstance(text, str) and text for text in texts):
        raise _Refused("'$.input' is invalid. Please check the API reference.")
    if len(texts) > MOST_INPUTS:
        raise _Refused(f"Invalid 'input': array too long. Expected an array with maximum length {MOST_INPUTS}.")
    longest = max(map(tokens_of, texts))
    if longest > EMBEDDING_CONTEXT:
        raise _Refused(
            f"This model's maximum context length is {EMBEDDING_CONTEXT} tokens, however you requested {longest} "
            "tokens. Please reduce your prompt."
        )
    return texts


def _dimensions(asked: object, own: int) -> int:
    if asked is None:
        return own
    if not isinstance(asked, int) or not 1 <= asked <= own:
        raise _Refused(f"Invalid value for 'dimensions' = {asked}. Must be less than or equal to {own}.")
    return asked


def _base64(vector: list[float]) -> str:
    return base64.b64encode(array("f", vector).tobytes()).decode()


def _model(asked: dict[str, Any], known: tuple[str, ...] | dict[str, int]) -> str:
    name = asked.get("model")
    if not isinstance(name, str) or not name:
        raise _Refused("you must provide a model parameter")
    if name not in known:
        raise ApiError(404, f"The model `{name}` does not exist or you do not have access to it.")
    return name


def tokens_of(text: str) -> int:
    """The vendor's rule of thumb: four characters of English are a token."""
    return math.ceil(len(text) / 4)


def _usage(prompt: int, completion: int) -> dict[str, int]:
    return {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}


def main() -> None:
    """Serve until interrupted."""
    parser = argparse.ArgumentParser(prog="python -m sandbox.openai", description="A stand-in for OpenAI's API.")
    parser.add_argument("--port", type=int, default=8090, help="0 takes any free one")
    parser.add_argument("--key", default="", help="the only key that is let in (any)")
    asked = parser.parse_args()
    with OpenAIStandIn(asked.port, key=asked.key) as stand_in:
        print(stand_in.api, flush=True)  # noqa: T201 - whoever started it reads the URL here
        try:
            threading.Event().wait()
        except KeyboardInterrupt:
            return


if __name__ == "__main__":
    main()
