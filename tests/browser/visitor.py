"""Somebody at the console, in a browser of their own."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, cast

from tests.browser.theatre import PASSWORD

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright._impl._api_structures import SetCookieParam
    from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, ViewportSize

    from tests.browser.theatre import Theatre

DESK: ViewportSize = {"width": 1360, "height": 900}
LAPTOP: ViewportSize = {"width": 1280, "height": 800}
TABLET: ViewportSize = {"width": 1024, "height": 768}
PHONE: ViewportSize = {"width": 390, "height": 844}


@dataclass
class Visitor:
    """Somebody at the console; what the browser complains of is kept."""

    page: Page
    url: str
    complaints: list[str] = field(default_factory=list)
    expected: tuple[str, ...] = ()

    def go(self, path: str) -> Page:
        """Open a page, and wait until its script has run."""
        self.page.goto(self.url + path)
        self.page.wait_for_function("document.readyState === 'complete'")
        return self.page

    def note(self, message: ConsoleMessage) -> None:
        """Keep what the browser's console says, but for answers that a test asks for."""
        if message.type in ("error", "warning"):
            self.complaints.append(f"{message.text} {message.location.get('url', '')}")

    def confirm(self, why: str = "") -> None:
        """Answer the dialog that asks whether one is sure."""
        dialog = self.page.locator("#confirm")
        dialog.wait_for()
        if why:
            dialog.locator("textarea").fill(why)
        dialog.locator("button.main").click()

    def told(self) -> str:
        """What the page says came of an act."""
        note = self.page.locator("main > .note").first
        note.wait_for()
        return note.inner_text()


@contextmanager
def visiting(
    browser: Browser, theatre: Theatre, email: str, *, phone: bool = False, dark: bool = False
) -> Iterator[Visitor]:
    """Somebody who is signed in, or nobody for an empty address; at the end nothing may have been complained of."""
    context = browser.new_context(viewport=PHONE if phone else DESK, color_scheme="dark" if dark else "light")
    context.set_default_timeout(20_000)  # milliseconds; beside other tests a page can be slow
    visitor = Visitor(context.new_page(), theatre.url)
    visitor.page.on("console", visitor.note)
    visitor.page.on("pageerror", lambda error: visitor.complaints.append(str(error)))
    if email:
        _sign_in(context, theatre.url, email)
    try:
        yield visitor
    finally:
        context.close()
    left = [one for one in visitor.complaints if not any(text in one for text in visitor.expected)]
    assert left == []


# A password is hashed slowly; whoever signed in before keeps their session.
_SESSIONS: dict[tuple[str, str], list[SetCookieParam]] = {}


def _sign_in(context: BrowserContext, url: str, email: str) -> None:
    if (url, email) in _SESSIONS:
        context.add_cookies(_SESSIONS[url, email])
        return
    form: dict[str, str | float | bool] = {"email": email, "password": PASSWORD}
    answer = context.request.post(f"{url}/sign-in", form=form, headers={"Origin": url}, max_redirects=0)
    assert answer.status == 303, answer.text()
    _SESSIONS[url, email] = cast("list[SetCookieParam]", context.cookies())
