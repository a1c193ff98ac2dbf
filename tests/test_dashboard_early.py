"""The script that runs before Streamlit's own."""

from __future__ import annotations

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, Response
from starlette.routing import Route
from starlette.testclient import TestClient

from dashboard.early import EarlyScript

PAGE = "<html><head><title>Streamlit</title></head><body>" + "x" * 2_000 + "</body></html>"


async def page(request: Request) -> Response:
    return HTMLResponse(PAGE, headers={"etag": '"one"'})


async def text(request: Request) -> Response:
    return PlainTextResponse("<head>")


def client() -> TestClient:
    routes = [Route("/", page), Route("/text", text)]
    return TestClient(
        Starlette(routes=routes, middleware=[Middleware(EarlyScript), Middleware(GZipMiddleware)])
    )


def test_a_page_begins_with_the_script_whole_and_once() -> None:
    answer = client().get("/", headers={"accept": "text/html", "accept-encoding": "gzip"})
    head, found, rest = answer.text.partition("</script>")
    assert found
    assert head.startswith("<html><head><script>")
    assert "stActiveTheme" in head
    assert rest.strip() == PAGE.removeprefix("<html><head>")
    assert int(answer.headers["content-length"]) == len(answer.content)


def test_what_is_no_page_passes_as_it_is() -> None:
    assert client().get("/text", headers={"accept": "text/html"}).text == "<head>"
    assert "stActiveTheme" not in client().get("/", headers={"accept": "*/*"}).text
