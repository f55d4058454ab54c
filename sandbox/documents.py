"""What the stand-ins for providers of documents share: the documents, who may read them, and how they misbehave.

    POST /_sandbox/documents   put one: {"id", "title", "text", "kind"}; {"id", "deleted": true} deletes it
    GET  /_sandbox/documents   ids, titles and the number of each one's last change
    POST /_sandbox/mode        {"endless": true}: there is always a next page; {"stuck": true}: always the same one;
                               {"expired": true}: no cursor that was given out so far is good any more

Providers with OAuth also answer `POST /token` with `grant_type=refresh_token`.
"""

from __future__ import annotations

import secrets
import sys
import threading
from abc import abstractmethod
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

from sandbox.alert_receiver import options, until_stopped
from sandbox.stand_in import ApiError, Reply, StandIn, parse_object

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from sandbox.faults import Fault

_SAMPLES = (
    ("Deploy freeze before the holidays", "No deploys from 20 December to 2 January; hotfixes need two reviewers."),
    ("Support hours", "First line answers from 08:00 to 18:00 Berlin time, second line is on call at night."),
    ("Retention of customer data", "Customer records are kept for ten years, support tickets for two."),
    ("Search is slow for large tenants", "Queries over 500,000 rows take four seconds; an index on tenant_id helps."),
)


