"""What the models are, how well they do, and which are live."""

from __future__ import annotations

import streamlit as st

from dashboard import model_cards, model_view, shared, words
from dashboard.model_cards import Card, Damaged
from inference.cli import DEFAULT_MODEL

REREAD_S = 60.0
LIVE_S = 5.0


@st.cache_resource(show_spinner=False, ttl=REREAD_S)
def cards() -> list[Card | Damaged]:
    """All shipped cards."""
    return model_cards.read_cards()


def show() -> None:
    """Show the page."""
    found = cards()
    for one in found:
        if isinstance(one, Damaged):
            st.error(f"The card {one.path.name} cannot be read: {one.why}", icon="⚠️")
    readable = [one for one in found if isinstance(one, Card)]
    if readable:
        show_cards(readable)
    st.caption(words.NOTICE)


def show_cards(found: list[Card]) -> None:
    """Show the list, renewed, and the card that is chosen."""
    state = shared.feed().system

    @st.fragment(run_every=LIVE_S)
    def overview() -> None:
        model_view.overview(found, state.snapshot())

    st.markdown("**Models**: what each says, which is live, and how far it can be trusted")
    overview()
    by_name = {card.spec.name: card for card in found}
    first = DEFAULT_MODEL if DEFAULT_MODEL in by_name else next(iter(by_name))
    if st.session_state.get("model_card") not in by_name:
        st.session_state["model_card"] = first
    chosen = st.segmented_control("Card", list(by_name), key="model_card", label_visibility="collapsed")
    card = by_name[chosen or first]
    st.subheader(card.spec.name)

    @st.fragment(run_every=LIVE_S)
    def live() -> None:
        model_view.live_line(card, state.snapshot())

    live()
    model_view.show(card)
