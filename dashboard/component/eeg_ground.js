// What lies under the rows of an EEG (seconds, names, what is marked in it) and over them (calibration, words).

const EEG_FONT = "12.5px 'Source Sans', 'Segoe UI', Roboto, Arial, sans-serif";

function eegClock(time, digits = 0) {
  return new Date(Math.round(1000 * time)).toISOString().slice(11, digits ? 20 + digits : 19);
}

// Date and minute: what is older than today must not look like it.
function eegDate(time) {
  return `${eegDay(time)} ${eegClock(time).slice(0, 5)}`;
}

function eegDay(time) {
  return new Date(1000 * time).toLocaleDateString("en-GB", { day: "numeric", month: "short", timeZone: "UTC" });
}

class EegGround {
  constructor(under, over) {
    this.canvases = [under, over];
    [this.under, this.over] = this.canvases.map((canvas) => canvas.getContext("2d"));
  }

  draw(layout, signal, marks, view, inks) {
    const ratio = window.devicePixelRatio || 1;
    const size = [Math.round(layout.width * ratio), Math.round(layout.height * ratio)];
    for (const canvas of this.canvases) {
      if (canvas.width !== size[0] || canvas.height !== size[1]) [canvas.width, canvas.height] = size;
      const context = canvas.getContext("2d");
      context.setTransform(ratio, 0, 0, ratio, 0, 0);
      context.clearRect(0, 0, layout.width, layout.height);
      context.font = EEG_FONT;
    }
    Object.assign(this, { layout, signal, inks });
    this.#seconds();
    this.#missing();
    this.#spoke(marks.spoke);
    marks.alarms.pieces.forEach((piece) => this.#alarm(piece));
    marks.alarms.edges.forEach(([time, priority]) => this.#edge(time, this.#ink(priority), ALARM_TOP));
    marks.spans.forEach((span) => this.#span(span));
    marks.flags.forEach((flag) => this.#flag(flag));
    this.#names(marks.now);
    this.#calibration(view);
    if (view.measure) this.#measure(view.measure);
  }

  // A line each second, a stronger one each fifth; on the half-minute page fewer times are written.
  #seconds() {
    const { under: context, layout, inks } = this;
    const bottom = layout.height - BOTTOM;
    const written = [1, 2, 5, 10].find((step) => step * layout.pace >= 78) ?? 15;
    for (let second = Math.ceil(layout.from); second < layout.until; second++) {
      const x = Math.round(layout.x(second));
      context.fillStyle = second % 5 ? inks.faint : inks.line;
      context.fillRect(x, TOP, 1, bottom - TOP);
      if (second % written || x > layout.right - 30) continue;
      context.fillStyle = inks.ink;
      context.textAlign = x < LEFT + 30 ? "left" : "center";
      context.textBaseline = "bottom";
      context.fillRect(x, bottom, 1, 5);
      context.fillText(eegClock(second), Math.max(LEFT, x), layout.height);
    }
    context.textAlign = "left";
    context.fillStyle = inks.ink;
    context.fillText("UTC", 2, layout.height);
  }

  // Stretches that nothing came of, and such that are not held here (yet).
  #missing() {
    const { layout, signal } = this;
    this.#band(layout.from, signal.timeOf(signal.first), "not held here");
    for (const [from, until] of signal.holes) this.#band(signal.timeOf(from), signal.timeOf(until), "being fetched …");
    if (!layout.live) this.#band(signal.headTime, layout.until, "not yet");
  }

  #band(from, until, text) {
    const { under: context, layout, inks } = this;
    for (const [left, right] of layout.places(from, until)) {
      context.fillStyle = inks.gap;
      context.fillRect(left, TOP, right - left, layout.height - BOTTOM - TOP);
      if (right - left < 100) continue;
      context.fillStyle = inks.ink;
      context.textAlign = "center";
      context.textBaseline = "middle";
      context.fillText(text, (left + right) / 2, TOP + 14);
    }
  }

  #spoke(cells) {
    const { under: context, layout, inks } = this;
    for (const [row, from, until, share] of cells) {
      if (share < 0.05) continue;
      context.fillStyle = `rgba(${inks.warm}, ${0.75 * share})`;
      const top = layout.middles[row] - layout.rowHeight / 2;
      for (const [left, right] of layout.places(from, until)) context.fillRect(left, top, right - left, layout.rowHeight);
    }
  }

