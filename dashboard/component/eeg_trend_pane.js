// The trends below an EEG: how many hours, what is said of them, and when they are drawn anew.

const TREND_HOURS = [["0.2", "12 min"], ["0.5", "30 min"], ["1", "1 h"], ["2", "2 h"], ["8", "8 h"], ["24", "24 h"]];
const REDRAWN_MS = 1000; // they change no faster
const REDRAWN_LONG_MS = 5000;

class EegTrendPane {
  // `jump` is given the time that was clicked, null beside the axis.
  constructor(find, controls, jump) {
    this.find = find;
    find(".choices").replaceChildren();
    controls.choose("hours", "Shown", TREND_HOURS, "1", find(".choices"));
    this.controls = controls;
    trendLegend(find(".legend"));
    this.canvas = find(".lanes");
    this.lanes = new EegLanes(this.canvas);
    this.canvas.addEventListener("click", (event) => jump(this.lanes.timeAt(event.offsetX)));
  }

  // `told` is the time up to which is known what was, `now` the end of the axis; `cursor` what the page above shows.
  draw(trends, { told, now, cursor, theme, inks }) {
    show(this.find(".history"), trendWords(trends));
    const { hours } = this.controls.values;
    const key = `${cursor} ${hours} ${theme} ${this.canvas.clientWidth}`;
    const clock = performance.now();
    if (key === this.key && clock - this.drawnAt < (Number(hours) > FINE_HOURS ? REDRAWN_LONG_MS : REDRAWN_MS)) return;
    [this.key, this.drawnAt] = [key, clock];
    this.lanes.draw(trends, { told, until: now, hours: Number(hours), cursor }, inks);
  }
}

function trendWords({ density, series, past }) {
  const since = Math.min(density.head > density.first ? density.first * DENSITY_S : Infinity, series.seconds[0]?.time ?? Infinity);
  const parts = [];
  if (Number.isFinite(since)) parts.push(`second by second since ${eegClock(since).slice(0, 5)}, two hours at most`);
  if (past.minutes.size) parts.push(`means of each minute since ${eegDate(past.since)}, from the recorder's store (CDSA of four bands there)`);
  if (past.problem) parts.push(`older ones are not to be had: ${past.problem}`);
  if (!parts.length) return "None yet: the first come after some seconds";
  if (density.head > density.first && !series.seconds.length) parts.push("no worker sends numbers of this EEG");
  return parts.join("; ");
}
