// Draws the rows of a montage: live as a sweep with an erase bar, of which only what is new is drawn, or a page of
// the past. The ground (names, seconds, marks) lies on a canvas of its own below (eeg_ground.js).

const ERASE_S = 0.35;
const LEFT = 86; // room for names
const TOP = 38; // room for marks and alarms
const ALARM_TOP = 16;
const ALARM_HEIGHT = 15;
const BOTTOM = 20; // room for times
const GROUP_GAP = 0.7; // rows between groups
const REACH_MM = 24; // a channel may run into its neighbours, as on paper, but not across the page
const INKS = {
  dark: {
    left: "#8cc2ff", right: "#ffa99c", midline: "#e8eef5", ink: "#dfe7ee", faint: "rgba(160, 180, 195, .16)",
    line: "rgba(160, 180, 195, .42)", seizure: "rgba(255, 64, 64, .17)", seizureInk: "#ff5a5a",
    hatch: "rgba(190, 200, 210, .5)", off: "#35d6ff", gap: "rgba(160, 175, 185, .18)", paper: "#05080b",
    measure: "#ffd42a", warm: "255, 140, 26", high: "#f03434", medium: "#d89a00", low: "#1c95b5", technical: "#9a90b8",
  },
  light: {
    left: "#123f8c", right: "#9c1f10", midline: "#101820", ink: "#14202a", faint: "rgba(40, 60, 80, .13)",
    line: "rgba(40, 60, 80, .36)", seizure: "rgba(220, 20, 20, .09)", seizureInk: "#b3001b",
    hatch: "rgba(60, 70, 80, .45)", off: "#00566b", gap: "rgba(60, 70, 80, .14)", paper: "#fbfaf8",
    measure: "#6b3f00", warm: "230, 110, 0", high: "#f03434", medium: "#d89a00", low: "#1c95b5", technical: "#9a90b8",
  },
};

// Where things stand: rows from the top, time from the left. Live, the page is a lap that is overwritten.
class EegLayout {
  constructor(rows, width, height, pixelsPerMm) {
    Object.assign(this, { rows, width, height, pixelsPerMm });
    let gaps = 0;
    const places = rows.map((row, at) => {
      if (at && row.group !== rows[at - 1].group) gaps += GROUP_GAP;
      return at + gaps + 0.5;
    });
    this.rowHeight = (height - TOP - BOTTOM) / Math.max(1, rows.length + gaps);
    this.middles = places.map((place) => TOP + place * this.rowHeight);
  }

  // Seconds of a page, and pixels a second: so many seconds across, or so many mm a second.
  setTimeBase(base) {
    const room = Math.max(50, this.width - LEFT);
    const pace = base.startsWith("mm") ? Number(base.slice(2)) * this.pixelsPerMm : room / Number(base);
    this.span = base.startsWith("mm") ? Math.max(1, Math.floor(room / pace)) : Number(base);
    this.pace = pace;
    this.right = LEFT + this.span * pace;
  }

  // Live up to a time, or a page of the past that begins at one.
  lap(time) {
    this.live = true;
    this.until = time;
    this.lapStart = Math.floor(time / this.span) * this.span;
    this.from = time - this.span + ERASE_S;
  }

  page(from) {
    this.live = false;
    this.from = this.lapStart = from;
    this.until = from + this.span;
  }

  x(time) {
    const into = time - this.lapStart;
    return LEFT + (into < 0 ? into + this.span : into) * this.pace;
  }

  // Time that stands at a place; null where nothing does.
  timeAt(x) {
    const into = (x - LEFT) / this.pace;
    if (into < 0 || into > this.span) return null;
    if (!this.live || this.lapStart + into <= this.until) return this.lapStart + into;
    const before = this.lapStart + into - this.span;
    return before >= this.from ? before : null;
  }

  // What is to be seen of a stretch of time: [left, right] in pixels, two where it goes round the lap's edge.
  places(from, until) {
    const start = Math.max(from, this.from);
    const stop = Math.min(until, this.until);
    if (!(start < stop)) return [];
    const split = this.live ? this.lapStart : -Infinity;
    return [[start, Math.min(stop, split)], [Math.max(start, split), stop]]
      .filter(([a, b]) => a < b)
      .map(([a, b]) => [this.x(a), Math.min(this.right, this.x(a) + (b - a) * this.pace)]);
  }