  // Alarms stand in a line of their own above the rows, begin and end across them.
  #alarm([from, until, priority, text]) {
    const { under: context, layout } = this;
    for (const [left, right] of layout.places(from, until)) {
      context.save();
      context.beginPath();
      context.rect(left, ALARM_TOP, Math.max(3, right - left), ALARM_HEIGHT);
      context.clip();
      context.fillStyle = this.#ink(priority);
      context.fillRect(left, ALARM_TOP, Math.max(3, right - left), ALARM_HEIGHT);
      context.fillStyle = "#000";
      context.textAlign = "left";
      context.textBaseline = "middle";
      context.fillText(text, left + 4, ALARM_TOP + ALARM_HEIGHT / 2 + 1);
      context.restore();
    }
  }

  #ink(priority) {
    return this.inks[priority] ?? this.inks.technical;
  }

  // Begin or end of a span across all rows, unless the page cuts it there.
  #edge(time, colour, top) {
    const { under: context, layout } = this;
    if (!layout.places(time - 1e-3, time + 1e-3).length) return;
    context.fillStyle = colour;
    context.fillRect(Math.round(layout.x(time)) - 1, top, 2, layout.height - BOTTOM - top);
  }

  #span({ from, until, text }) {
    const { under: context, layout, inks } = this;
    for (const [left, right] of layout.places(from, until)) {
      context.fillStyle = inks.seizure;
      context.fillRect(left, TOP, right - left, layout.height - BOTTOM - TOP);
      context.fillStyle = inks.seizureInk;
      context.fillRect(left, TOP - 5, Math.max(2, right - left), 4);
      const width = context.measureText(text).width;
      const x = Math.max(LEFT, Math.min(left, layout.right - width));
      context.textAlign = "left";
      context.textBaseline = "top";
      context.fillText(text, x, 1);
    }
    for (const time of [from, until]) this.#edge(time, inks.seizureInk, TOP - 5);
  }

  // An electrode that is off, or an artefact: hatched along each row that it is part of.
  #flag({ from, until, row, text, kind }) {
    const { under: context, layout, inks } = this;
    const top = layout.middles[row] - layout.rowHeight / 2 + 1;
    const height = layout.rowHeight - 2;
    for (const [left, right] of layout.places(from, until)) {
      context.save();
      context.beginPath();
      context.rect(left, top, right - left, height);
      context.clip();
      context.strokeStyle = kind === "off" ? inks.off : inks.hatch;
      context.lineWidth = 1;
      context.beginPath();
      const first = Math.floor((left - height) / 7) * 7;
      for (let x = first; x < right; x += 7) {
        context.moveTo(x, top + height);
        context.lineTo(x + height, top);
      }
      context.stroke();
      context.restore();
      const { over } = this;
      const width = over.measureText(text).width + 6;
      if (right - left < width) continue;
      over.fillStyle = inks.paper;
      over.fillRect(left + 2, layout.middles[row] - 8, width, 15);
      over.fillStyle = kind === "off" ? inks.off : inks.ink;
      over.textAlign = "left";
      over.textBaseline = "middle";
      over.fillText(text, left + 5, layout.middles[row]);
    }
  }

  #names(now) {
    const { under: context, layout, inks } = this;
    context.textBaseline = "middle";
    context.textAlign = "left";
    layout.rows.forEach((row, at) => {
      const off = now.get(at);
      context.fillStyle = off ? inks.off : inks[row.side];
      const name = `${row.name}${row.bridged ? "*" : ""}${off ? ` ${off}` : ""}`;
      context.fillText(name, 2, layout.middles[at], LEFT - 6);
    });
  }

  // A round number of µV; seconds stand on the axis.
  #calibration({ uvPerMm }) {
    const { over: context, layout, inks } = this;
    const uv = [10, 20, 50, 100, 200, 500, 1000].find((size) => size / uvPerMm >= 5) ?? 1000;
    const height = (uv / uvPerMm) * layout.pixelsPerMm;
    const text = `${uv} µV`;
    context.textAlign = "right";
    context.textBaseline = "middle";
    const width = context.measureText(text).width + 16;
    const right = layout.right - 2;
    const bottom = layout.height - BOTTOM - 2;
    context.fillStyle = inks.paper;
    context.globalAlpha = 0.85;
    context.fillRect(right - width - 4, bottom - height - 3, width + 6, height + 5);
    context.globalAlpha = 1;
    context.fillStyle = inks.ink;
    context.fillText(text, right - 12, bottom - height / 2);
    context.fillRect(right - 4, bottom - height, 2, height);
    for (const y of [bottom - height, bottom - 2]) context.fillRect(right - 8, y, 8, 2);
  }

  #measure({ from, until }) {
    const { over: context, layout, inks } = this;
    context.fillStyle = inks.measure;
    for (const time of [from, until]) context.fillRect(Math.round(layout.x(time)), TOP, 1, layout.height - BOTTOM - TOP);
    context.globalAlpha = 0.12;
    for (const [left, right] of layout.places(Math.min(from, until), Math.max(from, until))) context.fillRect(left, TOP, right - left, layout.height - BOTTOM - TOP);
    context.globalAlpha = 1;
  }
}
