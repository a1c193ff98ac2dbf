// What is marked in an EEG, as the ground draws it; and mouse and keys on the sheet.

const SIGN_WORDS = { off: "OFF", flat: "FLAT", saturated: "RAIL", pop: "POP", muscle: "muscle", mains: "mains" };
const LOST_SIGNS = new Set(["off", "flat", "saturated", "pop"]); // the channel cannot be read there
const NOW_S = 3; // workers tell of a second when it is over
const RECENT_S = 30; // a seizure that ended so long ago is still named in the head

// Spans across all rows, hatched stretches of single rows, and what holds of a row at the end.
function eegMarks(signal, montage, layout, trends) {
  const shown = ([from, until]) => from < layout.until && until > layout.from;
  const spans = trends.marks.spans.filter(shown).map(([from, until, label, probability]) => ({
    from, until, text: `${label} ${probability.toFixed(2)}`,
  }));
  const signs = signal.off.map(([channel, from, until]) => [channel, "off", from, until]);
  for (const [name, sign, from, until] of trends.series.signs.values()) {
    if (SIGN_WORDS[sign] && sign !== "off") signs.push([signal.channels.indexOf(name), sign, from, until]);
  }
  const flags = [];
  const now = new Map();
  const end = Math.min(layout.until, signal.headTime);
  montage.rows.forEach((row, at) => {
    // Of the mean of all only the electrode itself counts.
    const columns = new Set(row.weights.filter(([, weight]) => Math.abs(weight) >= 0.5).map(([column]) => column));
    for (const [channel, sign, from, until] of signs) {
      if (!columns.has(channel)) continue;
      if (shown([from, until])) flags.push({ from, until, row: at, text: SIGN_WORDS[sign], kind: LOST_SIGNS.has(sign) ? "off" : "doubt" });
      if (from < end && until >= end - NOW_S && LOST_SIGNS.has(sign)) now.set(at, SIGN_WORDS[sign]);
    }
  });
  const alarms = alarmPieces(trends.past.episodes, layout.from, end);
  return { spans, flags, now, alarms, spoke: spokeFor(trends.looked, montage) };
}

// What spoke for a seizure, second by second: [row, from, until, share].
function spokeFor(looked, montage) {
  if (!looked) return [];
  return looked.derivations.flatMap((name, at) => {
    const row = montage.rows.findIndex((one) => one.name === name);
    if (row < 0) return [];
    return looked.cam[at].map((share, second) => [row, looked.startS + second, looked.startS + second + 1, share]);
  });
}

// In words: what a network says of the newest seconds.
function eegFound({ steps, spans, model }, headTime) {
  if (!steps.length) return "No network judges this EEG";
  const span = spans.at(-1);
  const [end, probability] = steps.at(-1);
  const going = span && span[1] > headTime - RECENT_S ? `SEIZURE marked ${eegClock(span[0])} to ${eegClock(span[1])} (${span[3].toFixed(2)}) · ` : "";
  const judged = probability === null ? "not to be judged" : `seizure ${(100 * probability).toFixed(0)} %`;
  return `${going}${model}, to ${eegClock(end)}: ${judged}`;
}

function listenToEeg(node, acts) {
  let grip = null;
  const keys = {
    ArrowUp: () => acts.sensitivity(-1),
    ArrowDown: () => acts.sensitivity(1),
    ArrowLeft: () => acts.scroll(-1),
    ArrowRight: () => acts.scroll(1),
    PageUp: () => acts.turn(-1),
    PageDown: () => acts.turn(1),
    " ": () => acts.freeze(),
  };
  node.addEventListener("keydown", (event) => {
    if (!keys[event.key]) return;
    event.preventDefault();
    keys[event.key]();
  });
  node.addEventListener("pointerdown", (event) => {
    grip = { x: event.offsetX, y: event.offsetY };
    node.setPointerCapture(event.pointerId);
  });
  node.addEventListener("pointermove", (event) => {
    if (grip !== null && event.buttons) acts.measure(grip, { x: event.offsetX, y: event.offsetY });
  });
  node.addEventListener("pointerup", () => (grip = null));
  node.addEventListener("wheel", (event) => {
    // Up and down scrolls the document, as everywhere; sideways, or with Shift, through time.
    const sideways = event.shiftKey ? event.deltaY || event.deltaX : event.deltaX;
    if (!sideways) return;
    event.preventDefault();
    acts.scroll(sideways / 100);
  }, { passive: false });
}
