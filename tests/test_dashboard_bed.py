"""The page of one bed: what it says of a bed that is not there."""

from __future__ import annotations

import pytest
from streamlit.testing.v1 import AppTest

from dashboard import shared

HOSTILE = "<b>x</b> **typo** $x$"


def page(bed: str, beds: tuple[str, ...], connected: bool) -> None:
    """The page of a ward in which these beds are admitted."""
    from types import SimpleNamespace

    import streamlit as st

    from dashboard import monitor, page_bed, shared
    from dashboard.ward import Ward
    from inference.types import Bed

    ward = Ward()
    ward.set_connected(connected, None if connected else "no answer")
    for name in st.session_state.get("beds", beds):
        ward.add_bed(Bed(name, "3B", "s", True, 1, "adult", False, None, None, None, None, [], 1, 1))
    shared.feed = lambda: SimpleNamespace(ward=ward)  # type: ignore[assignment, return-value]
    st.query_params.setdefault("bed", bed)
    monitor.mount_sound()
    page_bed.show()


def shown(bed: str, *beds: str, connected: bool = True) -> AppTest:
    app = AppTest.from_function(page, args=(bed, beds, connected), default_timeout=30).run()
    assert not app.exception, app.exception
    return app


@pytest.fixture(autouse=True)
def _own_feed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shared, "feed", shared.feed)


def test_a_bed_that_nobody_knows_is_said_and_others_can_be_chosen() -> None:
    app = shown("bed-O1", "bed-01", "bed-02")
    (told,) = app.warning
    assert r"No bed bed\-O1 is known" in told.value
    assert "Choose one of the list above" in told.value
    assert app.selectbox[0].options == ["bed-O1", "bed-01", "bed-02"]
    app.selectbox[0].select("bed-02").run()
    assert "bed-02" in app.query_params["bed"]
    assert not app.warning


def test_an_unknown_bed_that_comes_is_shown() -> None:
    app = shown("bed-07")
    assert "No bed sends data yet" in app.warning[0].value
    app.session_state["beds"] = ("bed-07",)
    app.run()
    assert not app.warning


def test_a_bed_is_not_called_unknown_while_no_broker_answers() -> None:
    assert not shown("bed-01", connected=False).warning


def test_an_unknown_name_from_the_address_is_text() -> None:
    assert r"\<b\>x\</b\> \*\*typo\*\* \$x\$" in shown(HOSTILE).warning[0].value
