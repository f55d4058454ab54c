"""A stand-in for Ollama: its endpoints for embeddings, deterministic vectors, faults on demand.

    GET  /api/version
    GET  /api/tags
    POST /api/embed        {"model", "input": text or list, "truncate", "dimensions"}
    POST /api/embeddings   {"model", "prompt"}

`python -m sandbox.ollama --port 11434` serves until it is interrupted; in tests `with OllamaStandIn() as ollama:` does.
"""

from __future__ import annotations

import argparse
import threading
from typing import TYPE_CHECKING, Any

from sandbox.stand_in import ApiError, StandIn, parse_object
from sandbox.vectors import embed

if TYPE_CHECKING:
    from sandbox.faults import Fault

VERSION = "0.12.6"
DIMENSIONS = 1024
CONTEXT_CHARACTERS = 4 * 8192  # bge-m3 takes 8,192 tokens, of about four characters each


class OllamaStandIn(StandIn):
    """Ollama as far as embeddings go.

    Args:
        port: 0 takes any free one.
        models: What `/api/tags` lists; a name without a tag means `:latest`.
        dimensions: Length of the vectors.
    """

    def __init__(self, port: int = 0, *, models: tuple[str, ...] = ("bge-m3",), dimensions: int = DIMENSIONS) -> None:
        super().__init__(port)
        self.models = tuple(_tagged(model) for model in models)
        self.dimensions = dimensions

    def answer(self, method: str, path: str, body: bytes, fault: Fault) -> object:
        """See the head of this file."""
        match method, path:
            case "GET", "/api/version":
                return {"version": VERSION}
            case "GET", "/api/tags":
                return {"models": [_describe(name) for name in self.models]}
            case "POST", "/api/embed":
                return self._embed(parse_object(body), fault.dimensions)
            case "POST", "/api/embeddings":
                return self._embed_one(parse_object(body), fault.dimensions)
        raise ApiError(404, "404 page not found")

    def _embed(self, asked: dict[str, Any], wrong_length: int) -> dict[str, Any]:
        model, given = self._model(asked), asked.get("input", [])
        texts = [given] if isinstance(given, str) else given
        if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
            raise ApiError(400, "invalid input type")
        if asked.get("truncate") is False and any(len(text) > CONTEXT_CHARACTERS for text in texts):
            raise ApiError(400, "the input length exceeds the context length")
        length = wrong_length or asked.get("dimensions") or self.dimensions
        return {
            "model": model,
            "embeddings": [embed(text[:CONTEXT_CHARACTERS], length) for text in texts],
            "total_duration": 1_000_000 * len(texts),
            "load_duration": 100_000,
            "prompt_eval_count": sum(len(text.split()) for text in texts),
        }

    def _embed_one(self, asked: dict[str, Any], wrong_length: int) -> dict[str, Any]:
        self._model(asked)
        prompt = asked.get("prompt", "")
        if not isinstance(prompt, str):
            raise ApiError(400, "invalid prompt type")
        return {"embedding": embed(prompt[:CONTEXT_CHARACTERS], wrong_length or self.dimensions) if prompt else []}

    def _model(self, asked: dict[str, Any]) -> str:
        name = asked.get("model")
        if not isinstance(name, str) or not name:
            raise ApiError(400, "model is required")
        if _tagged(name) not in self.models:
            raise ApiError(404, f'model "{name}" not found, try pulling it first')
        return name


def _tagged(model: str) -> str:
    return model if ":" in model else f"{model}:latest"


def _describe(name: str) -> dict[str, Any]:
    return {"name": name, "model": name, "modified_at": "2026-01-01T00:00:00Z", "size": 1_157_672_605, "details": {}}


def main() -> None:
    """Serve until interrupted."""
    parser = argparse.ArgumentParser(prog="python -m sandbox.ollama", description="A stand-in for Ollama.")
    parser.add_argument("--port", type=int, default=11434, help="0 takes any free one")
    parser.add_argument("--model", action="append", help="a model it has (repeatable; bge-m3)")
    parser.add_argument("--dimensions", type=int, default=DIMENSIONS, help="length of the vectors")
    asked = parser.parse_args()
    models = tuple(asked.model or ("bge-m3",))
    with OllamaStandIn(asked.port, models=models, dimensions=asked.dimensions) as stand_in:
        print(stand_in.url, flush=True)  # noqa: T201 - whoever started it reads the URL here
        try:
            threading.Event().wait()
        except KeyboardInterrupt:
            return


if __name__ == "__main__":
    main()
