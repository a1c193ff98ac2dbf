// One bed: its label, traces, numbers, alarm and the age of its data. Labels from devices are set as text only.

const STALE_S = 3;
const NUMBER_STALE_S = 5;
const TWO_ROWS_PX = 100; // a lower tile shows its first trace only

// The number across the room; null where there is none.
function large(header) {
  return header.large === "RR" ? header.respiratoryRate : header.heartRate;
}

class Tile {
  constructor(parent, name, settings, open) {
    this.settings = settings;
    this.name = name;
    this.opens = open !== null;
    this.node = element(parent, "div", "tile");
    this.node.dataset.bed = name;
    this.node.setAttribute("role", open ? "button" : "group");
    if (open) this.node.addEventListener("click", () => open(name));
    const head = element(this.node, "div", "head");
    show(element(head, "span", "bed"), name);
    this.alarm = element(head, "span", "alarm");
    this.message = element(this.alarm, "span", "message");
    this.note = element(this.alarm, "span", "note");
    this.age = element(head, "span", "age");
    this.screen = element(this.node, "div", "screen");
    this.canvas = element(this.screen, "canvas", "trace");
    this.canvas.setAttribute("aria-hidden", "true");
    this.labels = element(this.screen, "div", "labels");
    const low = element(this.screen, "div", "low-end");
    this.notes = element(low, "div", "notes");
    this.strip = element(low, "div", "strip");
    this.cover = element(this.screen, "div", "cover");
    this.#numbers(element(this.node, "div", "numbers"));
    // A button is read by its content: here the bed, its alarm and its heart rate in words.
    if (open) {
      for (const part of this.node.children) part.setAttribute("aria-hidden", "true");
      this.said = element(this.node, "span", "said");
    }
    this.context = this.canvas.getContext("2d");
    this.traces = new Map();
    this.clocks = new Map();
    this.rows = [];
    this.header = null;
    this.receivedAt = 0;
  }