  rowAt(y) {
    let nearest = 0;
    this.middles.forEach((middle, row) => {
      if (Math.abs(middle - y) < Math.abs(this.middles[nearest] - y)) nearest = row;
    });
    return nearest;
  }
}

class EegSheet {
  constructor(canvas) {
    this.canvas = canvas;
    this.context = canvas.getContext("2d");
    this.forget();
  }

  // Everything is to be drawn anew.
  forget() {
    this.drawn = null;
  }

  fit(width, height) {
    const ratio = window.devicePixelRatio || 1;
    const size = [Math.round(width * ratio), Math.round(height * ratio)];
    if (this.canvas.width !== size[0] || this.canvas.height !== size[1]) {
      [this.canvas.width, this.canvas.height] = size;
      this.forget();
    }
    this.context.setTransform(ratio, 0, 0, ratio, 0, 0);
  }

  // The lap up to a sample: what is new is drawn, and wiped ahead of it.
  sweep(derived, layout, end, uvPerMm, inks) {
    const { signal } = derived;
    const lapSamples = Math.round(layout.span * signal.fs);
    const erase = Math.round(ERASE_S * signal.fs);
    // The device's clock glides: a little back is not anew.
    if (this.drawn !== null && end <= this.drawn && this.drawn - end < erase) return;
    if (this.drawn === null || end < this.drawn || end - this.drawn > lapSamples / 2) {
      this.context.clearRect(0, 0, layout.width, layout.height);
      this.drawn = Math.max(derived.first, end - lapSamples + erase);
    } else if (end > this.drawn) {
      const { drawn } = this;
      for (const [left, right] of this.#ahead(layout, signal, drawn, end + erase)) this.context.clearRect(left, 0, right - left, layout.height);
    }
    if (end > this.drawn) this.#stroke(derived, layout, this.drawn - 1, end, uvPerMm, inks);
    this.drawn = Math.max(this.drawn, end);
  }

  #ahead(layout, signal, from, until) {
    const width = ((until - from) / signal.fs) * layout.pace;
    const left = LEFT + (((signal.timeOf(from) % layout.span) + layout.span) % layout.span) * layout.pace + 0.5;
    const over = left + width - layout.right;
    return over > 0 ? [[left, layout.right + 1], [LEFT - 1, LEFT + over]] : [[left, left + width]];
  }

  page(derived, layout, uvPerMm, inks) {
    const { signal } = derived;
    this.context.clearRect(0, 0, layout.width, layout.height);
    const from = Math.max(derived.first, signal.indexAt(layout.from));
    this.#stroke(derived, layout, from, Math.min(derived.head, signal.indexAt(layout.until) + 1), uvPerMm, inks);
    this.forget();
  }

  #stroke(derived, layout, from, until, uvPerMm, inks) {
    const { context } = this;
    const { signal } = derived;
    const scale = layout.pixelsPerMm / uvPerMm;
    const reach = REACH_MM * layout.pixelsPerMm;
    context.lineWidth = 1;
    context.lineJoin = "round";
    // Computed once for all rows: where each sample stands, and where a lap ends.
    const xs = new Float32Array(Math.max(0, until - from));
    for (let at = 0; at < xs.length; at++) {
      const into = signal.timeOf(from + at) - layout.lapStart;
      xs[at] = LEFT + (layout.live ? ((into % layout.span) + layout.span) % layout.span : into) * layout.pace;
    }
    for (const side of ["left", "midline", "right"]) {
      context.strokeStyle = inks[side];
      context.beginPath();
      layout.rows.forEach((row, at) => {
        if (row.side === side) this.#path(derived, at, from, xs, layout.middles[at], scale, reach, layout.height - BOTTOM);
      });
      context.stroke();
    }
  }

  #path(derived, row, from, xs, middle, scale, reach, bottom) {
    const { context } = this;
    let open = false;
    for (let at = 0; at < xs.length; at++) {
      const value = derived.value(row, from + at);
      if (Number.isNaN(value)) {
        open = false;
        continue;
      }
      // Negative is up.
      const y = Math.max(TOP, Math.min(bottom, middle + Math.max(-reach, Math.min(reach, value * scale))));
      if (open && xs[at] >= xs[at - 1]) context.lineTo(xs[at], y);
      else context.moveTo(xs[at], y);
      open = true;
    }
  }
}