class VendorError(ApiError):
    """An error with the word that the vendor has for it."""

    def __init__(self, status: int, code: str, message: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(status, message)
        self.code = code
        self.headers = dict(headers or {})


@dataclass(frozen=True, slots=True)
class Document:
    """One document; `changed` numbers the changes of all documents, `raw` is answered in its place if it is set."""

    id: str
    title: str = ""
    text: str = ""
    kind: str = ""
    edited: datetime = field(default_factory=lambda: datetime.now(UTC))
    changed: int = 0
    deleted: bool = False
    raw: Any = None


class DocumentStandIn(StandIn):
    """A provider of documents.

    Args:
        port: 0 takes any free one.
        host: Address to listen on.
        token: The access token that is good from the start.
    """

    def __init__(self, port: int = 0, *, host: str = "127.0.0.1", token: str = "access-0") -> None:  # noqa: S107 - a stand-in's
        super().__init__(port, host=host)
        self.tokens, self.refresh_tokens = {token}, {"refresh-0"}
        self.rotates = False  #: a refresh token is good once, and a new one comes with the answer
        self.expires_in = 3600
        self.endless = self.stuck = False
        self.generation = 1  #: cursors of an older one are expired
        self._documents: dict[str, Document] = {}
        self._changes = 0
        self._lock = threading.Lock()

    def put(self, id: str, title: str = "", text: str = "", **more: Any) -> Document:  # noqa: A002, ANN401 - as Document
        """Make or change a document."""
        with self._lock:
            self._changes += 1
            made = Document(id, title, text, changed=self._changes, **more)
            self._documents[id] = made
        return made

    def delete(self, id: str) -> None:  # noqa: A002 - as Document
        """Delete a document; that is a change too.

        Raises:
            KeyError: There is none of that id.
        """
        with self._lock:
            self._changes += 1
            gone = replace(self._documents[id], deleted=True, changed=self._changes, edited=datetime.now(UTC))
            self._documents[id] = gone

    def fill(self, number: int) -> None:
        """Put so many believable documents, each changed a minute after the one before, the last one now."""
        now = datetime.now(UTC)
        for n in range(number):
            title, text = _SAMPLES[n % len(_SAMPLES)]
            self.put(str(n + 1), f"{title} ({n + 1})", text, edited=now - timedelta(minutes=number - n - 1))

    def expire(self) -> None:
        """No cursor that was given out so far is good any more."""
        self.generation += 1

    @property
    def changes(self) -> int:
        """How many changes there were."""
        with self._lock:
            return self._changes

    def document(self, id: str) -> Document | None:  # noqa: A002 - as Document
        """One of them, deleted or not."""
        with self._lock:
            return self._documents.get(id)

    def documents(self, *, since: int = 0, deleted: bool = False) -> list[Document]:
        """Those that changed after `since`, in the order of their last changes."""
        with self._lock:
            found = [one for one in self._documents.values() if one.changed > since and (deleted or not one.deleted)]
        return sorted(found, key=lambda one: one.changed)

    @abstractmethod
    def serve(self, method: str, path: str, query: dict[str, str], body: bytes) -> object:
        """The answer to a request whose token is good."""

    @abstractmethod
    def error(self, status: int, code: str, message: str) -> object:
        """The vendor's document of an error; `code` is empty for a planted fault."""

    def answer(self, method: str, path: str, body: bytes, fault: Fault) -> object:  # noqa: ARG002 - StandIn's signature
        """See the head of this file."""
        url = urlsplit(path)
        if (method, url.path) == ("POST", "/token"):
            return self._renewed({name: values[0] for name, values in parse_qs(body.decode()).items()})
        try:
            self._require_token()
            query = {name: values[0] for name, values in parse_qs(url.query, keep_blank_values=True).items()}
            return self.serve(method, url.path, query, body)
        except VendorError as error:
            return Reply(self.error(error.status, error.code, str(error)), error.status, error.headers)

    def complaint(self, error: ApiError, fault: Fault) -> object:  # noqa: ARG002 - StandIn's signature
        """A planted fault looks like the vendor's own."""
        return self.error(error.status, "", str(error))

    def control(self, method: str, path: str, body: bytes) -> object:
        """Documents and modes, besides what every stand-in has."""
        match method, path:
            case "GET", "/_sandbox/documents":
                shown = ("id", "title", "changed", "deleted")
                return [{name: asdict(one)[name] for name in shown} for one in self.documents(deleted=True)]
            case "POST", "/_sandbox/documents":
                return self._taken(parse_object(body))
            case "POST", "/_sandbox/mode":
                asked = parse_object(body)
                self.endless, self.stuck = bool(asked.get("endless")), bool(asked.get("stuck"))
                if asked.get("expired"):
                    self.expire()
                return {"endless": self.endless, "stuck": self.stuck}
        return super().control(method, path, body)

    def _taken(self, asked: dict[str, Any]) -> object:
        known = {"id", "title", "text", "kind", "deleted"}
        if "id" not in asked or set(asked) - known:
            raise ApiError(400, f"a document has an id, and of {', '.join(sorted(known))} what it needs")
        if not asked.pop("deleted", False):
            return {"changed": self.put(**asked).changed}
        if self.document(str(asked["id"])) is None:
            raise ApiError(404, f"no document {asked['id']!r}")
        self.delete(str(asked["id"]))
        return {"changed": self.changes}

    def _require_token(self) -> None:
        scheme, _, token = str(self.headers.get("Authorization", "")).partition(" ")
        if scheme.lower() != "bearer" or token not in self.tokens:
            raise VendorError(401, "unauthorized", "Bad credentials")

    def _renewed(self, form: dict[str, str]) -> object:
        """RFC 6749, section 6."""
        if form.get("grant_type") != "refresh_token" or not form.get("client_id"):
            return _refused("invalid_request", "grant_type=refresh_token and a client_id are needed")
        given = form.get("refresh_token", "")
        if given not in self.refresh_tokens:
            return _refused("invalid_grant", "Token has been expired or revoked.")
        answer = {"access_token": secrets.token_urlsafe(12), "expires_in": self.expires_in, "token_type": "Bearer"}
        self.tokens.add(str(answer["access_token"]))
        if self.rotates:
            answer["refresh_token"] = secrets.token_urlsafe(12)
            self.refresh_tokens = {str(answer["refresh_token"])}
        return answer


def _refused(code: str, description: str) -> Reply:
    return Reply({"error": code, "error_description": description}, 400)


def number(query: Mapping[str, str], name: str, default: int, most: int) -> int:
    """A parameter from 1 to `most`; what is out of it is brought in, as the vendors do."""
    given = query.get(name, "")
    return max(1, min(int(given), most)) if given.isdigit() else default


def command(make: Callable[..., DocumentStandIn], what: str, port: int, arguments: Sequence[str] | None = None) -> int:
    """`python -m sandbox.<provider>`: serve until SIGTERM."""
    parser = options(what, port)
    parser.add_argument("--documents", type=int, default=12, help="how many it has (12)")
    parser.add_argument("--token", default="access-0", help="an access token that is good (access-0)")
    given = parser.parse_args(arguments)
    stopping = until_stopped()
    with make(given.port, host=given.host, token=given.token) as stand_in:
        stand_in.fill(given.documents)
        sys.stdout.write(f"{stand_in.url}\n")
        sys.stdout.flush()
        stopping.wait()
    return 0
