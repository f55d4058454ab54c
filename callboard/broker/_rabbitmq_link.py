"""Connections to RabbitMQ: each with one channel and a thread of its own, because pika's are not thread-safe.

A `Session` is one connection from its opening to its end; nothing of it is used again afterwards. A `Link` gives the
session that is open, or opens the next one. An error of the channel ends the session too: whoever waits is told, and
the next session begins from nothing.
"""

from __future__ import annotations

import itertools
import logging
import os
import random
import threading
import time
from concurrent.futures import Future
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final, TypeVar

import pika
from dramatiq.errors import ConnectionClosed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from pika.channel import Channel

T = TypeVar("T")

#: Seconds after which a silent server is treated as away: for connecting, and for any answer.
CONNECT_SECONDS: Final = 5.0
ANSWER_SECONDS: Final = 30.0
_FIRST_PAUSE, _LONGEST_PAUSE = 0.1, 5.0


def parameters_of(url: str, *, heartbeat: float, name: str) -> list[pika.URLParameters]:
    """What pika needs to connect; several URLs, of the nodes of one cluster, are separated by `;`.

    Args:
        url: `amqp://` or `amqps://`, with pika's options in its query.
        heartbeat: Seconds of silence that both sides bear, unless the URL sets it.
        name: Of the connection, for the management screens.
    """
    found = [pika.URLParameters(part.strip()) for part in url.split(";")]
    for parameters in found:
        parameters.client_properties = {"connection_name": name, **(parameters.client_properties or {})}
        parameters.socket_timeout = parameters.stack_timeout = CONNECT_SECONDS
        if parameters.heartbeat is None:
            parameters.heartbeat = max(round(heartbeat), 1)
        if parameters.blocked_connection_timeout is None:
            parameters.blocked_connection_timeout = ANSWER_SECONDS
    return found


class Session:
    """One connection and its channel.

    Args:
        parameters: Where to.
    """

    def __init__(self, parameters: pika.URLParameters) -> None:
        self.reason: BaseException | None = None
        self.ended: Future[None] = Future()
        self._channel: Future[Channel] = Future()
        self._pending: set[Future[Any]] = {self._channel}
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._serve, args=(parameters,), name="rabbitmq", daemon=True)
        self._thread.start()

    def opened(self) -> Session:
        """Itself, once it is open.

        Raises:
            ConnectionClosed: It could not be opened.
        """
        result_of(self._channel, self, 2 * CONNECT_SECONDS)
        return self

    def ask(self, act: Callable[[Channel, Future[T]], None]) -> Future[T]:
        """Call `act` in the connection's thread with a future for it to resolve, which fails if the session ends.

        Raises:
            ConnectionClosed: The session has ended.
        """
        answer: Future[T] = Future()
        with self._lock:
            if self.reason is not None:
                raise ConnectionClosed(self.reason)
            self._pending.add(answer)
            self._connection.ioloop.add_callback_threadsafe(lambda: self._perform(act, answer))
        answer.add_done_callback(self._pending.discard)
        return answer

    def post(self, act: Callable[[Channel], None]) -> None:
        """Call `act` in the connection's thread, and do not wait; nothing happens if the session has ended."""

        def perform(channel: Channel, answer: Future[None]) -> None:
            try:
                act(channel)
            except Exception as error:  # noqa: BLE001 - nobody waits for it, so the next one who asks is told
                self.abandon(error)
            else:
                answer.set_result(None)

        with suppress(ConnectionClosed):
            self.ask(perform)

    def close(self) -> None:
        """Send what is still to be sent, and end."""
        self.post(lambda _: self._connection.close())
        self._thread.join(CONNECT_SECONDS)

    def abandon(self, reason: BaseException) -> None:
        """End at once, without waiting for a server that is silent."""
        if self._channel.done():
            self.post(lambda _: self._connection.close())
        self._end(reason)

    def _perform(self, act: Callable[[Channel, Future[T]], None], answer: Future[T]) -> None:
        try:
            act(self._channel.result(), answer)
        except Exception as error:  # noqa: BLE001 - it belongs to whoever asked, not to the connection
            if not answer.done():
                answer.set_exception(error)

    def _serve(self, parameters: pika.URLParameters) -> None:
        try:
            self._connection = pika.SelectConnection(
                parameters, self._on_connected, on_open_error_callback=self._on_end, on_close_callback=self._on_end
            )
            self._connection.ioloop.start()
        except Exception as error:  # noqa: BLE001 - whatever ends this thread ends the session, and is its reason
            self._end(error)
        finally:
            if hasattr(self, "_connection"):
                self._connection.ioloop.close()

    def _on_connected(self, connection: pika.SelectConnection) -> None:
        connection.channel(on_open_callback=self._on_channel)

    def _on_channel(self, channel: Channel) -> None:
        channel.add_on_close_callback(self._on_channel_closed)
        with self._lock:
            if self.reason is None:
                self._channel.set_result(channel)
                return
        self._connection.close()  # nobody waited so long

    def _on_channel_closed(self, _channel: Channel, reason: BaseException) -> None:
        self._end(reason)
        if self._connection.is_open:
            self._connection.close()

    def _on_end(self, connection: pika.SelectConnection, reason: BaseException) -> None:
        self._end(reason)
        connection.ioloop.stop()

    def _end(self, reason: BaseException) -> None:
        with self._lock:
            if self.reason is not None:
                return
            self.reason = reason
            pending = [answer for answer in list(self._pending) if not answer.done()]
        for answer in pending:
            answer.set_exception(ConnectionClosed(reason))
        self.ended.set_result(None)


