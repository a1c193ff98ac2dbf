// The frozen view of one bed: mounted once, filled by review_pipe.js; asks dashboard/review.py for what it computes.

const MEASURE_STEP_S = 0.004;
const FILTERS = [
  ["raw", "as received"],
  ["monitor", "0.5–40 Hz monitor"],
  ["diagnostic", "0.05–150 Hz diagnostic"],
];
const NOTCHES = [["0", "no notch"], ["50", "50 Hz notch"], ["60", "60 Hz notch"]];
const CLASSES = [
  ["", "likeliest rhythm"], ["vf", "rhythm: vf"], ["vt", "rhythm: vt"], ["asystole", "rhythm: asystole"],
  ["af", "rhythm: af"], ["noise", "rhythm: noise"], ["other", "rhythm: other"],
  ["N", "beat: N normal"], ["S", "beat: S supraventricular"], ["V", "beat: V ventricular"], ["F", "beat: F fusion"],
];

class Review {
  constructor(parent, settings, ask) {
    this.node = parent.querySelector(".review");
    this.settings = settings;
    this.ask = ask;
    this.find = (name) => this.node.querySelector(name);
    this.paper = new Paper(this.find(".paper"), settings.pixelsPerMm);
    this.overview = new Overview(this.find(".overview"), (time) => this.#look(time + this.#span / 2));
    this.view = null;
    this.node.inert = true;
    this.drawing = false;
    this.#controls();
    this.#gestures();
    this.#keys();
    this.observer = new ResizeObserver(() => this.redraw());
    this.observer.observe(this.node);
    this.timer = setInterval(() => this.#tick(), 500);
    this.mountedAt = performance.now();
  }

  receive(bytes) {
    const found = decodeReview(bytes);
    if (found.view !== this.settings.view) return;
    this.find(".problem").textContent = found.problem ?? "";
    if (found.traces.length) {
      this.#take(found);
      // For this view if it is mounted anew: the pipe sends nothing twice.
      window.wardwaveReview.whole = bytes;
    }
    if (this.view === null) return;
    this.view.explanation = found.explanation;
    if (found.explanation) this.#show(found.explanation);
    this.find(".said").textContent = found.said;
    this.explainButton.disabled = false;
    this.redraw();
  }

  // A first payload, or the same signals through another filter: the place on the paper stays.
  #take(found) {
    const { traces } = found;
    const startS = Math.min(...traces.map((trace) => trace.startS));
    const endS = Math.max(...traces.map((trace) => trace.endS));
    const held = this.view;
    const trace = traces.find((one) => one.kind === held?.trace.kind) ?? traces[0];
    this.view = {
      startS, endS, trace, lead: held?.lead ?? 0, beats: found.beats, alarms: found.alarms, frozenS: found.frozenS,
      end: held?.end ?? endS, cursors: held?.cursors ?? [], moment: held?.moment ?? null, explanation: null,
    };
    this.node.inert = false;
    this.paper.layOut(traces);
    this.#leads();
    if (!held) this.#place(false);
    this.node.dataset.beats = String(found.beats.length);
    this.#tick();
  }

  get #span() {
    return this.paper.width / this.paper.perSecond;
  }

  #look(end) {
    if (this.view === null) return;
    const { startS, endS } = this.view;
    this.view.end = Math.max(Math.min(endS, startS + this.#span), Math.min(endS, end));
    this.redraw();
  }

  #zoom(steps, centre = 0.5) {
    const at = SPEEDS_MM_PER_S.indexOf(this.paper.speed) + steps;
    this.#setSpeed(SPEEDS_MM_PER_S[Math.max(0, Math.min(SPEEDS_MM_PER_S.length - 1, at))], centre);
  }

