// Draws the trends of an EEG, lane under lane over one axis of time.

const LANE_GAP = 10;
const LANE_AXIS = 22;
const NEWEST_LEFT = 78; // room for the newest number, right
const BREAK_S = 5; // numbers further apart are not joined
const AEEG_SCALE = (uv) => (uv <= 10 ? uv / 20 : 0.5 + 0.5 * Math.log10(uv / 10)); // half linear to 10 µV, half log to 100
const AEEG_TICKS = [0, 5, 10, 25, 100];
const linear = (low, high) => (value) => (value - low) / (high - low);

const LANES = [
  { kind: "seizure", title: "Seizure", height: 34, scale: linear(0, 1), ticks: [0, 1], unit: "" },
  { kind: "density", title: "CDSA left", height: 76, side: 0, scale: linear(0, 30), ticks: [0, 10, 20, 30], unit: "Hz" },
  { kind: "density", title: "CDSA right", height: 76, side: 1, scale: linear(0, 30), ticks: [0, 10, 20, 30], unit: "Hz" },
  { kind: "band", title: "aEEG left", height: 76, side: "left", names: ["aeeg_low_uv_left", "aeeg_high_uv_left"], scale: AEEG_SCALE, ticks: AEEG_TICKS, unit: "µV", digits: 0 },
  { kind: "band", title: "aEEG right", height: 76, side: "right", names: ["aeeg_low_uv_right", "aeeg_high_uv_right"], scale: AEEG_SCALE, ticks: AEEG_TICKS, unit: "µV", digits: 0 },
  { kind: "pair", title: "95 % spectral edge", height: 48, names: ["edge_hz_left", "edge_hz_right"], scale: linear(0, 30), ticks: [0, 15, 30], unit: "Hz", digits: 1 },
  { kind: "pair", title: "Alpha/delta ratio", height: 48, names: ["alpha_delta_left", "alpha_delta_right"], scale: (ratio) => 0.5 + Math.log10(Math.max(ratio, 1e-3)) / 4, ticks: [0.01, 1, 100], unit: "", digits: 2 },
  { kind: "pair", title: "Suppression ratio", height: 48, names: ["suppression_left", "suppression_right"], scale: linear(0, 1), ticks: [0, 0.5, 1], unit: "%", digits: 0 },
  { kind: "pair", title: "Asymmetry (right +)", height: 48, names: ["asymmetry"], scale: linear(-1, 1), ticks: [-1, 0, 1], unit: "%", digits: 0 },
];

// What the colours mean: of the lines, and of the density array.
function trendLegend(node) {
  node.replaceChildren();
  const [low, high] = DENSITY_DB;
  for (const side of ["left", "right"]) show(element(node, "span", `side ${side}`), side);
  show(element(node, "span", ""), String(low));
  element(node, "span", "bar").style.background = `linear-gradient(90deg, ${VIRIDIS.map((rgb) => `rgb(${rgb.join(" ")})`).join(", ")})`;
  show(element(node, "span", ""), `${high} dB re 1 µV²/Hz`);
}

class EegLanes {
  constructor(canvas) {
    this.canvas = canvas;
    this.context = canvas.getContext("2d");
  }

  // Times [until - hours, until); `cursor` is the time that the page above shows, null while it is live.
  draw(trends, until, hours, cursor, inks) {
    const { canvas, context } = this;
    const lanes = LANES.filter((lane) => lane.kind === "density" || (lane.kind === "seizure" ? trends.marks.steps.length : trends.series.seconds.length));
    const height = lanes.reduce((sum, lane) => sum + lane.height + LANE_GAP, LANE_GAP) + LANE_AXIS;
    canvas.style.height = `${height}px`;
    const ratio = window.devicePixelRatio || 1;
    const width = canvas.clientWidth;
    const size = [Math.round(width * ratio), Math.round(height * ratio)];
    if (canvas.width !== size[0] || canvas.height !== size[1]) [canvas.width, canvas.height] = size;
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.clearRect(0, 0, width, height);
    context.font = EEG_FONT;
    Object.assign(this, { inks, until, from: until - 3600 * hours, right: width - NEWEST_LEFT, height });
    this.pace = (this.right - LEFT) / (3600 * hours);
    let top = LANE_GAP;
    for (const lane of lanes) {
      this.#lane(lane, top, trends);
      top += lane.height + LANE_GAP;
    }
    this.#times(hours, top);
    if (cursor) this.#cursor(cursor, top);
  }

  x(time) {
    return LEFT + (time - this.from) * this.pace;
  }

  timeAt(x) {
    const time = this.from + (x - LEFT) / this.pace;
    return x >= LEFT && time <= this.until ? time : null;
  }

