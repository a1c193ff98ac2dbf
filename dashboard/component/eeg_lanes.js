// Draws the trends of an EEG, lane under lane over one axis of time.

const LANE_GAP = 10;
const LANE_AXIS = 22;
const NEWEST_LEFT = 78; // room for the newest number, right
const BREAK_S = 4; // over a longer gap numbers are not joined; means of minutes not over half a minute
const FINE_HOURS = 2; // so long each second is drawn
const ALARM_ROW = 17;
const RECENT_NUMBER_S = 10; // an older one does not stand as the newest
const BANDS = [["delta", 0.5, 4], ["theta", 4, 8], ["alpha", 8, 13], ["beta", 13, 30]];
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

// Without a minus before nothing.
function numberWords(value, digits) {
  if (Number.isNaN(value)) return "–";
  const text = value.toFixed(digits);
  return Number(text) === 0 ? (0).toFixed(digits) : text;
}

function rangeWords(values) {
  return values.every(Number.isNaN) ? "–" : values.map((value) => numberWords(value, 0)).join(" to ");
}

class EegLanes {
  constructor(canvas) {
    this.canvas = canvas;
    this.context = canvas.getContext("2d");
  }

  // Times [until - hours, until), what was is known up to `told`; `cursor`: what the page above shows, null: live.
  draw(trends, { told, until, hours, cursor }, inks) {
    const { canvas, context } = this;
    const from = until - 3600 * hours;
    this.table = new TrendTable(trends, from, hours <= FINE_HOURS);
    this.alarms = alarmKinds(trends.past.episodes, from, told);
    const lanes = LANES.filter((lane) => (lane.kind === "seizure" ? trends.marks.steps.length : lane.kind === "density" || this.table.rows.length));
    if (this.alarms.length) lanes.splice(lanes[0]?.kind === "seizure" ? 1 : 0, 0, { kind: "alarms", title: "Alarms", height: ALARM_ROW * (1 + this.alarms.length), scale: linear(0, 1), ticks: [], unit: "" });
    const height = lanes.reduce((sum, lane) => sum + lane.height + LANE_GAP, LANE_GAP) + LANE_AXIS;
    canvas.style.height = `${height}px`;
    const ratio = window.devicePixelRatio || 1;
    const width = canvas.clientWidth;
    const size = [Math.round(width * ratio), Math.round(height * ratio)];
    if (canvas.width !== size[0] || canvas.height !== size[1]) [canvas.width, canvas.height] = size;
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.clearRect(0, 0, width, height);
    context.font = EEG_FONT;
    Object.assign(this, { inks, until, from, right: width - NEWEST_LEFT, height });
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
    if (lane.kind === "density") this.#density(lane, trends.density, top, y);
    else this.#rules(lane, y);
    if (lane.kind === "alarms") this.#alarmBars(top);
    if (lane.kind === "seizure") this.#seizures(trends.marks, top, height, y);
    if (lane.kind === "band") this.#band(lane, y);
    if (lane.kind === "pair") lane.names.forEach((name, at) => this.#line(this.table.of(name), y, lane.names.length > 1 ? ["left", "right"][at] : "midline"));
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
    const judged = marks.steps.filter(([time, probability]) => time > this.from && probability !== null);
    this.#line(judged.map(([time, probability]) => [time - 1, probability, 1]), y, "seizureInk");
  }

  // [begin, value, seconds], joined at their middles where none is missing between.
  #line(points, y, ink) {
    const { context } = this;
    context.strokeStyle = this.inks[ink];
    context.lineWidth = 1.3;
    context.beginPath();
    let [end, before] = [-Infinity, 1];
    for (const [time, value, step] of points) {
      const x = this.x(time + step / 2);
      if (time - end > Math.max(BREAK_S, Math.max(step, before) / 2)) {
        // One alone is seen, too.
        context.moveTo(this.x(time), y(value));
        context.lineTo(Math.max(x, this.x(time) + 1), y(value));
      } else context.lineTo(x, y(value));
      [end, before] = [time + step, step];
    }
    context.stroke();
  }

