// The EEG of one bed: mounted by eeg_mount.js; eeg_pane_pipe.js brings the feeds (dashboard/eeg_feed.py).

const OLD_S = 3;
const NOTICE_S = 5;

class EegPage {
  constructor(root, settings, ask) {
    this.token = settings.view;
    this.ask = ask;
    this.node = root.querySelector(".eeg");
    this.find = (name) => this.node.querySelector(name);
    this.trends = new EegTrends();
    this.signal = null;
    this.montages = [];
    this.clock = new PlaybackClock();
    this.look = null; // index of the first sample of the page that is frozen; null while it is live
    this.why = false; // whether it is shown what spoke for a seizure
    this.explanation = "";
    this.age = Infinity;
    this.seq = this.bytes = this.frames = 0;
    this.receivedAt = performance.now() / 1000;
    this.noticeUntil = 0;
    this.running = true;
    this.controls = new EegControls(this.find(".controls"), (name) => this.#changed(name));
    this.view = new EegView(this.find, this.controls, settings.pixelsPerMm);
    this.#build();
    this.observer = new ResizeObserver(() => this.view.layOut(this.montage));
    this.observer.observe(this.view.box);
    // A timer besides the frames: what is lost must show even where no frame is drawn.
    this.timer = setInterval(() => this.refresh(), 250);
    requestAnimationFrame(() => this.frame());
  }

  #build() {
    const { controls } = this;
    this.freezeButton = controls.button("freeze", "Freeze", "Hold this page; look back with the arrow keys", () => (this.look === null ? this.freeze() : this.live()));
    controls.button("back", "◀", "A page back", () => this.turn(-1));
    this.onButton = controls.button("on", "▶", "A page on", () => this.turn(1));
    this.whyButton = controls.button("explain", "Why?", "What spoke for a seizure in this page, by derivation and second", () => this.#explain(!this.why));
    controls.choose("montage", "Montage", [["longitudinal", "Longitudinal bipolar"]], "longitudinal");
    controls.choose("sensitivity", "µV/mm", SENSITIVITIES.map((value) => [String(value), String(value)]), "7");
    controls.choose("base", "Time base", TIME_BASES, "10");
    controls.choose("low", "Low cut", LOW_CUTS, "1");
    controls.choose("high", "High cut", HIGH_CUTS, "70");
    controls.choose("mains", "Notch", MAINS, "0");
    this.lanes = new EegTrendPane(this.find, controls, (time) => this.#jump(time));
    this.find(".look").replaceChildren();
    const label = element(this.find(".look"), "label", "");
    label.append("Look back");
    this.slider = element(label, "input", "");
    Object.assign(this.slider, { type: "range", min: "0", step: "1" });
    this.slider.addEventListener("input", () => this.#lookAt(this.#oldest + Number(this.slider.value)));
    listenToEeg(this.view.box, {
      sensitivity: (by) => controls.step(by),
      scroll: (seconds) => this.scroll(seconds),
      turn: (pages) => this.turn(pages),
      freeze: () => (this.look === null ? this.freeze() : this.live()),
      measure: (from, until) => this.#measureAt(from, until),
    });
  }

  receive(bytes) {
    const feed = decodeHeader(bytes);
    if (feed.view !== this.token || feed.seq <= this.seq) return;
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
    const whole = this.trends.push(feed, take);
    this.trends.looked = this.why ? feed.looked : null;
    this.explanation = this.why ? feed.explanation : "";
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
    const wanted = this.signal?.wanted(now, this.look, this.view.span);
    if (wanted) this.ask({ ...wanted, number: this.seq });
  }

  #begin(stream) {
    this.signal = new EegSignal(stream);
    this.live();
  }

  #offer(montages) {
    this.montages = montages;
    this.controls.offer("montage", montages.map(({ id, title }) => [id, title]));
    const ids = montages.map(({ id }) => id);
    const kept = preference("eeg.montage", ids[0] ?? "", ids);
    if (ids.length) this.controls.set("montage", kept, false);
    this.view.layOut(this.montage);
  }

  get montage() {
    return this.montages.find(({ id }) => id === this.controls.values.montage) ?? this.montages[0] ?? null;
  }

  #changed(name) {
    const { view } = this;
    if (name === "montage" || name === "base") view.layOut(this.montage);
    else if (["low", "high", "mains"].includes(name)) view.anew();
    view.measure = null;
    view.redraw();
    this.refresh();
  }

  frame() {
    if (!this.running) return;
    const { signal, view } = this;
    const time = this.clock.tick(performance.now() / 1000);
    if (signal !== null && view.layout && view.box.clientWidth && Number.isFinite(time)) {
      this.frames++;
      if (this.look === null) view.sweep(signal, Math.min(signal.head, signal.indexAt(time)));
      else if (view.page(signal, this.look)) view.drawGround(signal, this.trends);
    }
    requestAnimationFrame(() => this.frame());
  }

  freeze() {
    if (this.signal === null) return;
    const end = this.signal.indexAt(this.view.shownTime ?? this.signal.headTime);
    this.#lookAt(end - Math.ceil(this.view.span * this.signal.fs));
  }

  live() {
    this.look = this.view.measure = null;
    this.view.anew();
    this.refresh();
  }

  turn(pages) {
    this.scroll(pages * this.view.span);
  }

  scroll(seconds) {
    if (this.look === null) {
      if (seconds > 0) return;
      this.freeze();
    }
    if (this.look !== null) this.#lookAt(this.look + Math.round(seconds * this.signal.fs));
  }

  #lookAt(index) {
    if (this.signal === null || !this.view.layout) return;
    this.look = Math.max(this.#oldest, Math.min(this.#latest, index));
    this.view.measure = null;
    this.view.pageDrawn = false;
    this.refresh();
  }

