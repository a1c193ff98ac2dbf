"""What a browser asks for late, for a page that it has left, is not run."""

from __future__ import annotations

import asyncio

import pytest
from starlette.types import Message, Receive, Scope, Send
from streamlit.proto.BackMsg_pb2 import BackMsg

from dashboard.stale_runs import STREAM, StaleRuns


def asks(page: str, fragment: str = "") -> Message:
    message = BackMsg()
    message.rerun_script.page_script_hash = page
    message.rerun_script.fragment_id = fragment
    return {"type": "websocket.receive", "bytes": message.SerializeToString()}


def other() -> Message:
    message = BackMsg()
    message.stop_script = True
    return {"type": "websocket.receive", "bytes": message.SerializeToString()}


LEFT: Message = {"type": "websocket.disconnect", "code": 1001}


def passed(*messages: Message, path: str = STREAM) -> list[Message]:
    """What reaches Streamlit of what a browser sends."""
    waiting, seen = list(messages), []

    async def receive() -> Message:
        return waiting.pop(0)

    async def send(message: Message) -> None:
        raise AssertionError(f"nothing is answered here: {message}")

    async def streamlit(scope: Scope, receive: Receive, send: Send) -> None:
        while waiting:
            seen.append(await receive())

    scope = {"type": "websocket", "path": path, "headers": []}
    asyncio.run(StaleRuns(streamlit)(scope, receive, send))
    return seen


def test_a_timer_of_the_page_that_is_shown_passes() -> None:
    sent = [asks(""), asks("ward", "feed"), asks("ward"), asks("ward", "feed"), LEFT]
    assert passed(*sent) == sent


def test_a_timer_of_a_page_that_was_left_does_not() -> None:
    sent = [asks(""), asks("bed"), asks("ward", "feed"), asks("bed", "feed"), asks("ward", "feed"), LEFT]
    assert passed(*sent) == [sent[0], sent[1], sent[3], LEFT]


def test_who_goes_back_is_fed_again() -> None:
    sent = [asks("ward"), asks("bed"), asks("ward"), asks("ward", "feed"), LEFT]
    assert passed(*sent) == sent


@pytest.mark.parametrize(
    "message",
    [
        other(),
        {"type": "websocket.receive", "bytes": b"\xff\xff"},
        {"type": "websocket.receive", "text": "x"},
    ],
)
def test_what_asks_for_no_run_passes(message: Message) -> None:
    assert passed(asks("bed"), message, LEFT) == [asks("bed"), message, LEFT]


def test_other_websockets_pass_as_they_are() -> None:
    sent = [asks("bed"), asks("ward", "feed"), LEFT]
    assert passed(*sent, path="/other") == sent
