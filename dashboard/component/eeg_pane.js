// The EEG of one bed: mounted once a page; eeg_pane_pipe.js brings the feeds (dashboard/eeg_feed.py).

const OLD_S = 3;
const SHOWN_MARGIN_S = 6; // derived beyond the page's edges, so that scrolling is cheap

class EegPage {
  constructor(root, settings, ask) {
    this.view = settings.view;
    this.pixelsPerMm = settings.pixelsPerMm;
    this.ask = ask;
    this.node = root.querySelector(".eeg");
    this.find = (name) => this.node.querySelector(name);
    this.box = this.find(".sheet");
    this.sheet = new EegSheet(this.find(".traces"));
    this.ground = new EegGround(this.find(".ground"), this.find(".over"));
    this.trends = { density: new DensityArray(), series: new TrendSeries(), marks: new SeizureMarks() };
    this.signal = null;
    this.montages = [];
    this.clock = new PlaybackClock();
    this.look = null; // index of the first sample of the page that is frozen; null while it is live
    this.measure = null;
    this.age = Infinity;
    this.seq = this.bytes = this.frames = 0;
    this.receivedAt = performance.now() / 1000;
    this.running = true;
    this.#build();
    this.observer = new ResizeObserver(() => this.#layOut());
    this.observer.observe(this.box);
    // A timer besides the frames: what is lost must show even where no frame is drawn.
    this.timer = setInterval(() => this.refresh(), 250);
    requestAnimationFrame(() => this.frame());
  }

  #build() {
    const bar = this.find(".controls");
    bar.replaceChildren();
    this.controls = new EegControls(bar, (name) => this.#changed(name));
    const { controls } = this;
    this.freezeButton = controls.button("freeze", "Freeze", "Hold this page; look back with the arrow keys", () => (this.look === null ? this.freeze() : this.live()));
    controls.button("back", "◀", "A page back", () => this.turn(-1));
    this.onButton = controls.button("on", "▶", "A page on", () => this.turn(1));
    controls.choose("montage", "Montage", [["longitudinal", "Longitudinal bipolar"]], "longitudinal");
    controls.choose("sensitivity", "µV/mm", SENSITIVITIES.map((value) => [String(value), String(value)]), "7");
    controls.choose("base", "Time base", TIME_BASES, "10");
    controls.choose("low", "Low cut", LOW_CUTS, "1");
    controls.choose("high", "High cut", HIGH_CUTS, "70");
    controls.choose("mains", "Notch", MAINS, "0");
    this.find(".choices").replaceChildren();
    controls.choose("hours", "Shown", TREND_HOURS, "1", this.find(".choices"));
    trendLegend(this.find(".legend"));
    this.find(".look").replaceChildren();
    const label = element(this.find(".look"), "label", "");
    label.append("Look back");
    this.slider = element(label, "input", "");
    Object.assign(this.slider, { type: "range", min: "0", step: "1" });
    this.slider.addEventListener("input", () => this.#lookAt(this.#oldest + Number(this.slider.value)));
    this.lanesNode = this.find(".lanes");
    this.lanes = new EegLanes(this.lanesNode);
    this.lanesNode.addEventListener("click", (event) => this.#jump(this.lanes.timeAt(event.offsetX)));
    listenToEeg(this.box, {
      sensitivity: (by) => controls.step(by),
      scroll: (seconds) => this.scroll(seconds),
      turn: (pages) => this.turn(pages),
      freeze: () => (this.look === null ? this.freeze() : this.live()),
      measure: (from, until) => this.#measureAt(from, until),
    });
  }

  receive(bytes) {
    const feed = decodeHeader(bytes);
    if (feed.view !== this.view || feed.seq <= this.seq) return;
    this.seq = feed.seq;
    this.bytes += bytes.byteLength;
    const body = bytes.slice(4 + new DataView(bytes.buffer, bytes.byteOffset).getUint32(0, true)).buffer;
    let at = 0;
    const take = (Kind, count) => {
      const taken = new Kind(body.slice(at, at + count * Kind.BYTES_PER_ELEMENT));
      at += taken.byteLength;
      return taken;
    };
    const now = performance.now() / 1000;
    if (feed.layout) this.#offer(feed.layout);
    if (feed.stream) {
      const { stream } = feed;
      this.stream = stream;
      if (this.signal === null || this.signal.outlived(stream)) this.#begin(stream);
      const newest = take(Int16Array, stream.newest.count * stream.channels.length);
      const past = stream.past ? take(Int16Array, stream.past.count * stream.channels.length) : null;
      this.signal.push(stream, newest, past);
      this.clock.arrive(now, this.signal.headTime);
      this.age = stream.age;
    }
    const { trends } = this;
    let whole = feed.whole || !feed.spectrum;
    if (feed.spectrum) whole = trends.density.push(feed.spectrum, take(Uint8Array, feed.spectrum.count * 2 * SPECTRUM_BINS), feed.whole);
    if (feed.trends) {
      const { count, names } = feed.trends;
      const times = take(Float64Array, count);
      whole = trends.series.push(feed.trends, times, take(Float32Array, count * names.length), feed.whole) && whole;
    }
    if (feed.marks) whole = trends.marks.push(feed.marks, feed.whole) && whole;
    this.receivedAt = now;
    this.#askFor(whole, now);
    this.refresh();
  }

  // What this page lacks: a new page everything but the newest samples, a page that was hidden what it missed.
  #askFor(whole, now) {
    if (!whole || (this.signal !== null && this.montages.length === 0)) {
      if (now - (this.askedAt ?? -Infinity) < ASK_AGAIN_S) return;
      this.askedAt = now;
      this.ask({ do: "whole", number: this.seq });
      return;
    }
    const wanted = this.signal?.wanted(now, this.look, this.layout?.span ?? 0);
    if (wanted) this.ask({ ...wanted, number: this.seq });
  }

  #begin(stream) {
    this.signal = new EegSignal(stream);
    this.derived = null;
    this.live();
  }

  #offer(montages) {
    this.montages = montages;
    this.controls.offer("montage", montages.map(({ id, title }) => [id, title]));
    const ids = montages.map(({ id }) => id);
    const kept = preference("eeg.montage", ids[0] ?? "", ids);
    if (ids.length) this.controls.set("montage", kept, false);
    this.#layOut();
  }