  #lane(lane, top, trends) {
    const { context, inks } = this;
    const { height } = lane;
    const y = (value) => top + height * (1 - Math.max(0, Math.min(1, lane.scale(value))));
    context.fillStyle = inks.gap;
    context.fillRect(LEFT, top, this.right - LEFT, height);
    context.save();
    context.beginPath();
    context.rect(LEFT, top, this.right - LEFT, height);
    context.clip();
    if (lane.kind === "density") trends.density.draw(context, lane.side, (time) => this.x(time), top, height);
    else this.#rules(lane, y);
    if (lane.kind === "seizure") this.#seizures(trends.marks, top, height, y);
    if (lane.kind === "band") this.#band(lane, trends.series, y);
    if (lane.kind === "pair") lane.names.forEach((name, at) => this.#line(trends.series.of(name, this.from), y, lane.names.length > 1 ? ["left", "right"][at] : "midline"));
    context.restore();
    this.#labels(lane, top, y, trends);
  }

  #rules(lane, y) {
    const { context, inks } = this;
    context.fillStyle = inks.faint;
    for (const tick of lane.ticks) context.fillRect(LEFT, Math.round(y(tick)), this.right - LEFT, 1);
  }

  #seizures(marks, top, height, y) {
    const { context, inks } = this;
    context.fillStyle = inks.seizure;
    for (const [from, until] of marks.spans) context.fillRect(this.x(from), top, Math.max(2, this.x(until) - this.x(from)), height);
    this.#line(marks.steps.map(([time, probability]) => [time, probability ?? NaN]), y, "seizureInk");
  }

  #line(points, y, ink) {
    const { context } = this;
    context.strokeStyle = this.inks[ink];
    context.lineWidth = 1.3;
    context.beginPath();
    let last = -Infinity;
    for (const [time, value] of points) {
      if (Number.isNaN(value)) continue;
      if (time - last < BREAK_S) context.lineTo(this.x(time), y(value));
      else context.moveTo(this.x(time), y(value));
      last = time;
    }
    context.stroke();
  }

  #band(lane, series, y) {
    const { context } = this;
    context.fillStyle = this.inks[lane.side];
    const high = series.of(lane.names[1], this.from);
    const wide = Math.max(1, this.pace);
    for (const [time, low] of series.of(lane.names[0], this.from)) {
      const upper = high.next().value[1];
      if (Number.isNaN(low) || Number.isNaN(upper)) continue;
      context.fillRect(this.x(time - 1), y(upper), wide, Math.max(1, y(low) - y(upper)));
    }
  }

  #labels(lane, top, y, trends) {
    const { context, inks } = this;
    const percent = lane.unit === "%" ? 100 : 1;
    context.textAlign = "left";
    context.textBaseline = "middle";
    const title = lane.unit ? `${lane.title}, ${lane.unit}` : lane.title;
    context.globalAlpha = 0.8;
    context.fillStyle = inks.paper;
    context.fillRect(LEFT, top, context.measureText(title).width + 10, 17);
    context.globalAlpha = 1;
    context.fillStyle = inks.ink;
    context.fillText(title, LEFT + 5, top + 9);
    context.textAlign = "right";
    for (const tick of lane.ticks) {
      context.fillText(String(Math.round(tick * percent * 100) / 100), LEFT - 5, Math.max(top + 5, Math.min(top + lane.height - 4, y(tick))));
    }
    context.textAlign = "left";
    const newest = (name, ink, at) => {
      const value = trends.series.newest(name);
      context.fillStyle = inks[ink];
      context.fillText(Number.isNaN(value) ? "–" : (value * percent).toFixed(lane.digits), this.right + 8, at);
    };
    if (lane.kind === "band") context.fillText(lane.names.map((name) => trends.series.newest(name)).map((value) => (Number.isNaN(value) ? "–" : value.toFixed(0))).join(" to "), this.right + 8, top + lane.height / 2);
    if (lane.kind === "pair" && lane.names.length === 1) newest(lane.names[0], "midline", top + lane.height / 2);
    if (lane.kind === "pair" && lane.names.length === 2) lane.names.forEach((name, at) => newest(name, ["left", "right"][at], top + lane.height / 2 + (at ? 8 : -8)));
  }

  #times(hours, top) {
    const { context, inks } = this;
    const step = hours > 1 ? 1200 : hours > 0.5 ? 600 : hours > 0.2 ? 300 : 120;
    context.fillStyle = inks.ink;
    context.textBaseline = "top";
    context.textAlign = "center";
    for (let time = Math.ceil(this.from / step) * step; time < this.until; time += step) {
      const x = this.x(time);
      context.fillRect(Math.round(x), top - LANE_GAP, 1, 6);
      if (x > LEFT + 24 && x < this.right - 20) context.fillText(eegClock(time).slice(0, 5), x, top);
    }
    context.textAlign = "left";
    context.fillText("UTC", 2, top);
  }

  #cursor([from, until], bottom) {
    const { context, inks } = this;
    context.fillStyle = inks.measure;
    const [left, right] = [this.x(from), Math.max(this.x(until), this.x(from) + 2)];
    const height = bottom - 2 * LANE_GAP;
    for (const x of [left - 1, right]) context.fillRect(x, LANE_GAP, 1.5, height);
    for (const y of [LANE_GAP, LANE_GAP + height]) context.fillRect(left - 1, y - 1, right - left + 2, 1.5);
  }
}
