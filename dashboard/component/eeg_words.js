// What stands in words around an EEG, and what is measured in a frozen page of it.

function eegStreamWords(stream, signal) {
  const rate = stream.sourceHz === stream.fs ? `${stream.fs} Hz` : `${stream.sourceHz} Hz, shown at ${Math.round(stream.fs)}`;
  const minutes = Math.floor((signal.head - signal.first) / signal.fs / 60);
  return `${stream.device} · ${stream.channels.length} channels · ${rate} · ${minutes} min held`;
}

// Scale, filters, and what is to be known of the montage.
function eegScaleWords({ sensitivity, base, low, high, mains }, stream, montage) {
  const top = stagesOf({ high: Number(high) }, stream.fs).length ? `${high} Hz` : `${Math.round(stream.fs / 2)} Hz, the most that this rate carries`;
  return [
    `${sensitivity} µV/mm at 96 dpi`,
    base.startsWith("mm") ? `${base.slice(2)} mm/s` : `${base} s a page`,
    "negative up",
    `display filters, causal (each delays a little): ${low} Hz, 6 dB/octave, to ${top}${mains === "0" ? "" : `, notch ${mains} Hz`}`,
    montage.said,
    montage.rows.some((row) => row.bridged) ? "* another electrode than usual" : "",
  ].filter(Boolean).join(" · ");
}

// What is said of what spoke for a seizure; nothing where it is not known yet.
function lookedWords(looked, montage) {
  if (!looked) return "";
  const shown = montage.rows.some(({ name }) => looked.derivations.includes(name));
  return `${shown ? "Orange" : "Shown in the longitudinal montage"}: what spoke for a seizure in the second from ${eegClock(looked.atS)} (${(100 * looked.probability).toFixed(0)} %), by derivation and second (HiResCAM of ${looked.model})`;
}

// Begin of the second that a network holds likeliest to be of a seizure between two times.
function likeliest(steps, from, until) {
  let found = null;
  for (const [end, probability] of steps) {
    if (probability !== null && end > from && end <= until && (found === null || probability > found[1])) found = [end - 1, probability];
  }
  return found && found[0];
}

// Between two places of a page: how long, how often a second that would be, and how high the row is there.
function measured(derived, layout, from, until) {
  const { signal } = derived;
  const [begin, end] = [layout.timeAt(from.x), layout.timeAt(until.x)];
  if (begin === null || end === null) return null;
  const row = layout.rowAt(from.y);
  let [low, high] = [Infinity, -Infinity];
  for (let index = signal.indexAt(Math.min(begin, end)); index <= signal.indexAt(Math.max(begin, end)); index++) {
    const value = derived.value(row, index);
    if (value < low) low = value;
    if (value > high) high = value;
  }
  const seconds = Math.abs(end - begin);
  const height = low <= high ? `${(high - low).toFixed(0)} µV peak to peak in ${layout.rows[row].name}` : "no data";
  return { from: begin, until: end, text: `${(1000 * seconds).toFixed(0)} ms · ${seconds > 0 ? (1 / seconds).toFixed(2) : "–"} Hz · ${height}` };
}