  get montage() {
    return this.montages.find(({ id }) => id === this.controls.values.montage) ?? this.montages[0] ?? null;
  }

  #changed(name) {
    if (name === "montage" || name === "base") this.#layOut();
    else if (["low", "high", "mains"].includes(name)) this.derived = null;
    this.sheet.forget();
    this.pageDrawn = false;
    this.refresh();
  }

  #layOut() {
    this.layout = null;
    this.derived = null;
    this.pageDrawn = false;
    const [width, height] = [this.box.clientWidth, this.box.clientHeight];
    if (this.montage === null || width < 2 * LEFT || height < 50) return;
    this.layout = new EegLayout(this.montage.rows, width, height, this.pixelsPerMm);
    this.layout.setTimeBase(this.controls.values.base);
    this.sheet.fit(width, height);
    this.sheet.forget();
  }

  frame() {
    if (!this.running) return;
    const { signal, layout, controls } = this;
    const time = this.clock.tick(performance.now() / 1000);
    if (signal !== null && layout && this.box.clientWidth && Number.isFinite(time)) {
      this.frames++;
      const uvPerMm = Number(controls.values.sensitivity);
      if (this.look === null) this.#sweep(Math.min(signal.head, signal.indexAt(time)), uvPerMm);
      else if (!this.pageDrawn || this.derived?.stale) this.#page(uvPerMm);
    }
    requestAnimationFrame(() => this.frame());
  }

  #sweep(end, uvPerMm) {
    const { signal, layout } = this;
    if (this.derived?.whole) this.derived = null;
    if (this.derived === null || this.derived.stale) {
      const from = end - Math.ceil(layout.span * signal.fs);
      this.derived = new Derived(signal, this.montage.rows, this.controls.cuts, from, layout.span + SHOWN_MARGIN_S);
      this.sheet.forget();
    }
    this.derived.run(signal.head);
    layout.lap(signal.timeOf(end));
    this.sheet.sweep(this.derived, layout, end, uvPerMm, this.inks);
    this.shownTime = signal.timeOf(end);
  }

  #page(uvPerMm) {
    const { signal, layout } = this;
    const from = this.look;
    const until = Math.min(signal.head, from + Math.ceil(layout.span * signal.fs) + 1);
    const margin = Math.round(SHOWN_MARGIN_S * signal.fs);
    const { derived } = this;
    if (!derived?.whole || derived.stale || from < derived.first || until > derived.head) {
      this.derived = new Derived(signal, this.montage.rows, this.controls.cuts, from - margin, layout.span + 2 * SHOWN_MARGIN_S);
      this.derived.run(Math.min(signal.head, until + margin));
      this.derived.whole = true; // worked out once: it does not go on with what comes
    }
    layout.page(signal.timeOf(from));
    this.sheet.page(this.derived, layout, uvPerMm, this.inks);
    // A page that is not full yet fills while it is looked at.
    this.pageDrawn = from + Math.ceil(layout.span * signal.fs) < signal.head;
    this.#drawGround();
  }

  freeze() {
    if (this.signal === null || !this.layout) return;
    const end = this.signal.indexAt(this.shownTime ?? this.signal.headTime);
    this.#lookAt(end - Math.ceil(this.layout.span * this.signal.fs));
  }

  live() {
    this.look = this.measure = this.derived = null;
    this.sheet.forget();
    this.refresh();
  }

  turn(pages) {
    this.scroll(pages * (this.layout?.span ?? 0));
  }

  scroll(seconds) {
    if (this.look === null) {
      if (seconds > 0) return;
      this.freeze();
    }
    if (this.look !== null) this.#lookAt(this.look + Math.round(seconds * this.signal.fs));
  }

  #lookAt(index) {
    if (this.signal === null || !this.layout) return;
    this.look = Math.max(this.#oldest, Math.min(this.#latest, index));
    this.measure = null;
    this.pageDrawn = false;
    this.refresh();
  }

  get #oldest() {
    return this.signal.first;
  }

  get #latest() {
    return Math.max(this.#oldest, this.signal.head - Math.floor(this.layout.span * this.signal.fs));
  }

  #jump(time) {
    if (time === null || this.signal === null || !this.layout) return;
    if (time < this.signal.timeOf(this.signal.first)) {
      show(this.find(".reading"), `${eegClock(time)} is older than the samples held here`);
      return;
    }
    this.#lookAt(this.signal.indexAt(time - this.layout.span / 2));
  }

  // Duration, its frequency, and the height of a row between two places of a frozen page.
  #measureAt(from, until) {
    if (this.look === null || !this.layout || this.derived === null) return;
    const [begin, end] = [this.layout.timeAt(from.x), this.layout.timeAt(until.x)];
    if (begin === null || end === null) return;
    const row = this.layout.rowAt(from.y);
    this.measure = { from: begin, until: end };
    let [low, high] = [Infinity, -Infinity];
    for (let index = this.signal.indexAt(Math.min(begin, end)); index <= this.signal.indexAt(Math.max(begin, end)); index++) {
      const value = this.derived.value(row, index);
      if (value < low) low = value;
      if (value > high) high = value;
    }
    const seconds = Math.abs(end - begin);
    const height = low <= high ? `${(high - low).toFixed(0)} µV peak to peak in ${this.layout.rows[row].name}` : "no data";
    show(this.find(".reading"), `${(1000 * seconds).toFixed(0)} ms · ${seconds > 0 ? (1 / seconds).toFixed(2) : "–"} Hz · ${height}`);
    this.#drawGround();
  }

  get inks() {
    return INKS[this.node.dataset.theme] ?? INKS.dark;
  }

  #theme() {
    this.node.style.backgroundColor = "var(--st-background-color)";
    const [red, green, blue] = (getComputedStyle(this.node).backgroundColor.match(/[\d.]+/g) ?? [0, 0, 0]).map(Number);
    const theme = 0.3 * red + 0.6 * green + 0.1 * blue > 128 ? "light" : "dark";
    if (this.node.dataset.theme === theme) return;
    this.node.dataset.theme = theme;
    this.sheet.forget();
    this.pageDrawn = false;
  }

  #drawGround() {
    const { signal, layout } = this;
    if (!signal || !layout || layout.from === undefined) return;
    this.ground.draw(layout, signal, eegMarks(this), { uvPerMm: Number(this.controls.values.sensitivity), measure: this.measure }, this.inks);
  }

  refresh() {
    this.#theme();
    const now = performance.now() / 1000;
    const silence = now - this.receivedAt;
    const age = this.age + silence;
    const lost = silence > LOST_S ? `CONNECTION LOST ${Math.floor(silence)} s` : this.signal !== null && age > OLD_S ? `NO DATA ${Math.floor(age)} s` : "";
    const frozen = this.look !== null;
    this.node.dataset.mode = frozen ? "frozen" : "live";
    const badge = this.find(".badge");
    badge.className = `badge ${frozen ? "frozen" : ""} ${lost && !frozen ? "lost" : ""}`;
    show(badge, frozen ? [`FROZEN, ${eegClock(this.signal.timeOf(this.look))} UTC, not live`, lost].filter(Boolean).join("; ")
      : lost || (this.signal === null ? "Waiting for the first samples" : `LIVE, ${Math.max(0, age).toFixed(1)} s`));
    this.box.classList.toggle("old", !frozen && lost !== "");
    show(this.find(".lost"), frozen ? "" : lost);
    this.freezeButton.setAttribute("aria-pressed", String(frozen));
    show(this.freezeButton, frozen ? "● Back to live" : "Freeze");
    this.onButton.disabled = !frozen;
    if (this.signal === null || !this.layout) return;
    if (!frozen) show(this.find(".reading"), "");
    this.slider.max = String(this.#latest - this.#oldest);
    this.slider.value = String((frozen ? this.look : this.#latest) - this.#oldest);
    this.#words();
    this.#drawGround();
    this.#drawTrends();
    const held = (this.signal.head - this.signal.first) / this.signal.fs;
    Object.assign(this.node.dataset, {
      montage: this.montage.id, rows: String(this.montage.rows.length), held: held.toFixed(1), bytes: String(this.bytes),
      holes: String(this.signal.holes.length), frames: String(this.frames), columns: String(this.trends.density.head - this.trends.density.first),
    });
  }

  #words() {
    const { stream, montage } = this;
    const { sensitivity, base, low, high, mains } = this.controls.values;
    const rate = stream.sourceHz === stream.fs ? `${stream.fs} Hz` : `${stream.sourceHz} Hz, shown at ${Math.round(stream.fs)}`;
    show(this.find(".meta"), `${stream.device} · ${stream.channels.length} channels · ${rate} · held ${Math.floor((this.signal.head - this.signal.first) / this.signal.fs / 60)} min`);
    const kept = [`${sensitivity} µV/mm`, base.startsWith("mm") ? `${base.slice(2)} mm/s at 96 dpi` : `${base} s a page`, "negative up"];
    const high_ = stagesOf({ high: Number(high) }, stream.fs).length ? `${high} Hz` : `the rate's limit`;
    kept.push(`display filters, causal: ${low} Hz (6 dB/octave) to ${high_}${mains === "0" ? "" : `, notch ${mains} Hz`}`);
    if (montage.said) kept.push(montage.said);
    if (montage.rows.some((row) => row.bridged)) kept.push("* another electrode than usual");
    show(this.find(".said"), kept.join(" · "));
    show(this.find(".found"), eegFound(this.trends.marks, this.signal.headTime));
    this.box.setAttribute("aria-label", `EEG, ${montage.title}, ${montage.rows.length} derivations: arrows up and down change the sensitivity, left and right look back, space freezes`);
  }

  // Once a second: they change no faster.
  #drawTrends() {
    const now = performance.now();
    const cursor = this.look === null ? null : [this.signal.timeOf(this.look), this.signal.timeOf(this.look) + this.layout.span];
    const key = `${cursor} ${this.controls.values.hours} ${this.node.dataset.theme} ${this.lanesNode.clientWidth}`;
    if (key === this.trendsKey && now - this.trendsAt < 1000) return;
    [this.trendsKey, this.trendsAt] = [key, now];
    this.lanes.draw(this.trends, this.signal.headTime, Number(this.controls.values.hours), cursor, this.inks);
  }

  stop() {
    this.running = false;
    clearInterval(this.timer);
    this.observer.disconnect();
  }
}

export default function ({ parentElement, data, setTriggerValue }) {
  const ask = (what) => setTriggerValue("ask", what);
  if (parentElement.wardwaveEeg?.view !== data.view) {
    parentElement.wardwaveEeg?.stop();
    parentElement.wardwaveEeg = new EegPage(parentElement, data, ask);
  }
  const page = parentElement.wardwaveEeg;
  page.ask = ask;
  const line = (window.wardwaveEeg ??= { sink: null, waiting: [] });
  const sink = (bytes) => page.receive(bytes);
  line.sink = sink;
  for (const bytes of line.waiting.splice(0)) sink(bytes);
  return () => {
    parentElement.wardwaveEeg?.stop();
    parentElement.wardwaveEeg = undefined;
    if (line.sink === sink) line.sink = null;
  };
}
