"""A person with a browser, run as a program: follows redirections, fills forms, and logs in.

The program's last argument is the address; NAME and PASSWORD in the environment are typed into its forms.
"""

from __future__ import annotations

import os
import sys
from html.parser import HTMLParser
from http.cookiejar import CookieJar
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urlencode, urljoin
from urllib.request import HTTPCookieProcessor, OpenerDirector, ProxyHandler, build_opener

BROWSER = f"{sys.executable} {__file__} %s"
"""The value of the variable of that name."""


class _Form(HTMLParser):
    """The first form of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.action: str | None = None
        self.values: dict[str, str] = {}
        self._inside = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        stated = {name: value or "" for name, value in attrs}
        if tag == "form" and self.action is None:
            self.action, self._inside = stated.get("action", ""), True
        elif self._inside and tag in ("input", "button", "select") and stated.get("name"):
            self.values.setdefault(stated["name"], stated.get("value", ""))

    def handle_endtag(self, tag: str) -> None:
        if tag == "form":
            self._inside = False


def new_browser() -> OpenerDirector:
    """Return a browser that keeps cookies."""
    return build_opener(ProxyHandler({}), HTTPCookieProcessor(CookieJar()))


def visit(browser: OpenerDirector, address: str, typed: dict[str, str]) -> str:
    """Open an address and send the forms of the pages that follow; return the last page."""
    data = None
    for _ in range(12):
        try:
            answer: Any = browser.open(address, data, timeout=20)
        except HTTPError as error:
            answer = error
        with answer:
            page: str = answer.read().decode("utf-8", "replace")
            address = answer.geturl()
        form = _Form()
        form.feed(page)
        if form.action is None:
            return page
        address = urljoin(address, form.action)
        data = urlencode(
            {**form.values, **{name: typed[name] for name in form.values if name in typed}}
        ).encode()
    raise AssertionError(page)


def _main() -> None:
    name, password = os.environ.get("NAME", "alice"), os.environ.get("PASSWORD", "secret")
    typed = {"login": name, "username": name, "password": password}
    visit(new_browser(), sys.argv[-1], typed)


if __name__ == "__main__":
    _main()
