"""Viewers without a screen: they ask Streamlit's server for what a browser on the ward page asks for."""

from __future__ import annotations

import threading
import time

from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from websockets.sync.client import connect


class Viewer(threading.Thread):
    """One session: runs the ward's script, then its timed fragments as often as the server wishes.

    ``gaps_s`` are the seconds between what the fragments sent, ``received`` the bytes since ``began``.
    """

    def __init__(self, port: int) -> None:
        super().__init__(daemon=True)
        self._url = f"ws://127.0.0.1:{port}/_stcore/stream"
        self.halt = threading.Event()
        self.gaps_s: list[float] = []
        self.received = 0
        self.began = 0.0

    def run(self) -> None:
        """Watch until told to stop."""
        due: dict[str, tuple[float, float]] = {}
        page, last = "", None
        with connect(self._url, subprotocols=["streamlit"], max_size=None, compression=None) as socket:
            first = BackMsg()
            first.rerun_script.query_string = ""
            socket.send(first.SerializeToString())
            self.began = time.monotonic()
            while not self.halt.is_set():
                now = time.monotonic()
                for fragment, (at, interval) in list(due.items()):
                    if now >= at:
                        asked = BackMsg()
                        asked.rerun_script.fragment_id = fragment
                        asked.rerun_script.page_script_hash = page
                        asked.rerun_script.is_auto_rerun = True
                        socket.send(asked.SerializeToString())
                        due[fragment] = (max(at + interval, now), interval)
                try:
                    data = socket.recv(timeout=0.05)
                except TimeoutError:
                    continue
                self.received += len(data)
                message = ForwardMsg()
                message.ParseFromString(data)
                kind = message.WhichOneof("type")
                if kind == "new_session":
                    page = message.new_session.page_script_hash
                elif kind == "auto_rerun":
                    every = message.auto_rerun.interval
                    due[message.auto_rerun.fragment_id] = (time.monotonic() + every, every)
                elif kind == "delta" and len(data) > 2_000 and message.delta.fragment_id:
                    at = time.monotonic()
                    if last is not None:
                        self.gaps_s.append(at - last)
                    last = at

    @property
    def bytes_per_s(self) -> float:
        """Mean rate of what came."""
        return self.received / (time.monotonic() - self.began)