class Link:
    """The session that is open, or the next one; thread-safe, and usable after a fork.

    Args:
        targets: Makes what to connect to, when it is first needed; several are tried in turn.
    """

    def __init__(self, targets: Callable[[], list[pika.URLParameters]]) -> None:
        self._make_targets = targets
        self._targets: itertools.cycle[pika.URLParameters] | None = None
        self._session: Session | None = None
        self._process = os.getpid()
        self._lock = threading.Lock()
        self._failures = 0
        self._not_before = 0.0

    def session(self, patience: float = CONNECT_SECONDS) -> Session:
        """The open session, or a new one. After failures it waits longer and longer, but never beyond `patience`.

        Raises:
            ConnectionClosed: The server cannot be reached, or it is too early to try again.
        """
        if self._process != os.getpid():  # threads do not survive a fork
            self._process, self._session, self._lock = os.getpid(), None, threading.Lock()
        with self._lock:
            if self._session is None or self._session.reason is not None:
                self._wait(patience)
                self._session = self._connect()
            return self._session

    def _wait(self, patience: float) -> None:
        pause = self._not_before - time.monotonic()
        if pause > 0:
            time.sleep(min(pause, patience))
        if pause > patience:
            raise ConnectionClosed(f"RabbitMQ is away; the next attempt to connect is {pause - patience:.1f} s ahead")

    def _connect(self) -> Session:
        _quiet_pika()
        if self._targets is None:
            self._targets = itertools.cycle(self._make_targets())
        try:
            session = Session(next(self._targets)).opened()
        except ConnectionClosed:
            longest = min(_FIRST_PAUSE * 2 ** min(self._failures, 10), _LONGEST_PAUSE)
            self._not_before = time.monotonic() + longest * random.uniform(0.5, 1)  # noqa: S311 - jitter
            self._failures += 1
            raise
        self._failures = 0
        return session

    def close(self) -> None:
        """End the session, if there is one; the next call of `session` opens another."""
        session, self._session = self._session, None
        if session is not None and self._process == os.getpid():
            session.close()


def result_of(answer: Future[T], session: Session, seconds: float = ANSWER_SECONDS) -> T:
    """What the server answered.

    Raises:
        ConnectionClosed: It did not in time, and the session ends; or the session had ended.
    """
    try:
        return answer.result(seconds)
    except TimeoutError:
        closed = ConnectionClosed(f"RabbitMQ gave no answer within {seconds:g} s")
        session.abandon(closed)
        raise closed from None
    except (pika.exceptions.AMQPError, OSError) as error:
        raise ConnectionClosed(error) from None


def cancel(channel: Channel, consumers: Iterable[str]) -> None:
    """End consumers; what is under way to them still comes."""
    for tag in consumers:
        channel.basic_cancel(tag, callback=_ignore)
        # pika would reject what still comes: RabbitMQ counts that as a crash, and for a stream as an error.
        channel._cancelled.discard(tag)  # noqa: SLF001 - there is no public way


def _ignore(_frame: object) -> None:
    """Wait for the answer, and do nothing with it."""


def _quiet_pika() -> None:
    """Pika logs every failed attempt with a traceback, which our callers are told anyway."""
    logger = logging.getLogger("pika")
    if logger.level == logging.NOTSET:
        logger.setLevel(logging.CRITICAL)
