"""Pinned requests: connections that are kept, and errors that tell no more of a URL than its host."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import closing

import pytest

from callboard import HttpAnswer, NotPublic, PermanentError, TransientError, post_pinned
from callboard.outside import close_idle
from tests.support import free_port


class Server:
    """Answers each request with 200 and the number of its connection; drops a connection after `most` answers."""

    def __init__(self, most: int = 100, answer: bytes = b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n%d") -> None:
        self._most, self._answer = most, answer
        self._socket = socket.create_server(("127.0.0.1", 0))
        self._peers: list[socket.socket] = []
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}/secret-path?token=hunter2"
        self.heard: list[bytes] = []
        self._thread = threading.Thread(target=self._accept)
        self._thread.start()

    def _accept(self) -> None:
        while True:
            try:
                peer, _ = self._socket.accept()
            except OSError:
                return
            self._peers.append(peer)
            self._serve(peer, len(self._peers))

    def _serve(self, peer: socket.socket, number: int) -> None:
        with peer:
            for _ in range(self._most):
                heard = b""
                while not heard.endswith(b"{}"):
                    part = peer.recv(65_536)
                    if not part:
                        return
                    heard += part
                self.heard.append(heard)
                peer.sendall(self._answer % number if b"%d" in self._answer else self._answer)

    def close(self) -> None:
        close_idle()
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self._thread.join(10)


@pytest.fixture(autouse=True)
def _no_connection_of_before() -> Iterator[None]:
    close_idle()
    yield
    close_idle()


def post(server: Server, *, keep_alive: bool = True) -> HttpAnswer:
    return post_pinned(server.url, b"{}", {"X-One": "1"}, allow_private=True, keep_alive=keep_alive)


def test_a_connection_is_used_again() -> None:
    with closing(Server()) as server:
        assert [post(server).body for _ in range(3)] == [b"1", b"1", b"1"]


def test_one_that_the_server_has_closed_is_replaced() -> None:
    with closing(Server(most=1)) as server:
        assert [post(server).body for _ in range(3)] == [b"1", b"2", b"3"]


def test_who_asks_for_no_connection_to_be_kept_gets_a_new_one_each_time() -> None:
    with closing(Server(most=1)) as server:
        assert [post(server, keep_alive=False).body for _ in range(2)] == [b"1", b"2"]
        assert all(b"Connection: close" in heard for heard in server.heard)


def test_what_the_server_will_close_is_not_kept() -> None:
    answer = b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 1\r\n\r\n%d"
    with closing(Server(most=1, answer=answer)) as server:
        assert [post(server).body for _ in range(2)] == [b"1", b"2"]


def test_an_answer_is_read_only_so_far() -> None:
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n" + b"x" * 100_000
    with closing(Server(most=1, answer=answer)) as server:
        assert len(post(server).body) == 65_536
        assert post(server).status == 200


@pytest.mark.parametrize("answer", [b"nonsense\r\n\r\n", b""])
def test_what_is_no_answer_passes_and_tells_no_more_than_the_host(answer: bytes) -> None:
    with closing(Server(most=1, answer=answer)) as server:
        with pytest.raises(TransientError, match=r"127\.0\.0\.1 cannot be reached") as raised:
            post(server)
        assert not any(word in str(raised.value) for word in ("hunter2", "secret-path"))


@pytest.mark.parametrize("url", ["ftp://example.org/x", "https://", "http://example.org:99999/", "nonsense"])
def test_what_is_no_url_is_refused(url: str) -> None:
    with pytest.raises(PermanentError, match="A URL to call must"):
        post_pinned(url, b"{}", {})


def test_an_address_of_the_own_network_is_refused_before_anything_is_sent() -> None:
    with pytest.raises(NotPublic, match=r"localhost is .*127\.0\.0\.1.*, which is no public address"):
        post_pinned(f"http://localhost:{free_port()}/", b"{}", {})