  get #oldest() {
    return this.signal.first;
  }

  get #latest() {
    return Math.max(this.#oldest, this.signal.head - Math.floor(this.view.span * this.signal.fs));
  }

  // What spoke for a seizure where a network found it likeliest: in the frozen page, or live in the newest one.
  #explain(on) {
    this.why = on;
    this.trends.looked = null;
    if (!on) this.ask({ do: "forget", number: this.seq });
    else {
      const { layout } = this.view;
      const at = likeliest(this.trends.marks.steps, layout.from, layout.until);
      this.explanation = at === null ? "No network has judged this page" : "The network is asked …";
      if (at !== null) this.ask({ do: "explain", time_s: at, number: this.seq });
    }
    this.refresh();
  }

  #jump(time) {
    if (time === null || this.signal === null) return;
    if (time >= this.signal.timeOf(this.signal.first)) this.#lookAt(this.signal.indexAt(time - this.view.span / 2));
    else [this.notice, this.noticeUntil] = [`${eegDate(time)} UTC is older than the samples held here`, performance.now() / 1000 + NOTICE_S];
  }

  // Duration, its frequency, and the height of a row between two places of a frozen page.
  #measureAt(from, until) {
    const { view } = this;
    if (this.look === null || view.derived === null) return;
    view.measure = measured(view.derived, view.layout, from, until) ?? view.measure;
    this.refresh();
  }

  #theme() {
    this.node.style.backgroundColor = "var(--st-background-color)";
    const [red, green, blue] = (getComputedStyle(this.node).backgroundColor.match(/[\d.]+/g) ?? [0, 0, 0]).map(Number);
    const theme = 0.3 * red + 0.6 * green + 0.1 * blue > 128 ? "light" : "dark";
    if (this.node.dataset.theme === theme) return;
    this.node.dataset.theme = theme;
    this.view.inks = INKS[theme];
    this.view.redraw();
  }

  refresh() {
    this.#theme();
    const now = performance.now() / 1000;
    const frozen = this.look !== null;
    this.#badge(frozen, now - this.receivedAt);
    this.freezeButton.setAttribute("aria-pressed", String(frozen));
    show(this.freezeButton, frozen ? "● Back to live" : "Freeze");
    this.onButton.disabled = !frozen;
    this.#drawTrends(now - this.receivedAt);
    if (this.signal === null || !this.view.layout) return;
    show(this.find(".reading"), now < this.noticeUntil ? this.notice : this.view.measure?.text ?? "");
    this.slider.max = String(this.#latest - this.#oldest);
    this.slider.value = String((frozen ? this.look : this.#latest) - this.#oldest);
    this.#words();
    this.view.drawGround(this.signal, this.trends);
    const held = (this.signal.head - this.signal.first) / this.signal.fs;
    Object.assign(this.node.dataset, {
      montage: this.montage.id, rows: String(this.montage.rows.length), held: held.toFixed(1), bytes: String(this.bytes),
      holes: String(this.signal.holes.length), frames: String(this.frames), columns: String(this.trends.density.head - this.trends.density.first),
    });
  }

  #badge(frozen, silence) {
    const age = this.age + silence;
    const lost = silence > LOST_S ? `CONNECTION LOST ${Math.floor(silence)} s` : this.signal !== null && age > OLD_S ? `NO DATA ${Math.floor(age)} s` : "";
    const past = this.signal === null && this.trends.past.minutes.size > 0;
    this.node.dataset.mode = frozen ? "frozen" : past ? "past" : "live";
    const badge = this.find(".badge");
    badge.className = `badge ${frozen ? "frozen" : ""} ${(lost || past) && !frozen ? "lost" : ""}`;
    show(badge, frozen ? [`FROZEN, ${eegClock(this.signal.timeOf(this.look))} UTC, not live`, lost].filter(Boolean).join("; ")
      : lost || (past ? `NO EEG NOW, the newest numbers are of ${eegDate(this.trends.past.until)} UTC` : this.signal === null ? "Waiting for the first samples" : `LIVE, ${Math.max(0, age).toFixed(1)} s`));
    this.view.box.classList.toggle("old", !frozen && lost !== "");
    show(this.find(".gone"), frozen ? "" : lost);
  }

  #words() {
    const { stream, signal, montage, trends } = this;
    show(this.find(".meta"), eegStreamWords(stream, signal));
    show(this.find(".said"), eegScaleWords(this.controls.values, stream, montage));
    show(this.find(".found"), eegFound(trends.marks, signal.headTime));
    show(this.find(".why"), this.why ? lookedWords(trends.looked, montage) || this.explanation : "");
    this.whyButton.setAttribute("aria-pressed", String(this.why));
    this.whyButton.disabled = !this.why && trends.marks.steps.length === 0;
    this.view.box.setAttribute("aria-label", `EEG, ${montage.title}, ${montage.rows.length} derivations: arrows up and down change the sensitivity, left and right look back, space freezes`);
  }

  // What stops coming leaves a gap that grows; up to what was told last it is known what held.
  #drawTrends(silence) {
    const { look, view, signal, trends } = this;
    if (signal === null && !trends.past.minutes.size) return;
    const told = signal === null ? trends.past.until : signal.headTime + (this.age > OLD_S ? this.age : 0);
    const now = signal === null ? Math.max(told, Date.now() / 1000) : told + (silence > LOST_S ? silence : 0);
    const start = look === null ? null : signal.timeOf(look);
    this.lanes.draw(trends, {
      told, now, cursor: look === null ? null : [start, start + view.span],
      theme: this.node.dataset.theme, inks: view.inks,
    });
  }

  stop() {
    this.running = false;
    clearInterval(this.timer);
    this.observer.disconnect();
  }
}
