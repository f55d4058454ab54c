"""A language model and its embeddings, behind any OpenAI-compatible API, through the `openai` client.

Errors say whose fault it was, and are Callboard's, so that the engine knows what to do with them:

    TransientError        the API is down, slow, overloaded (429), or answers what cannot be understood
    +-- BreakerOpen         it failed so often that it is left alone for a while; nothing was asked
    PermanentError        the answer will not change by asking again
    +-- ModelMissing        the API does not have the model
    +-- InputRefused        this text is at fault, others may be fine: too long, or against the rules
    +-- OutOfQuota          the account behind the key has nothing left to spend
    +-- BudgetSpent         the tenant has: nothing was asked
    AuthenticationError   the key is missing or refused

Tokens are counted for the run as soon as an answer is there, whatever becomes of it; against the tenant's budget before
it, see budget.py.
"""

from __future__ import annotations

from contextlib import contextmanager
from functools import cached_property
from typing import TYPE_CHECKING, Self, TypeVar
from urllib.parse import urlsplit

from pydantic import BaseModel, ValidationError

from actors.memory.budget import Spending, spending
from actors.memory.clients._model_answers import BadAnswer, completion_of, vectors_of
from actors.memory.clients._model_errors import InputRefused, ModelMissing, OutOfQuota, translated
from callboard import AuthenticationError, BreakerOpen, breaker, current_run

if TYPE_CHECKING:
    from array import array
    from collections.abc import Iterator, Sequence
    from types import TracebackType
    from uuid import UUID

    from openai import OpenAI
    from openai.types.shared_params import ResponseFormatJSONSchema

    from actors.memory.settings import MemorySettings

__all__ = ["InputRefused", "Model", "ModelMissing", "OutOfQuota", "fails_for_all"]

Answer = TypeVar("Answer", bound=BaseModel)

_CONNECT_SECONDS = 5.0


class Model:
    """Keeps connections open for the `with` block, from the first call on; may be used by several threads."""

    def __init__(self, settings: MemorySettings) -> None:
        self._settings = settings
        self._host = urlsplit(settings.model_url).netloc.rpartition("@")[2]

    @classmethod
    def of(cls, settings: MemorySettings) -> Self:
        """A model as the settings say; whether they hold a key is asked by the first call."""
        return cls(settings)

    @cached_property
    def _api(self) -> OpenAI:
        key = self._settings.model_key
        if key is None:
            raise AuthenticationError(
                "No key for the language model: set CALLBOARD_MEMORY_MODEL_KEY, and CALLBOARD_MEMORY_MODEL_URL if it "
                f"is not at {self._settings.model_url}."
            )
        return _client(self._settings.model_url, key.get_secret_value(), self._settings.model_timeout_seconds)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if "_api" in vars(self):
            self._api.close()

    def chat(self, system: str, user: str, *, schema: type[Answer], category: str, tenant_id: UUID) -> Answer:
        """The model's answer, as the schema has it. Outside of any transaction: it may take a minute.

        Args:
            system: What it shall do.
            user: What it shall do it with.
            schema: A model with `extra="forbid"` and no optional fields, as strict structured output asks for.
            category: What the tokens are counted as.
            tenant_id: Whose budget pays.

        Raises:
            TransientError, PermanentError, AuthenticationError: See the head of this file.
        """
        with self._asking("chat", tenant_id, system, user) as call:
            answer = self._api.chat.completions.with_raw_response.create(
                model=self._settings.chat_model,
                messages=[{"role": "system", "content": system}, {"role": "user", "content": user}],
                response_format=_format(schema),
                extra_headers=_headers(),
            )
            found = completion_of(answer)
            _count(call, category, self._settings.chat_model, found.prompt, found.completion)
        try:
            return schema.model_validate_json(found.text())
        except ValidationError as error:
            raise BadAnswer(f"a {schema.__name__}", f"{error.error_count()} fields do not fit") from None

    def embed(self, texts: Sequence[str], *, tenant_id: UUID, category: str = "embedding") -> list[array[float]]:
        """One vector of 32-bit floats for each text, in order; one request for every `embed_batch` of them.

        Raises:
            TransientError, PermanentError, AuthenticationError: See the head of this file.
        """
        size = self._settings.embed_batch
        parts = [texts[at : at + size] for at in range(0, len(texts), size)]
        return [vector for part in parts for vector in self._embed(part, tenant_id, category)]

    def _embed(self, texts: Sequence[str], tenant_id: UUID, category: str) -> list[array[float]]:
        model, dimensions = self._settings.embedding_model, self._settings.embedding_dimensions
        with self._asking("embeddings", tenant_id, *texts) as call:
            answer = self._api.embeddings.with_raw_response.create(
                model=model,
                input=list(texts),
                dimensions=dimensions,
                encoding_format="base64",
                extra_headers=_headers(),
            )
            found = vectors_of(answer, count=len(texts), dimensions=dimensions)
            _count(call, category, model, found.prompt, 0)
            return found.vectors

    @contextmanager
    def _asking(self, what: str, tenant_id: UUID, *prompts: str) -> Iterator[Spending]:
        """Around one call: the budget, the breaker, our errors out of it."""
        with (
            spending(tenant_id, *prompts) as call,
            breaker(f"model:{self._host}/{what}"),
            translated(self._settings),
        ):
            yield call


def _count(call: Spending, category: str, model: str, prompt: int, completion: int) -> None:
    current_run().tokens(category, model=model, prompt=prompt, completion=completion)
    call.tokens = prompt + completion


def fails_for_all(error: Exception) -> bool:
    """Whether the model will not work for any other text either, so that a run should end here."""
    return isinstance(error, BreakerOpen | OutOfQuota | ModelMissing | AuthenticationError)


def _client(url: str, key: str, timeout: float) -> OpenAI:
    from openai import OpenAI, Timeout  # noqa: PLC0415 - 20 MB that a worker without a language model does not need

    # Without retries of its own: the engine's policy, which all workers share, decides.
    return OpenAI(api_key=key, base_url=url, max_retries=0, timeout=Timeout(timeout, connect=_CONNECT_SECONDS))


def _headers() -> dict[str, str]:
    return {"X-Correlation-ID": current_run().correlation_id}


def _format(schema: type[BaseModel]) -> ResponseFormatJSONSchema:
    described = {"name": schema.__name__, "schema": schema.model_json_schema(), "strict": True}
    return {"type": "json_schema", "json_schema": described}  # type: ignore[typeddict-item]  # of just these three
