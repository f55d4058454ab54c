"""What the stand-in for OpenAI says: texts made of the words it was given, and JSON that fits the schema asked for."""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from typing import Any

_WORD = re.compile(r"[^\W\d_]{3,}")
_WORDS_PER_TEXT = 12


class SchemaError(Exception):
    """A schema is none, or breaks the rules of strict mode."""


def prose(prompt: str, seed: str = "") -> str:
    """A sentence of the prompt's commonest words; another one for another seed."""
    common = [word for word, _ in Counter(_WORD.findall(prompt.lower())).most_common(4 * _WORDS_PER_TEXT)]
    chosen = sorted(common, key=lambda word: hashlib.sha256(f"{seed}{word}".encode()).digest())[:_WORDS_PER_TEXT]
    return f"In short: {' '.join(chosen) or 'nothing'}."


def document(schema: dict[str, Any], prompt: str) -> str:
    """JSON that fits the schema."""
    return json.dumps(_value(schema, prompt, "", schema.get("$defs", {})))


def check_schema(schema: dict[str, Any], *, strict: bool) -> None:
    """Refuse what the vendor refuses.

    Raises:
        SchemaError: Says where and why.
    """
    if schema.get("type") != "object":
        raise SchemaError(f"schema must be a JSON Schema of 'type: \"object\"', got 'type: \"{schema.get('type')}\"'.")
    if strict:
        for place, found in [((), schema), *((("$defs", name), one) for name, one in schema.get("$defs", {}).items())]:
            _check_strict(found, place)


def _check_strict(schema: dict[str, Any], place: tuple[str, ...]) -> None:
    properties = schema.get("properties", {})
    if schema.get("type") == "object":
        if schema.get("additionalProperties") is not False:
            raise SchemaError(f"In context={place}, 'additionalProperties' is required to be supplied and to be false.")
        missing = sorted(set(properties) - set(schema.get("required", [])))
        if missing:
            raise SchemaError(
                f"In context={place}, 'required' is required to be supplied and to be an array including every key "
                f"in properties. Missing '{missing[0]}'."
            )
    for name, each in properties.items():
        _check_strict(each, (*place, "properties", name))
    if isinstance(schema.get("items"), dict):
        _check_strict(schema["items"], (*place, "items"))


def _value(schema: dict[str, Any], prompt: str, seed: str, defs: dict[str, Any]) -> Any:  # noqa: ANN401 - any JSON value
    if "$ref" in schema:
        return _value(defs[schema["$ref"].rpartition("/")[2]], prompt, seed, defs)
    match schema.get("type"):
        case "object":
            items = schema.get("properties", {}).items()
            return {name: _value(each, prompt, f"{seed}.{name}", defs) for name, each in items}
        case "array":
            count = max(schema.get("minItems", 2), min(2, schema.get("maxItems", 2)))
            return [_value(schema["items"], prompt, f"{seed}[{number}]", defs) for number in range(count)]
    return _scalar(schema, prompt, seed)


def _scalar(schema: dict[str, Any], prompt: str, seed: str) -> object:
    number = int.from_bytes(hashlib.sha256(f"{prompt}{seed}".encode()).digest()[:4], "big")
    if "enum" in schema:
        return schema["enum"][number % len(schema["enum"])]
    match schema.get("type"):
        case "string":
            return prose(prompt, seed)[: schema.get("maxLength")]
        case "boolean":
            return bool(number % 2)
        case "number" | "integer":
            return schema.get("minimum", 0)
    return None