  #numbers(numbers) {
    this.large = element(numbers, "span", "name");
    show(element(numbers, "span", "unit"), "/min");
    this.rate = element(numbers, "span", "rate");
    this.ventricular = element(numbers, "span", "extra pvc");
    this.breaths = element(numbers, "span", "extra rr");
    this.heard = element(numbers, "span", "extra heard");
    this.quality = element(numbers, "span", "quality");
    this.qualityBar = element(this.quality, "span", "filled");
    this.qualityText = element(numbers, "span", "extra quality-text");
  }

  receive(header, now) {
    this.header = header;
    this.receivedAt = now;
    let changed = header.traces.length !== this.traces.size;
    const heads = new Map();
    for (const item of header.traces) {
      let trace = this.traces.get(item.kind);
      if (!trace?.fits(item)) {
        trace = new Trace(item);
        this.traces.set(item.kind, trace);
        changed = true;
      }
      trace.push(item);
      // Signals of one device share a clock; one that has fallen silent must not hold the others back.
      if (item.age < STALE_S) {
        heads.set(item.device, Math.min(heads.get(item.device) ?? Infinity, trace.headTime));
      }
    }
    for (const [device, head] of heads) {
      if (!this.clocks.has(device)) this.clocks.set(device, new PlaybackClock());
      this.clocks.get(device).arrive(now, head);
    }
    if (this.#alarms(header.alarms, header.alarmCount) || changed) this.layOut(header);
  }

  layOut(header = this.header) {
    if (!header) return;
    const kinds = new Set(header.traces.map((item) => item.kind));
    for (const kind of this.traces.keys()) if (!kinds.has(kind)) this.traces.delete(kind);
    const ratio = window.devicePixelRatio || 1;
    this.width = this.screen.clientWidth;
    this.height = this.screen.clientHeight;
    this.canvas.width = Math.max(1, Math.round(this.width * ratio));
    this.canvas.height = Math.max(1, Math.round(this.height * ratio));
    this.context.scale(ratio, ratio);
    this.context.lineWidth = this.settings.wall ? 2 : 1.5;
    this.context.lineJoin = "round";
    this.labels.replaceChildren();
    let shown = [...this.traces.values()].flatMap((trace) => trace.channels.map((_, channel) => [trace, channel]));
    if (!this.settings.grid && this.height < TWO_ROWS_PX) shown = shown.slice(0, 1);
    const height = this.height / Math.max(1, shown.length);
    this.rows = shown.map(([trace, channel], index) => {
      const label = element(this.labels, "span", "label");
      label.style.top = `${Math.round(index * height)}px`;
      const row = new Row(trace, channel, label, this.settings.light);
      label.style.color = row.colour;
      row.place(index * height, height);
      row.veil = element(this.labels, "div", "veil");
      row.veil.style.top = `${Math.round(index * height)}px`;
      row.veil.style.height = `${Math.round(height)}px`;
      return row;
    });
  }

  // Another speed or gain: what is on the screen was drawn at the old one.
  redraw() {
    for (const row of this.rows) row.place(row.top, row.height);
  }

  // Whether the trace's place changed: an alarm's words take as many lines as they need.
  #alarms(alarms, count, before = "") {
    const first = alarms[0];
    for (const priority of PRIORITIES) this.node.classList.toggle(priority, first?.priority === priority);
    this.node.classList.toggle("quiet", first?.state === "acknowledged");
    const more = count > 1 ? `  +${count - 1}` : "";
    const message = first ? before + first.text + (first.note ? "" : more) : "";
    const note = first?.note ? first.note + more : "";
    if (this.message.textContent === message && this.note.textContent === note) return false;
    show(this.message, message);
    show(this.note, note);
    return this.screen.clientHeight !== this.height;
  }

  // Place in an order by priority: what nobody has seen before what was acknowledged.
  get urgency() {
    const first = this.header?.alarms[0];
    const seen = first?.state === "acknowledged" ? 2 * PRIORITIES.length : 0;
    if (first) return seen + 2 * PRIORITIES.indexOf(first.priority) + (first.state === "active" ? 0 : 1);
    return this.node.classList.contains("stale") && !this.header?.standby ? 2 * PRIORITIES.indexOf("technical") : 99;
  }

  draw(now) {
    const { pixelsPerMm, mmPerSecond, gain } = this.settings;
    for (let index = 0; index < this.rows.length; index++) {
      const row = this.rows[index];
      const clock = this.clocks.get(row.trace.device);
      if (clock) row.draw(this.context, clock.tick(now), this.width, pixelsPerMm, mmPerSecond, gain);
    }
  }

  // What is old looks old: measured here, from what the server said plus the time since it said so.
  refresh(now, lostS) {
    const header = this.header;
    if (!header) return;
    const sinceFeed = now - this.receivedAt;
    const age = header.age === null ? Infinity : header.age + sinceFeed;
    const lost = lostS !== null;
    const stale = !lost && age > STALE_S;
    // Which bed it was must stay to be read, but never as if it were live.
    if (lost) this.#alarms(header.alarms, header.alarmCount, BEFORE_LOSS);
    this.node.classList.toggle("lost", lost);
    this.node.classList.toggle("stale", stale);
    this.node.classList.toggle("standby", header.standby);
    show(this.age, Number.isFinite(age) ? `${age < 10 ? age.toFixed(1) : Math.floor(age)} s` : "");
    if (lost) show(this.cover, `CONNECTION LOST ${Math.floor(lostS)} s`);
    else if (stale && header.standby) show(this.cover, header.standbyBy ? `STANDBY by ${header.standbyBy}` : "STANDBY");
    else if (stale) show(this.cover, Number.isFinite(age) ? `NO DATA ${Math.floor(age)} s` : "NO DATA");
    else show(this.cover, "");
    const unanalysed = !lost && !stale && header.unanalysed !== null;
    this.node.classList.toggle("unanalysed", unanalysed);
    show(this.strip, unanalysed ? `!!! ${header.unanalysedOf}NOT ANALYSED ${Math.floor(header.unanalysed + sinceFeed)} s: alarms suspended` : "");
    const fresh = !lost && !stale && header.numberAge !== null && header.numberAge + sinceFeed < NUMBER_STALE_S;
    this.#refreshNumbers(header, fresh, !lost && !stale);
    this.#refreshNotes(header, sinceFeed, stale, lost);
    const ages = new Map(header.traces.map((item) => [item.kind, item.age + sinceFeed]));
    for (const row of this.rows) {
      row.label.classList.toggle("off", Boolean(row.trace.leadOff[row.channel]));
      // Another signal that still comes must not make this one look alive.
      const rowAge = ages.get(row.trace.kind) ?? Infinity;
      const silent = !lost && !stale && rowAge > STALE_S;
      row.veil.classList.toggle("silent", silent);
      show(row.veil, silent ? `NO DATA ${Number.isFinite(rowAge) ? `${Math.floor(rowAge)} s` : ""}` : "");
    }
    const state = lost ? "connection lost" : this.cover.textContent;
    const said = [state, this.message.textContent, this.note.textContent].filter(Boolean).join(", ");
    const what = header.large === "RR" ? "respiratory rate" : "heart rate";
    const rate = fresh && large(header) !== null ? `${what} ${large(header)}` : `no ${what}`;
    const words = [`${this.name}: ${said || "no alarm"}, ${rate}`, this.heard.textContent].filter(Boolean).join(", ");
    if (this.opens) show(this.said, words);
    else describe(this.node, words);
  }

  #refreshNumbers(header, fresh, live) {
    const valid = fresh && large(header) !== null;
    show(this.large, header.large);
    show(this.rate, valid ? String(large(header)) : "--");
    show(this.ventricular, valid && header.ventricular !== null ? `PVC ${header.ventricular}/min` : "");
    // Of another signal than the large number: it has an age of its own, which the server looks at.
    const breaths = live && header.large !== "RR" && header.respiratoryRate !== null;
    show(this.breaths, breaths ? `RR ${header.respiratoryRate}/min` : "");
    show(this.heard, live && header.heard.length ? `heard: ${header.heard.join(", ")}` : "");
    const quality = fresh ? header.quality : null;
    show(this.qualityText, quality === null ? "" : `Signal ${Math.round(100 * quality)} %`);
    this.quality.hidden = quality === null;
    this.qualityBar.style.width = `${Math.round(100 * (quality ?? 0))}%`;
    this.quality.classList.toggle("poor", quality !== null && quality < 0.5);
  }

  #refreshNotes(header, sinceFeed, stale, lost) {
    const pauseS = header.paused === null ? 0 : header.paused - sinceFeed;
    const by = header.pausedBy ? ` by ${header.pausedBy}` : "";
    const paused = pauseS > 0 ? `SOUND PAUSED ${Math.ceil(pauseS)} s${by}` : "";
    const off = header.off ? `${header.off} ALARM${header.off > 1 ? "S" : ""} OFF` : "";
    const standby = header.standby && !stale ? "STANDBY" : "";
    show(this.notes, lost ? "" : [standby, paused, off, header.undrawn].filter(Boolean).join("  ·  "));
  }
}
