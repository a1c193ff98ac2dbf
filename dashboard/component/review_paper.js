// Draws the paper: grid, traces, axis; what stands on them is drawn by review_marks.js.

const SPEEDS_MM_PER_S = [6.25, 12.5, 25, 50, 100];
const REVIEW_GAINS = [2.5, 5, 10, 20, 40];
const AXIS_PX = 22;
const TOP_PX = 20;
const ECG_MM = 32;
const OTHER_MM = 16;
const PAPERS = {
  dark: {
    paper: "#0a0607", minor: "#1d1416", major: "#3d2529", ink: "#dfe7ee", ecg: "#3dff7c", other: "#4dd9ff",
    N: "#b9c7d2", S: "#4dd9ff", V: "#ff6b6b", F: "#e29bff", cam: "255, 140, 26", attention: "#6fb7ff",
    callipers: "#ffd42a", gap: "rgba(160, 175, 185, .22)", off: "#35d6ff", label: "rgba(0, 0, 0, .72)",
    high: "#ff5a5a", medium: "#ffd42a", low: "#35d6ff", technical: "#35d6ff",
  },
  light: {
    paper: "#fffbf9", minor: "#fae3df", major: "#efb6ae", ink: "#14202a", ecg: "#101418", other: "#00506b",
    N: "#33424d", S: "#00579c", V: "#b3001b", F: "#7a1fa2", cam: "230, 110, 0", attention: "#0b57a4",
    callipers: "#6b3f00", gap: "rgba(60, 70, 80, .16)", off: "#00566b", label: "rgba(255, 255, 255, .82)",
    high: "#b3001b", medium: "#7a5c00", low: "#00566b", technical: "#00566b",
  },
};

class Paper {
  constructor(canvas, pixelsPerMm) {
    this.canvas = canvas;
    this.context = canvas.getContext("2d");
    this.mm = pixelsPerMm;
    this.speed = 25;
    this.gain = 10;
    this.colours = PAPERS.dark;
  }

  get perSecond() {
    return this.speed * this.mm;
  }

  get width() {
    return this.canvas.clientWidth;
  }

  x(time) {
    return (time - this.from) * this.perSecond;
  }

  timeAt(x) {
    return this.from + x / this.perSecond;
  }

  layOut(traces) {
    this.rows = [];
    let top = TOP_PX;
    for (const trace of traces) {
      trace.channels.forEach((name, lead) => {
        const height = (trace.kind === "ecg" ? ECG_MM : OTHER_MM) * this.mm;
        this.rows.push({ trace, lead, name, top, height });
        top += height;
      });
    }
    this.height = Math.ceil(top + AXIS_PX);
    this.canvas.style.height = `${this.height}px`;
  }

  rowAt(y) {
    return this.rows.find((row) => y >= row.top && y < row.top + row.height) ?? null;
  }

  draw(view) {
    const ratio = window.devicePixelRatio || 1;
    const width = Math.max(1, Math.round(this.width * ratio));
    const height = Math.max(1, Math.round(this.height * ratio));
    if (this.canvas.width !== width || this.canvas.height !== height) Object.assign(this.canvas, { width, height });
    this.from = view.end - this.width / this.perSecond;
    this.context.setTransform(ratio, 0, 0, ratio, 0, 0);
    this.#grid();
    for (const row of this.rows) this.#row(row, view);
    drawBeats(this, view);
    drawAlarms(this, view);
    drawMoment(this, view);
    drawCallipers(this, view);
    this.#axis();
  }

