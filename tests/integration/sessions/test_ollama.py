from __future__ import annotations

import json
import subprocess
import sys
import urllib.request
from contextlib import closing
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from actors.sessions.clients.ollama import InputRefused, ModelMissing, OllamaClient
from callboard import AuthenticationError, PermanentError, TransientError
from callboard.retry import retry_after
from sandbox.ollama import OllamaStandIn
from sandbox.vectors import embed

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def stand_in() -> Iterator[OllamaStandIn]:
    with OllamaStandIn() as ollama:
        yield ollama


@pytest.fixture
def client(stand_in: OllamaStandIn) -> Iterator[OllamaClient]:
    with client_for(stand_in.url) as made:
        yield made


def client_for(url: str, model: str = "bge-m3", timeout: float = 5) -> OllamaClient:
    return OllamaClient(url, model, dimensions=1024, timeout=timeout)


def test_one_vector_for_each_text_in_order(client: OllamaClient) -> None:
    vectors = client.embed(["the cat", "a dog", "é\u2028ß"])
    assert [list(vector) for vector in vectors] == [
        pytest.approx(embed(text, 1024), abs=1e-6) for text in ("the cat", "a dog", "é\u2028ß")
    ]


def test_no_texts_no_vectors(client: OllamaClient) -> None:
    assert client.embed([]) == []


def test_the_models_there_are(client: OllamaClient) -> None:
    assert client.models() == ["bge-m3:latest"]
    client.require_model()


@pytest.mark.parametrize("model", ["bge-m4", "bge-m3:567m"])
def test_a_missing_model_names_the_mend(stand_in: OllamaStandIn, model: str) -> None:
    with client_for(stand_in.url, model) as client:
        for ask in (client.require_model, lambda: client.embed(["x"])):
            with pytest.raises(ModelMissing, match=f"ollama pull {model}"):
                ask()


def test_nobody_there_is_transient_and_names_the_mend(stand_in: OllamaStandIn, client: OllamaClient) -> None:
    stand_in.stop()
    with pytest.raises(TransientError, match=r"cannot be reached .* `ollama serve`"):
        client.embed(["x"])


@pytest.mark.parametrize(
    ("fault", "kind", "complaint"),
    [
        ({"status": 500}, TransientError, "answered 500: .*planted fault"),
        ({"status": 502}, TransientError, "answered 502"),
        ({"status": 429}, TransientError, "answered 429"),
        ({"status": 408}, TransientError, "answered 408"),
        ({"status": 400}, InputRefused, "answered 400"),
        ({"status": 413}, InputRefused, "answered 413"),
        ({"status": 401}, AuthenticationError, "answered 401"),
        ({"status": 404}, PermanentError, "answered 404.*lead elsewhere"),
        ({"status": 301}, PermanentError, "answered 301.*lead elsewhere"),
        ({"reset": True}, TransientError, "cannot be reached"),
        ({"malformed": True}, TransientError, "broken JSON"),
        ({"dimensions": 3}, PermanentError, "3 dimensions, 1024 are expected: set CALLBOARD_SESSIONS_OLLAMA_MODEL"),
    ],
)
def test_failures_say_whose_fault_it_is(
    stand_in: OllamaStandIn, client: OllamaClient, fault: dict[str, Any], kind: type[Exception], complaint: str
) -> None:
    stand_in.fail(**fault)
    with pytest.raises(kind, match=complaint) as raised:
        client.embed(["x"])
    assert type(raised.value) is kind
    assert len(client.embed(["x"])) == 1, "one failure breaks the client"


def test_a_slow_answer_is_transient(stand_in: OllamaStandIn) -> None:
    stand_in.fail(delay=30)
    with client_for(stand_in.url, timeout=0.2) as client, pytest.raises(TransientError, match="ReadTimeout"):
        client.embed(["x"])


def test_what_ollama_asks_us_to_wait_reaches_the_engine(stand_in: OllamaStandIn, client: OllamaClient) -> None:
    stand_in.fail(status=429, retry_after=17)
    with pytest.raises(TransientError) as raised:
        client.embed(["x"])
    assert retry_after(raised.value) == 17


@pytest.mark.parametrize(
    ("answer", "kind", "complaint"),
    [
        ([], TransientError, "something else than an object"),
        ({}, TransientError, "something else than 1 vectors"),
        ({"embeddings": [[1.0], [2.0]]}, TransientError, "something else than 1 vectors"),
        ({"embeddings": ["vector"]}, TransientError, "something else than vectors of numbers"),
        ({"embeddings": [[0.0] * 1024]}, InputRefused, "no direction"),
        ({"embeddings": [[1e300] * 1024]}, InputRefused, "no direction"),
    ],
)
def test_an_answer_of_another_shape_is_not_taken(
    stand_in: OllamaStandIn, client: OllamaClient, answer: object, kind: type[Exception], complaint: str
) -> None:
    stand_in.fail(answer=answer)
    with pytest.raises(kind, match=complaint):
        client.embed(["x"])


