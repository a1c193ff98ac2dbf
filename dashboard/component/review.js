// The frozen view of one bed: mounted once, filled by review_pipe.js; asks dashboard/review.py for what it computes.

const ASK_AGAIN_MS = 400; // while the server still works on an explanation

class Review {
  constructor(parent, settings, ask) {
    this.node = parent.querySelector(".review");
    this.settings = settings;
    this.ask = ask;
    this.find = (name) => this.node.querySelector(name);
    this.paper = new Paper(this.find(".paper"), settings.pixelsPerMm);
    this.overview = new Overview(this.find(".overview"), (time) => this.#look(time + this.#span / 2));
    this.now = new WardNow(this.find(".now"));
    this.view = null;
    this.node.inert = true;
    this.drawing = false;
    const acts = this.#acts();
    this.toolbar = new Toolbar(this.find(".controls"), acts);
    listenToPaper(this.paper.canvas, acts);
    for (const handle of this.node.querySelectorAll(".cursor")) listenToCalliper(handle, this.paper.canvas, acts);
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
    this.find(".said").textContent = found.pending ? "The network is asked …" : found.said;
    this.toolbar.explain.disabled = found.pending;
    clearTimeout(this.waiting);
    if (found.pending) this.waiting = setTimeout(() => this.ask({ ...this.asked, again: found.seq }), ASK_AGAIN_MS);
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

  // What toolbar, mouse and keys do; the view is inert until there is something to do it to.
  #acts() {
    return {
      end: () => this.view.end,
      seconds: (pixels) => pixels / this.paper.perSecond,
      look: (end) => this.#look(end),
      turn: (screens) => this.#look(this.view.end + 0.9 * screens * this.#span),
      zoom: (steps, centre = 0.5) => {
        const at = SPEEDS_MM_PER_S.indexOf(this.paper.speed) + steps;
        this.#setSpeed(SPEEDS_MM_PER_S[Math.max(0, Math.min(SPEEDS_MM_PER_S.length - 1, at))], centre);
      },
      setSpeed: (speed) => this.#setSpeed(speed),
      setGain: (gain) => {
        this.paper.gain = gain;
        this.redraw();
      },
      filter: (filter, notch) => this.ask({ do: "filter", filter, notch }),
      measureIn: (index) => this.#measureIn(this.paper.rows[index]),
      place: (onBeats) => this.#place(onBeats),
      pick: (x, y) => {
        const row = this.paper.rowAt(y);
        if (row) this.#measureIn(row);
        this.#leads();
        this.view.moment = this.paper.timeAt(x);
        this.redraw();
      },
      drag: (index, x) => this.#move(index, this.paper.timeAt(Math.max(0, Math.min(this.paper.width, x)))),
      nudge: (index, seconds) => this.#move(index, this.view.cursors[index] + seconds),
      explain: (label) => this.#explain(label),
      refresh: () => this.ask({ do: "refresh" }),
    };
  }

  get #span() {
    return this.paper.width / this.paper.perSecond;
  }

  get #row() {
    return this.paper.rows.find((row) => row.trace === this.view.trace && row.lead === this.view.lead);
  }

  #look(end) {
    if (this.view === null) return;
    const { startS, endS } = this.view;
    this.view.end = Math.max(Math.min(endS, startS + this.#span), Math.min(endS, end));
    this.redraw();
  }

  #setSpeed(speed, centre = 0.5) {
    const middle = this.view.end - this.#span * (1 - centre);
    this.paper.speed = speed;
    this.toolbar.speed.value = String(speed);
    this.#look(middle + this.#span * (1 - centre));
  }

  #measureIn(row) {
    [this.view.trace, this.view.lead] = [row.trace, row.lead];
    this.redraw();
  }

  #leads() {
    this.toolbar.showLeads(this.paper.rows, this.#row);
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

  #move(index, time) {
    this.view.cursors[index] = Math.max(this.view.startS, Math.min(this.view.endS, time));
    this.redraw();
  }

  #explain(label) {
    const { view } = this;
    const row = this.#row;
    this.toolbar.explain.disabled = true;
    this.find(".said").textContent = "The network is asked …";
    this.asked = {
      do: "explain", timeS: view.moment ?? view.end, lead: row?.trace.kind === "ecg" ? row.name : null, label,
    };
    this.ask(this.asked);
  }

  #show(explanation) {
    if (explanation.startS < this.paper.from || explanation.endS > this.view.end) this.#look(explanation.endS + 1);
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
    clearTimeout(this.waiting);
    this.now.stop();
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