  #setSpeed(speed, centre = 0.5) {
    const middle = this.view.end - this.#span * (1 - centre);
    this.paper.speed = speed;
    this.speedSelect.value = String(speed);
    this.#look(middle + this.#span * (1 - centre));
  }

  #made(parent, tag, text, name = "") {
    const node = document.createElement(tag);
    node.className = name;
    if (text) node.textContent = text;
    parent.append(node);
    return node;
  }

  #select(title, options, value, change) {
    const label = this.#made(this.find(".controls"), "label", title);
    const select = this.#made(label, "select", "");
    for (const [name, text] of options) this.#made(select, "option", text).value = name;
    select.value = value;
    select.addEventListener("change", () => change(select.value));
    return select;
  }

  #controls() {
    const group = this.#made(this.find(".controls"), "span", "", "group");
    const button = (parent, text, title, act) => {
      const node = this.#made(parent, "button", text);
      node.type = "button";
      node.title = title;
      node.setAttribute("aria-label", title);
      node.addEventListener("click", act);
      return node;
    };
    button(group, "|◀", "To the oldest", () => this.#look(-Infinity));
    button(group, "◀", "A screen back", () => this.#look(this.view.end - 0.9 * this.#span));
    button(group, "▶", "A screen on", () => this.#look(this.view.end + 0.9 * this.#span));
    button(group, "▶|", "To the newest", () => this.#look(Infinity));
    const named = (unit) => (value) => [String(value), `${value} ${unit}`];
    this.speedSelect = this.#select("Speed", SPEEDS_MM_PER_S.map(named("mm/s")), "25", (value) => this.#setSpeed(Number(value)));
    this.#select("Gain", REVIEW_GAINS.map(named("mm/mV")), "10", (value) => {
      this.paper.gain = Number(value);
      this.redraw();
    });
    const filter = () => this.ask({ do: "filter", filter: this.filterSelect.value, notch: Number(this.notchSelect.value) });
    this.filterSelect = this.#select("ECG filter", FILTERS, "raw", filter);
    this.notchSelect = this.#select("", NOTCHES, "0", filter);
    this.notchSelect.setAttribute("aria-label", "Mains notch");
    this.leadSelect = this.#select("Measure in", [], "", (value) => {
      const row = this.paper.rows[Number(value)];
      [this.view.trace, this.view.lead] = [row.trace, row.lead];
      this.redraw();
    });
    const measure = this.#made(this.find(".controls"), "span", "", "group");
    button(measure, "Callipers here", "Put both callipers on the part that is shown", () => this.#place(false));
    button(measure, "R–R", "Put the callipers on two beats in a row", () => this.#place(true));
    const why = this.#made(this.find(".controls"), "span", "", "group");
    this.explainButton = button(why, "Explain this moment", "What the network says of the 8 s before the orange mark, and where it looked", () => this.#explain());
    this.classSelect = this.#select("of", CLASSES, "", () => {});
    this.classSelect.setAttribute("aria-label", "Class to explain");
    button(this.find(".controls"), "Freeze anew", "Take the newest ten minutes", () => this.ask({ do: "refresh" }));
  }

  #leads() {
    this.leadSelect.replaceChildren();
    this.paper.rows.forEach((row, index) => {
      const option = this.#made(this.leadSelect, "option", `${row.name} (${row.trace.unit})`);
      option.value = String(index);
      option.selected = row.trace === this.view.trace && row.lead === this.view.lead;
    });
  }

  // Both callipers into sight: a second apart, or on the two beats nearest to the middle.
  #place(onBeats) {
    const middle = this.view.end - this.#span / 2;
    const { beats } = this.view;
    const next = beats.findIndex(([time]) => time > middle);
    if (onBeats && next > 0) this.view.cursors = [beats[next - 1][0], beats[next][0]];
    else this.view.cursors = [middle - 0.5, middle + 0.5];
    this.redraw();
  }

  #explain() {
    const { view, paper } = this;
    const row = paper.rows.find((one) => one.trace === view.trace && one.lead === view.lead);
    this.explainButton.disabled = true;
    this.ask({
      do: "explain", timeS: view.moment ?? view.end, lead: row?.trace.kind === "ecg" ? row.name : null,
      label: this.classSelect.value || null,
    });
  }

  #show(explanation) {
    if (explanation.startS < this.paper.from || explanation.endS > this.view.end) this.#look(explanation.endS + 1);
  }

  #gestures() {
    const { canvas } = this.paper;
    let grip = null;
    canvas.addEventListener("pointerdown", (event) => {
      grip = { x: event.offsetX, end: this.view.end, moved: false };
      canvas.setPointerCapture(event.pointerId);
    });
    canvas.addEventListener("pointermove", (event) => {
      if (grip === null || !event.buttons) return;
      grip.moved ||= Math.abs(event.offsetX - grip.x) > 4;
      if (grip.moved) this.#look(grip.end - (event.offsetX - grip.x) / this.paper.perSecond);
    });
    canvas.addEventListener("pointerup", (event) => {
      if (grip !== null && !grip.moved) this.#pick(event.offsetX, event.offsetY);
      grip = null;
    });
    canvas.addEventListener("wheel", (event) => {
      event.preventDefault();
      if (event.ctrlKey) this.#zoom(event.deltaY < 0 ? 1 : -1, event.offsetX / this.paper.width);
      else this.#look(this.view.end + ((event.deltaX || event.deltaY) * 1.5) / this.paper.perSecond);
    }, { passive: false });
    for (const handle of this.node.querySelectorAll(".cursor")) this.#handle(handle, Number(handle.dataset.cursor));
  }

  #pick(x, y) {
    const row = this.paper.rowAt(y);
    if (row) [this.view.trace, this.view.lead] = [row.trace, row.lead];
    this.#leads();
    this.view.moment = this.paper.timeAt(x);
    this.redraw();
  }

  #handle(handle, index) {
    handle.addEventListener("pointerdown", (event) => handle.setPointerCapture(event.pointerId));
    handle.addEventListener("pointermove", (event) => {
      if (!event.buttons) return;
      const x = event.clientX - this.paper.canvas.getBoundingClientRect().left;
      this.#move(index, this.paper.timeAt(Math.max(0, Math.min(this.paper.width, x))));
    });
    handle.addEventListener("keydown", (event) => {
      const steps = { ArrowLeft: -1, ArrowRight: 1, PageDown: -25, PageUp: 25 }[event.key];
      if (steps === undefined) return;
      event.preventDefault();
      const step = MEASURE_STEP_S * steps * (event.shiftKey ? 10 : 1);
      this.#move(index, this.view.cursors[index] + step);
    });
  }

  #move(index, time) {
    this.view.cursors[index] = Math.max(this.view.startS, Math.min(this.view.endS, time));
    this.redraw();
  }

  #keys() {
    this.paper.canvas.addEventListener("keydown", (event) => {
      const acts = {
        ArrowLeft: () => this.#look(this.view.end - 1),
        ArrowRight: () => this.#look(this.view.end + 1),
        PageUp: () => this.#look(this.view.end - 0.9 * this.#span),
        PageDown: () => this.#look(this.view.end + 0.9 * this.#span),
        Home: () => this.#look(-Infinity),
        End: () => this.#look(Infinity),
        "+": () => this.#zoom(1),
        "-": () => this.#zoom(-1),
      };
      if (!acts[event.key] || this.view === null) return;
      event.preventDefault();
      acts[event.key]();
    });
  }

  redraw() {
    if (this.drawing || this.view === null) return;
    this.drawing = true;
    requestAnimationFrame(() => {
      this.drawing = false;
      this.#theme();
      this.paper.draw(this.view);
      this.overview.draw(this.view, this.paper);
      this.#readings();
    });
  }

  #theme() {
    const [red, green, blue] = this.#background();
    const theme = 0.3 * red + 0.6 * green + 0.1 * blue > 128 ? "light" : "dark";
    this.node.dataset.theme = theme;
    this.paper.colours = PAPERS[theme];
  }

  #background() {
    this.node.style.backgroundColor = "var(--st-background-color)";
    return (getComputedStyle(this.node).backgroundColor.match(/[\d.]+/g) ?? [0, 0, 0]).map(Number);
  }

  #readings() {
    const { trace, lead, cursors } = this.view;
    const [from, to] = cursors;
    const seconds = to - from;
    const difference = trace.valueAt(lead, to) - trace.valueAt(lead, from);
    const rate = Math.abs(seconds) > 0.001 ? `${(60 / Math.abs(seconds)).toFixed(1)} bpm` : "– bpm";
    const digits = trace.unit === "mV" ? 2 : 1;
    const level = Number.isNaN(difference) ? "–" : `${difference >= 0 ? "+" : "−"}${Math.abs(difference).toFixed(digits)}`;
    const ms = Math.round(seconds * 1000);
    this.find(".readout").textContent =
      `A→B  Δt ${ms} ms   ${rate}   ${trace.channels[lead]}: Δ ${level} ${trace.unit}`;
    Object.assign(this.node.dataset, {
      ms: String(ms), end: this.view.end.toFixed(3), from: this.paper.from.toFixed(3), speed: String(this.paper.speed),
      explained: this.view.explanation?.label ?? "",
    });
    for (const handle of this.node.querySelectorAll(".cursor")) {
      const time = cursors[Number(handle.dataset.cursor)];
      const x = this.paper.x(time);
      handle.hidden = x < 0 || x > this.paper.width;
      handle.style.left = `${x}px`;
      handle.setAttribute("aria-label", `Calliper ${handle.textContent}`);
      handle.setAttribute("aria-valuemin", "0");
      handle.setAttribute("aria-valuemax", String(Math.round((this.view.endS - this.view.startS) * 1000)));
      handle.setAttribute("aria-valuenow", String(Math.round((time - this.view.startS) * 1000)));
      handle.setAttribute("aria-valuetext", `${clockText(time, 3)} UTC, ${ms} ms between A and B`);
    }
  }

  #tick() {
    if (this.view === null) {
      // The payload that came with the mount was lost on its way.
      if (performance.now() - this.mountedAt > 3000) this.ask({ do: "resend" });
      if (performance.now() - this.mountedAt > 3000) this.mountedAt = performance.now();
      return;
    }
    const theme = this.node.dataset.theme;
    this.#theme();
    if (theme !== this.node.dataset.theme) this.redraw();
    const { frozenS, startS, endS } = this.view;
    const say = (name, text) => {
      if (this.find(name).textContent !== text) this.find(name).textContent = text;
    };
    say(".state", `FROZEN – not live, ${clockText(frozenS)} UTC`);
    say(".since", `${this.settings.bed} · ${((endS - startS) / 60).toFixed(1)} min up to then · ${this.paper.speed} mm/s, ${this.paper.gain} mm/mV`);
  }

  stop() {
    clearInterval(this.timer);
    this.observer.disconnect();
  }
}

export default function ({ parentElement, data, setTriggerValue }) {
  const line = (window.wardwaveReview ??= { sink: null, waiting: [] });
  if (parentElement.wardwaveReview?.settings.view !== data.view) {
    parentElement.wardwaveReview?.stop();
    parentElement.wardwaveReview = new Review(parentElement, data, (what) => setTriggerValue("ask", what));
    if (line.whole) parentElement.wardwaveReview.receive(line.whole);
  }
  const sink = (bytes) => parentElement.wardwaveReview?.receive(bytes);
  line.sink = sink;
  for (const bytes of line.waiting.splice(0)) sink(bytes);
  return () => {
    parentElement.wardwaveReview?.stop();
    parentElement.wardwaveReview = undefined;
    if (line.sink === sink) line.sink = null;
  };
}