def test_tags_of_another_shape_are_not_taken(stand_in: OllamaStandIn, client: OllamaClient) -> None:
    stand_in.fail(answer={"models": [{}]})
    with pytest.raises(TransientError, match="something else than a list of models"):
        client.require_model()


def test_credentials_of_the_url_are_not_shown(stand_in: OllamaStandIn) -> None:
    stand_in.fail(status=401)
    url = stand_in.url.replace("http://", "http://me:secret@")
    with client_for(url) as client, pytest.raises(AuthenticationError) as raised:
        client.embed(["x"])
    assert "secret" not in str(raised.value)


class TestStandIn:
    """What the real server does beyond what our client asks for."""

    @pytest.fixture
    def http(self, stand_in: OllamaStandIn) -> Iterator[httpx.Client]:
        with httpx.Client(base_url=stand_in.url) as client:
            yield client

    def test_version_and_unknown_paths(self, http: httpx.Client) -> None:
        assert set(http.get("/api/version").json()) == {"version"}
        assert http.get("/api/nothing").status_code == 404

    def test_input_may_be_one_text(self, http: httpx.Client) -> None:
        answer = http.post("/api/embed", json={"model": "bge-m3", "input": "one", "dimensions": 8}).json()
        assert answer["embeddings"] == [embed("one", 8)]
        assert answer["prompt_eval_count"] == 1

    def test_the_old_endpoint_gives_the_same_vector(self, http: httpx.Client) -> None:
        answer = http.post("/api/embeddings", json={"model": "bge-m3:latest", "prompt": "one"}).json()
        assert answer == {"embedding": embed("one", 1024)}
        assert http.post("/api/embeddings", json={"model": "bge-m3", "prompt": ""}).json() == {"embedding": []}

    @pytest.mark.parametrize(
        ("path", "body", "complaint"),
        [
            ("/api/embed", {"input": "x"}, "model is required"),
            ("/api/embed", {"model": "bge-m3", "input": [1]}, "invalid input type"),
            ("/api/embed", {"model": "bge-m3", "input": "x" * 40_000, "truncate": False}, "exceeds the context"),
            ("/api/embeddings", {"model": "bge-m3", "prompt": 1}, "invalid prompt type"),
            ("/api/embed", [], "a JSON object is expected"),
        ],
    )
    def test_wrong_requests_get_400(self, http: httpx.Client, path: str, body: object, complaint: str) -> None:
        answer = http.post(path, json=body)
        assert answer.status_code == 400
        assert complaint in answer.json()["error"]

    def test_broken_json_gets_400(self, http: httpx.Client) -> None:
        assert http.post("/api/embed", content=b"{").status_code == 400

    def test_faults_come_and_go_over_http(self, http: httpx.Client) -> None:
        planted = http.post("/_sandbox/faults", json={"status": 503, "times": 2, "contains": "poison"}).json()
        assert [(fault["status"], fault["times"]) for fault in planted] == [(503, 2)]
        ask = {"model": "bge-m3", "input": "poison"}
        assert http.post("/api/embed", json={**ask, "input": "x"}).status_code == 200
        assert [http.post("/api/embed", json=ask).status_code for _ in range(3)] == [503, 503, 200]
        http.post("/_sandbox/faults", json={"status": 500, "times": None})
        assert http.get("/api/tags").status_code == 500
        assert http.delete("/_sandbox/faults").json() == []
        assert http.get("/api/tags").status_code == 200
        assert {"path": "/api/tags", "bytes": 0} in http.get("/_sandbox/requests").json()

    def test_an_unknown_fault_is_refused(self, http: httpx.Client) -> None:
        answer = http.post("/_sandbox/faults", json={"statu": 500})
        assert answer.status_code == 400
        assert answer.json()["error"].startswith("unknown field 'statu'; a fault has answer, contains")
        assert http.get("/_sandbox/nothing").status_code == 404

    def test_the_command_prints_where_it_serves(self) -> None:
        command = [sys.executable, "-m", "sandbox.ollama", "--port", "0", "--model", "tiny", "--dimensions", "4"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            url = process.stdout.readline().strip()
            with closing(urllib.request.urlopen(f"{url}/api/tags")) as answer:  # noqa: S310 - our own process
                assert json.load(answer)["models"][0]["name"] == "tiny:latest"
            process.terminate()
