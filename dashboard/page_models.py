"""What the models are, how well they do, and which are live."""

from __future__ import annotations

import streamlit as st

from dashboard import model_cards, model_view, shared, views
from dashboard.model_cards import Card, Damaged

REREAD_S = 60.0


@st.cache_resource(show_spinner=False, ttl=REREAD_S)
def cards() -> list[Card | Damaged]:
    """All shipped cards."""
    return model_cards.read_cards()


def show() -> None:
    """Show the page."""
    snapshot = shared.feed().system.snapshot()
    found = cards()
    for one in found:
        if isinstance(one, Damaged):
            st.error(f"The card {one.path.name} cannot be read: {one.why}", icon="⚠️")
    readable = [one for one in found if isinstance(one, Card)]
    if readable:
        st.markdown("**Models**: what each says, which is live, and how far it can be trusted")
        model_view.overview(readable, snapshot)
        names = [card.spec.name for card in readable]
        # Live ones first: a visitor asks about these.
        live = [card.spec.name for card in readable if model_cards.live_in(card.spec, snapshot)[0]]
        st.session_state.setdefault("model_card", (live or names)[0])
        chosen = st.segmented_control("Card", names, key="model_card", label_visibility="collapsed")
        for card in readable:
            if card.spec.name == chosen:
                model_view.show(card, snapshot)
    st.caption(views.NOTICE)