  #band(lane, y) {
    const { context } = this;
    context.fillStyle = this.inks[lane.side];
    const highs = new Map();
    for (const [time, high] of this.table.of(lane.names[1])) highs.set(time, high);
    for (const [time, low, step] of this.table.of(lane.names[0])) {
      const high = highs.get(time);
      if (high === undefined) continue;
      context.fillRect(...this.#columns(time, time + step, y(high), Math.max(1, y(low) - y(high))));
    }
  }

  // A rectangle of whole pixels, so that no seams show between those of neighbours.
  #columns(from, until, top, height) {
    const left = Math.round(this.x(from));
    return [left, top, Math.max(1, Math.round(this.x(until)) - left), height];
  }

  // Spectra as they are held; before them the store's powers of four bands, as densities.
  #density(lane, density, top, y) {
    const { context } = this;
    const held = density.head > density.first ? density.first * DENSITY_S : Infinity;
    const side = lane.side ? "right" : "left";
    for (const [band, low, high] of BANDS) {
      for (const [time, power, step] of this.table.of(`${band}_uv2_${side}`)) {
        if (time >= held) break;
        context.fillStyle = density.colourOf(10 * Math.log10(power / (high - low)));
        context.fillRect(...this.#columns(time, Math.min(time + step, held), Math.round(y(high)), Math.round(y(low)) - Math.round(y(high))));
      }
    }
    density.draw(context, lane.side, (time) => this.x(time), top, lane.height);
  }

  #alarmBars(top) {
    const { context, inks } = this;
    this.alarms.forEach(({ priority, spans }, at) => {
      context.fillStyle = inks[priority] ?? inks.technical;
      for (const [from, until] of spans) context.fillRect(this.x(from), top + ALARM_ROW * (at + 1) + 2, Math.max(3, this.x(until) - this.x(from)), ALARM_ROW - 5);
    });
  }

  // Kind left, how often and how long right.
  #alarmWords(top) {
    const { context, inks } = this;
    this.alarms.forEach(({ kind, spans }, at) => {
      const y = top + ALARM_ROW * (at + 1.5);
      const seconds = spans.reduce((sum, [from, until]) => sum + until - from, 0);
      context.fillStyle = inks.ink;
      context.textAlign = "right";
      context.fillText(kind, LEFT - 5, y, LEFT - 7);
      context.textAlign = "left";
      context.fillText(`${spans.length} ×, ${spanWords(seconds)}`, this.right + 8, y, NEWEST_LEFT - 8);
    });
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
    if (lane.kind === "alarms") this.#alarmWords(top);
    context.textAlign = "left";
    const recent = (name) => trends.series.newest(name, this.until - RECENT_NUMBER_S);
    const newest = (name, ink, at) => {
      const value = recent(name);
      context.fillStyle = inks[ink];
      context.fillText(numberWords(value * percent, lane.digits), this.right + 8, at);
    };
    if (lane.kind === "band") context.fillText(rangeWords(lane.names.map(recent)), this.right + 8, top + lane.height / 2);
    if (lane.kind === "pair" && lane.names.length === 1) newest(lane.names[0], "midline", top + lane.height / 2);
    if (lane.kind === "pair" && lane.names.length === 2) lane.names.forEach((name, at) => newest(name, ["left", "right"][at], top + lane.height / 2 + (at ? 8 : -8)));
  }

  #times(hours, top) {
    const { context, inks } = this;
    const step = hours > 12 ? 10800 : hours > 2 ? 3600 : hours > 1 ? 1200 : hours > 0.5 ? 600 : hours > 0.2 ? 300 : 120;
    context.fillStyle = inks.ink;
    context.textBaseline = "top";
    context.textAlign = "center";
    for (let time = Math.ceil(this.from / step) * step; time < this.until; time += step) {
      const x = this.x(time);
      context.fillRect(Math.round(x), top - LANE_GAP, 1, 6);
      if (x > LEFT + 24 && x < this.right - 20) context.fillText(time % PAST_S ? eegClock(time).slice(0, 5) : eegDay(time), x, top);
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
