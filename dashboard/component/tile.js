// One bed: its label, traces, number, alarm and the age of its data. Labels from devices are set as text only.

const STALE_S = 3;
const PRIORITIES = ["high", "medium", "low", "technical"];

function element(parent, tag, name) {
  const made = document.createElement(tag);
  made.className = name;
  parent.append(made);
  return made;
}

function show(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

class Tile {
  constructor(parent, name, settings, open) {
    this.settings = settings;
    this.node = element(parent, "section", "tile");
    this.node.dataset.bed = name;
    this.node.setAttribute("aria-label", `Bed ${name}`);
    if (open) {
      this.node.tabIndex = 0;
      this.node.addEventListener("click", () => open(name));
      this.node.addEventListener("keydown", (event) => event.key === "Enter" && open(name));
    }
    const head = element(this.node, "header", "head");
    show(element(head, "span", "bed"), name);
    this.alarm = element(head, "span", "alarm");
    this.age = element(head, "span", "age");
    this.screen = element(this.node, "div", "screen");
    this.canvas = element(this.screen, "canvas", "trace");
    this.labels = element(this.screen, "div", "labels");
    this.strip = element(this.screen, "div", "strip");
    this.cover = element(this.screen, "div", "cover");
    const numbers = element(this.node, "div", "numbers");
    show(element(numbers, "span", "name"), "HR");
    this.rate = element(numbers, "span", "rate");
    show(element(numbers, "span", "unit"), "/min");
    this.extra = element(numbers, "span", "extra");
    this.context = this.canvas.getContext("2d");
    this.traces = new Map();
    this.clocks = new Map();
    this.rows = [];
    this.header = null;
    this.receivedAt = 0;
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
    if (changed) this.layOut(header);
    this.#alarms(header.alarms);
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
    this.context.lineWidth = this.settings.grid ? 1.4 : 1.6;
    this.context.lineJoin = "round";
    this.labels.replaceChildren();
    let shown = [...this.traces.values()].flatMap((trace) => trace.channels.map((_, channel) => [trace, channel]));
    if (!this.settings.grid && this.height < 2 * 48) shown = shown.slice(0, 1);
    const height = this.height / Math.max(1, shown.length);
    this.rows = shown.map(([trace, channel], index) => {
      const label = element(this.labels, "span", "label");
      label.style.top = `${Math.round(index * height)}px`;
      label.style.color = COLOURS[trace.kind] ?? "";
      const row = new Row(trace, channel, label);
      row.place(index * height, height);
      return row;
    });
  }

  #alarms(alarms) {
    const first = alarms[0];
    for (const priority of PRIORITIES) this.node.classList.toggle(priority, first?.priority === priority);
    this.node.classList.toggle("quiet", Boolean(first) && first.state !== "active");
    const more = alarms.length > 1 ? `  +${alarms.length - 1}` : "";
    show(this.alarm, first ? first.text + more : "");
  }

  draw(now) {
    const { pixelsPerMm, mmPerSecond, gain } = this.settings;
    for (const row of this.rows) {
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
    this.node.classList.toggle("lost", lost);
    this.node.classList.toggle("stale", stale);
    show(this.age, Number.isFinite(age) ? `${age < 10 ? age.toFixed(1) : Math.floor(age)} s` : "");
    if (lost) show(this.cover, `CONNECTION LOST ${Math.floor(lostS)} s`);
    else if (stale && header.standby) show(this.cover, "STANDBY");
    else if (stale) show(this.cover, Number.isFinite(age) ? `NO DATA ${Math.floor(age)} s` : "NO DATA");
    else show(this.cover, "");
    const unanalysed = !lost && !stale && header.unanalysed !== null;
    this.node.classList.toggle("unanalysed", unanalysed);
    show(this.strip, unanalysed ? `!!! NOT ANALYSED ${Math.floor(header.unanalysed + sinceFeed)} s: alarms suspended` : "");
    const numberAge = header.numberAge === null ? Infinity : header.numberAge + sinceFeed;
    const valid = !lost && !stale && header.heartRate !== null && numberAge < 5;
    show(this.rate, valid ? String(header.heartRate) : "--");
    const ventricular = valid && header.ventricular ? `PVC ${header.ventricular}/min` : "";
    const pauseS = header.paused === null ? 0 : header.paused - sinceFeed;
    const paused = pauseS > 0 ? `SOUND PAUSED ${Math.ceil(pauseS)} s` : "";
    const standby = header.standby && !stale ? "STANDBY" : "";
    const off = header.off ? `${header.off} ALARM${header.off > 1 ? "S" : ""} OFF` : "";
    show(this.extra, [ventricular, off, paused, standby].filter(Boolean).join("  "));
    for (const row of this.rows) row.label.classList.toggle("off", Boolean(row.trace.leadOff[row.channel]));
  }
}
