"""What all sessions of a server process share: one consumer, one sender of commands, one store."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import streamlit as st
from kafka.errors import KafkaError

from dashboard.feed import Feed
from dashboard.patient_store import PATIENCE_S, PatientStore
from dashboard.settings import DashboardSettings, load_dashboard_settings
from dashboard.ward import Ward
from inference.command_sender import CommandSender
from inference.errors import StoreError
from inference.recorder_settings import load_recorder_settings
from inference.store_labels import LabelWriter
from ingest.errors import IngestError
from ingest.settings import Settings, load_settings

AWAY: Final = "the recorder's store does not answer"


@dataclass(frozen=True, slots=True)
class Missing:
    """Something that is not to be had, and why, with the way out."""

    why: str


@st.cache_resource(show_spinner=False)
def settings() -> Settings:
    """Broker, topics, limits."""
    return load_settings()


@st.cache_resource(show_spinner=False)
def dashboard_settings() -> DashboardSettings:
    """What this dashboard holds and allows."""
    return load_dashboard_settings()


@st.cache_resource(show_spinner=False)
def feed() -> Feed:
    """Return the one consumer of this server process, which starts with the server."""
    ward = Ward(history_s=60.0 * dashboard_settings().history_minutes)
    return Feed(settings(), ward).start()


@st.cache_resource(show_spinner=False, ttl=30.0)
def sender() -> CommandSender | Missing:
    """Return what sends the commands of staff."""
    if settings().commands.key is None:
        return Missing("no commands: WARDWAVE_COMMANDS__KEY is not set (docs/commands.md)")
    try:
        return _sender()
    except (IngestError, KafkaError) as error:
        return Missing(f"no commands: {error}")


@st.cache_resource(show_spinner=False)
def _sender() -> CommandSender:
    made = CommandSender(settings())
    try:
        # So that the first press is answered as fast as the next.
        made.listen()
    except BaseException:
        made.close()
        raise
    return made


def store() -> PatientStore | Missing:
    """Return what the recorder has written; it is asked for anew each time, for it may come and go."""
    try:
        found = _store()
    except StoreError as error:
        return Missing(f"no stored alarms, strips and trends: {error}")
    problem = found.problem()
    if problem is None:
        return found
    return Missing(f"{AWAY} ({problem})")


@st.cache_resource(show_spinner=False)
def _store() -> PatientStore:
    return PatientStore(load_recorder_settings().url.get_secret_value())


@st.cache_resource(show_spinner=False, ttl=30.0)
def label_writer() -> LabelWriter | Missing:
    """Return what writes reviewers' labels to the recorder's store; to be asked for where that is there."""
    try:
        return _label_writer()
    except StoreError as error:
        return Missing(f"no labels: {error}")


@st.cache_resource(show_spinner=False)
def _label_writer() -> LabelWriter:
    return LabelWriter(load_recorder_settings().url.get_secret_value(), PATIENCE_S)
