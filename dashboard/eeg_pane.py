"""The place of the EEG on a bed's page: its newest seconds, standing still. Montages are issue 7's."""

from __future__ import annotations

from typing import Final, Protocol

import altair as alt
import numpy as np
import pandas as pd
import streamlit as st

from dashboard.snapshots import TraceWindow
from dashboard.words import plain
from ingest.types import NS_PER_S, SignalKind

SHOWN_S: Final = 10.0
SENSITIVITIES_UV_PER_MM: Final = (3, 5, 7, 10, 15, 20, 30, 50)
PIXELS_PER_MM: Final = 96 / 25.4
ROW_MM: Final = 12
NOT_THERE: Final = (
    "Not there yet: live sweep, montages (bipolar, average), filters, artefact and seizure marks, trends of "
    "amplitude. The channels are shown as the device sends them, each about its own mean."
)


class TraceSource(Protocol):
    """What is used of :class:`dashboard.ward.Ward`."""

    def window(
        self, bed: str, kind: SignalKind, epoch: int, first_index: int, newest_s: float
    ) -> TraceWindow | None:
        """Copy the newest samples of a trace."""
        ...


def show_eeg(ward: TraceSource, bed: str) -> None:
    """Show the last 10 s of a bed's EEG, renewed by button; to be called outside of fragments.

    Parameters
    ----------
    ward : TraceSource
        Where the samples come from.
    bed : str
        Its label.
    """

    @st.fragment
    def eeg() -> None:
        _eeg(ward, bed)

    eeg()


def _eeg(ward: TraceSource, bed: str) -> None:
    # Epochs count from 1: of another epoch the newest seconds come.
    window = ward.window(bed, SignalKind.EEG, 0, 0, SHOWN_S)
    if window is None or window.samples.shape[0] == 0:
        st.caption("This bed sends no EEG.")
        return
    left, right = st.columns([2, 8], vertical_alignment="bottom")
    sensitivity = left.selectbox(
        "Sensitivity (µV/mm)", SENSITIVITIES_UV_PER_MM, index=3, key="eeg-sensitivity"
    )
    right.button("Renew", key="eeg-renew")
    st.altair_chart(eeg_chart(window, float(sensitivity)), width="stretch")
    end = pd.Timestamp(window.stream.head_ns, tz="UTC").strftime("%Y-%m-%d %H:%M:%S")
    st.caption(
        f"Standing still: the {SHOWN_S:.0f} s up to {end} UTC, {sensitivity} µV/mm at 96 dpi, negative up, "
        f"from {plain(window.stream.device)}. {NOT_THERE}"
    )


def eeg_table(window: TraceWindow, uv_per_mm: float) -> pd.DataFrame:
    """Return the samples as a table: ``mm`` is the height, negative up, NaN where missing."""
    samples = window.samples[-round(SHOWN_S * window.stream.fs_hz) :].astype(np.float64)
    end_s = window.stream.head_ns / NS_PER_S
    times = pd.to_datetime(end_s - np.arange(len(samples))[::-1] / window.stream.fs_hz, unit="s", utc=True)
    held = ~np.isnan(samples)
    mean = np.where(held, samples, 0).sum(axis=0) / np.maximum(1, held.sum(axis=0))
    # A channel may run into its neighbours, as on paper, but not across the page.
    mm = np.clip((mean - samples) / uv_per_mm, -2 * ROW_MM, 2 * ROW_MM)
    return pd.concat(
        pd.DataFrame({"time": times, "mm": mm[:, row] - (row + 0.5) * ROW_MM, "row": row})
        for row in range(samples.shape[1])
    )


def eeg_chart(window: TraceWindow, uv_per_mm: float) -> alt.LayerChart | alt.FacetChart:
    """Return the stacked channels with their names."""
    channels = window.stream.channels
    names = pd.DataFrame({"name": channels, "mm": [-(row + 0.5) * ROW_MM for row in range(len(channels))]})
    height_mm = ROW_MM * len(channels)
    y = alt.Y("mm:Q", axis=None, scale=alt.Scale(domain=[-height_mm, 0], nice=False))
    axis = alt.Axis(format="%H:%M:%S", tickCount=10, gridOpacity=0.5)
    return alt.layer(
        alt.Chart(eeg_table(window, uv_per_mm))
        .mark_line(strokeWidth=0.9, color="#3f8fd0", clip=True)
        .encode(x=alt.X("time:T", title="UTC", scale=alt.Scale(type="utc"), axis=axis), y=y, detail="row:N"),
        alt.Chart(names)
        .mark_text(align="right", dx=-6, fontSize=12, color="#8a8f94")
        .encode(x=alt.value(0), y=y, text="name:N"),
        height=round(height_mm * PIXELS_PER_MM),
        padding={"left": 40, "right": 5, "top": 5, "bottom": 5},
        # Streamlit would fit the axis into the height too, and the scale would not hold.
        autosize=alt.AutoSizeParams(type="fit-x", contains="padding"),
    )