  #grid() {
    const { context, colours, mm } = this;
    context.fillStyle = colours.paper;
    context.fillRect(0, 0, this.width, this.height);
    for (const [step, colour] of [[1, colours.minor], [5, colours.major]]) {
      context.strokeStyle = colour;
      context.lineWidth = 1;
      context.beginPath();
      const every = step * mm;
      // The grid lies still on the paper: it moves with the trace.
      for (let x = -(((this.from * this.perSecond) % every) + every) % every; x < this.width; x += every) {
        context.moveTo(Math.round(x) + 0.5, 0);
        context.lineTo(Math.round(x) + 0.5, this.height - AXIS_PX);
      }
      for (let y = TOP_PX; y < this.height - AXIS_PX; y += every) {
        context.moveTo(0, Math.round(y) + 0.5);
        context.lineTo(this.width, Math.round(y) + 0.5);
      }
      context.stroke();
    }
  }

  #row(row, view) {
    const { trace, lead } = row;
    const [first, end] = trace.between(this.from, this.from + this.width / this.perSecond);
    const range = trace.range(lead, first, end);
    if (trace.kind === "ecg") {
      row.middle = trace.median(lead, first, end);
      row.scale = this.gain * this.mm;
      row.text = `${row.name}  ${this.gain} mm/mV`;
    } else {
      const [low, high] = range ?? [0, 0];
      row.middle = (low + high) / 2;
      row.scale = (row.height * 0.8) / Math.max(high - low, 1e-6);
      const digits = high - low >= 20 ? 0 : high - low >= 1 ? 1 : 3;
      row.text = trace.unit === "au" || !range ? `${row.name}  auto`
        : `${row.name}  ${low.toFixed(digits)} to ${high.toFixed(digits)} ${trace.unit}`;
    }
    drawExplanation(this, row, view.explanation);
    this.#stroke(row, first, end);
    this.#missing(row, first, end);
    for (const [channel, start, stop] of trace.leadOff) {
      if (channel === lead) this.#span(row, this.x(start), this.x(stop), "LEAD OFF", this.colours.off);
    }
    this.write(row.text, 6, row.top + 13, row.trace === view.trace && lead === view.lead ? 700 : 400);
  }

  y(row, value) {
    const y = row.top + row.height / 2 - (value - row.middle) * row.scale;
    return Math.max(row.top, Math.min(row.top + row.height, y));
  }

  #stroke(row, first, end) {
    const { context } = this;
    const { trace, lead } = row;
    context.strokeStyle = trace.kind === "ecg" ? this.colours.ecg : this.colours.other;
    context.lineWidth = 1.4;
    context.lineJoin = "round";
    context.beginPath();
    let open = false;
    for (let index = first; index < end; index++) {
      const value = trace.value(lead, index);
      if (Number.isNaN(value)) {
        open = false;
        continue;
      }
      const x = this.x(trace.timeOf(index));
      if (open) context.lineTo(x, this.y(row, value));
      else context.moveTo(x, this.y(row, value));
      open = true;
    }
    context.stroke();
  }

  // Gaps of a fifth of a second and more are named, shorter ones are just not joined.
  #missing(row, first, end) {
    const { trace, lead } = row;
    let from = null;
    for (let index = first; index <= end; index++) {
      const missing = index < end && Number.isNaN(trace.value(lead, index));
      if (missing && from === null) from = index;
      if (!missing && from !== null) {
        if (index - from >= 0.2 * trace.fs) {
          this.#span(row, this.x(trace.timeOf(from)), this.x(trace.timeOf(index)), "no data", this.colours.ink);
        }
        from = null;
      }
    }
    this.#span(row, 0, this.x(trace.startS), "before the history", this.colours.ink);
    this.#span(row, this.x(trace.endS), this.width, "", this.colours.ink);
  }

  #span(row, from, to, text, colour) {
    const left = Math.max(0, from);
    const right = Math.min(this.width, to);
    if (right - left < 1) return;
    const { context } = this;
    context.fillStyle = this.colours.gap;
    context.fillRect(left, row.top + 2, right - left, row.height - 4);
    if (!text || right - left < 70) return;
    context.fillStyle = colour;
    context.font = "700 13px sans-serif";
    context.textAlign = "center";
    context.fillText(text, (left + right) / 2, row.top + row.height / 2 + 4);
  }

  #axis() {
    const { context } = this;
    const y = this.height - AXIS_PX;
    context.fillStyle = this.colours.paper;
    context.fillRect(0, y, this.width, AXIS_PX);
    context.fillStyle = this.colours.ink;
    context.font = "12.5px sans-serif";
    context.textAlign = "left";
    context.fillText("UTC", 2, y + 17);
    context.textAlign = "center";
    const every = [1, 2, 5, 10, 30].find((seconds) => seconds * this.perSecond >= 90) ?? 60;
    for (let time = Math.ceil(this.from / every) * every; this.x(time) < this.width - 30; time += every) {
      const x = this.x(time);
      if (x < 60) continue;
      context.fillRect(x, y, 1, 5);
      context.fillText(clockText(time), x, y + 17);
    }
  }

  write(text, x, y, weight, colour = this.colours.ink) {
    const { context } = this;
    context.font = `${weight} 12.5px sans-serif`;
    context.textAlign = "left";
    const { width } = context.measureText(text);
    const left = Math.max(2, Math.min(x, this.width - width - 6));
    context.fillStyle = this.colours.label;
    context.fillRect(left - 3, y - 12, width + 6, 16);
    context.fillStyle = colour;
    context.fillText(text, left, y);
  }
}
