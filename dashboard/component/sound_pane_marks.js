// What a network said of one sound: its pieces and events by device time, and how they are drawn.

// Colours of Okabe and Ito (2008), which the colour-blind tell apart; lines and words tell them apart, too.
const LOOKS = {
  crackle: { colour: "#e69f00", dash: [5, 3] },
  wheeze: { colour: "#56b4e9", dash: [] },
  murmur: { colour: "#cc79a7", dash: [] },
  S1: { colour: "#2fd3a0", dash: [], onset: true },
  S2: { colour: "#f0e442", dash: [3, 3], onset: true },
};
const OTHER = { colour: "#ffffff", dash: [1, 3] };
const LANE_ROWS = { lung_sound: [["crackle"], ["wheeze"]], heart_sound: [["S1", "S2"], ["murmur"]] };
const LANE = 18;
const LANES = 2 * LANE;
const JOINED_S = 0.06; // an event that goes on into the next piece stands in both; steps of a network are longer
const MOST_SAID = 0.2; // of the most that any place spoke for a class: that is outlined
const BEHIND_S = 15; // a network that is further behind does not judge what is shown

function look(label) {
  return LOOKS[label] ?? OTHER;
}

function percent(share) {
  return `${Math.round(100 * share)} %`;
}

class Heard {
  constructor(kind) {
    this.kind = kind;
    this.epoch = 0;
    this.model = "";
    this.rate = null;
    this.pieces = new Map();
    this.looked = null;
    this.said = "";
  }

  // Take what a feed brings; `oldest` and `newest` (device time, s) bound what is of use here.
  take(marks, oldest, newest) {
    if (marks.epoch !== this.epoch) {
      this.epoch = marks.epoch;
      this.pieces.clear();
      this.looked = null;
    }
    this.model = marks.model;
    this.rate = marks.rate;
    this.said = marks.said;
    // While the next explanation is made the last one stays where it belongs.
    if (marks.looked || !marks.said.endsWith("…")) this.looked = marks.looked;
    for (const piece of marks.pieces) if (piece[0] < newest) this.pieces.set(Math.round(1000 * piece[1]), piece);
    for (const [key, piece] of this.pieces) if (piece[1] < oldest) this.pieces.delete(key);
  }

  copy() {
    const copy = Object.assign(new Heard(this.kind), this);
    copy.pieces = new Map(this.pieces);
    return copy;
  }

  // Device time (s) up to which a network has judged; 0 where none has.
  get judgedUntil() {
    let until = 0;
    for (const piece of this.pieces.values()) until = Math.max(until, piece[1]);
    return until;
  }

  get sorted() {
    return [...this.pieces.values()].sort((one, other) => one[1] - other[1]);
  }

  // Events in time, [startS, endS, label, probability]: what goes on from piece to piece is one.
  events(pieces) {
    const found = [];
    const last = new Map();
    const spans = pieces.flatMap((piece) => piece[4]).sort((one, other) => one[0] - other[0]);
    for (const [startS, endS, label, probability] of spans) {
      const before = last.get(label);
      if (before && startS - before[1] < JOINED_S) {
        const [was, more] = [before[1] - before[0], Math.max(0, endS - before[1])];
        before[3] = (was * before[3] + more * probability) / Math.max(1e-6, was + more);
        before[1] = Math.max(before[1], endS);
      } else {
        last.set(label, [startS, endS, label, probability]);
        found.push(last.get(label));
      }
    }
    return found;
  }

  get newest() {
    const until = Math.round(1000 * this.judgedUntil);
    return this.pieces.get(until) ?? null;
  }

  // In words, for what ends at `headTime`.
  words(headTime) {
    const piece = this.newest;
    if (!piece) return "No network marks this sound: crackles, wheezes and murmurs may be in it all the same.";
    const behind = headTime - piece[1];
    if (behind > BEHIND_S) return `${this.model}: nothing judged for ${Math.floor(behind)} s.`;
    const shares = Object.entries(piece[3]).map(([name, share]) => `${name} ${percent(share)}`);
    return `${this.model}, judged to ${clock(piece[1])} UTC: ${piece[2] ? shares.join(", ") : "not judged, the sound could not be used"}.`;
  }

  // `frozen`: beside a sound of before, the number of now says so.
  rateWords(frozen) {
    const lung = this.kind === "lung_sound";
    const value = this.rate === null ? "–" : Math.round(this.rate);
    return `${lung ? "Respiratory rate" : "Heart rate (S1, S2)"} ${value} /min${frozen ? " now" : ""}`;
  }
}

function line(path, fromX, fromY, toX, toY) {
  path.moveTo(fromX, fromY);
  path.lineTo(toX, toY);
}

class MarksDrawing {
  constructor(drawing, heard) {
    this.drawing = drawing;
    this.context = drawing.context;
    this.heard = heard;
    this.rows = LANE_ROWS[heard.kind];
    this.pieces = heard.sorted;
    this.events = heard.events(this.pieces);
  }

  #row(label) {
    return this.rows.findIndex((labels) => labels.includes(label));
  }

  get right() {
    return this.drawing.width;
  }

  // Pixels of a span of time within the plot; null where none of it is shown.
  #place(startS, endS) {
    const left = Math.max(LEFT, this.drawing.x(startS));
    const right = Math.min(this.right, this.drawing.x(endS));
    return right > left ? [left, right] : null;
  }

  lanes(top) {
    const { context, drawing } = this;
    context.fillStyle = drawing.colour;
    context.textAlign = "right";
    context.textBaseline = "middle";
    this.rows.forEach((labels, row) => context.fillText(labels.join(" "), LEFT - 8, top + (row + 0.5) * LANE));
    context.globalAlpha = 0.12;
    context.fillRect(LEFT, top, this.right - LEFT, LANES);
    context.globalAlpha = 1;
    this.pieces.forEach((piece, index) => this.#piece(piece, this.pieces[index - 1]?.[1] ?? 0, top));
    for (const event of this.events) this.#block(event, top);
  }

  // A piece from where the one before it ended: windows of heart sounds overlap.
  #piece([startS, endS, judged, probabilities], beforeS, top) {
    const place = this.#place(Math.max(startS, Math.min(beforeS, endS)), endS);
    if (!place) return;
    const [left, right] = place;
    if (!judged) return this.#hatch(left, right, top, LANES, "not judged");
    this.rows.forEach((labels, row) => {
      const share = probabilities[labels[0]];
      if (share === undefined) return;
      const { context } = this;
      const bottom = top + (row + 1) * LANE - 1;
      context.globalAlpha = 0.5;
      context.fillStyle = look(labels[0]).colour;
      context.fillRect(left, bottom - (LANE - 2) * share, right - left - 1, (LANE - 2) * share);
      context.globalAlpha = 1;
      const [fromS, untilS] = [this.drawing.timeAt(left), this.drawing.timeAt(left + 44)];
      const free = !this.events.some((event) => this.#row(event[2]) === row && event[0] < untilS && event[1] > fromS);
      if (right - left > 40 && free) this.#text(percent(share), left + 4, top + (row + 0.5) * LANE, this.drawing.colour);
    });
  }

  #block([startS, endS, label, probability], top) {
    const row = this.#row(label);
    const place = row < 0 ? null : this.#place(startS, endS);
    if (!place) return;
    const { context } = this;
    const [left, right] = place;
    const wide = Math.max(2, right - left);
    context.fillStyle = "#000";
    context.fillRect(left - 1, top + row * LANE, wide + 2, LANE);
    context.fillStyle = look(label).colour;
    context.fillRect(left, top + row * LANE + 1, wide, LANE - 2);
    const text = [`${label} ${percent(probability)}`, label].find((words) => context.measureText(words).width + 6 < wide);
    if (text) this.#text(text, left + 3, top + (row + 0.5) * LANE, "#000");
  }

  #text(words, x, y, colour) {
    const { context } = this;
    context.fillStyle = colour;
    context.textAlign = "left";
    context.textBaseline = "middle";
    context.fillText(words, x, y + 0.5);
  }

  #hatch(left, right, top, height, words) {
    const { context } = this;
    context.save();
    context.beginPath();
    context.rect(left, top, right - left, height);
    context.clip();
    context.fillStyle = "rgba(138, 138, 138, .55)";
    context.fillRect(left, top, right - left, height);
    context.strokeStyle = "rgba(0, 0, 0, .6)";
    context.lineWidth = 1;
    context.beginPath();
    // From the time, not from the edge: the pattern goes along with the sound.
    const shift = ((this.drawing.from * this.drawing.scale) % 10) + height;
    for (let x = LEFT - shift; x < right; x += 10) {
      context.moveTo(x, top + height);
      context.lineTo(x + height, top);
    }
    context.stroke();
    context.restore();
    const width = context.measureText(words).width;
    if (!words || right - left < width + 8) return;
    context.fillStyle = "#000";
    context.fillRect(left + 2, top + 2, width + 6, 16);
    this.#text(words, left + 5, top + 10, "#fff");
  }

  // Begin and end of what was marked, over an area of the plot; `named`: with words at its top.
  over(top, height, named) {
    for (const [startS, endS, judged] of this.pieces) {
      const place = judged ? null : this.#place(startS, endS);
      if (place) this.#hatch(...place, top, height, named ? "not judged" : "");
    }
    for (const [startS, endS, label] of this.events) this.#edges(startS, endS, label, top, height);
    if (!named) return;
    const next = new Map();
    for (const event of [...this.events].reverse()) {
      const row = Math.max(0, this.#row(event[2]));
      const place = this.#place(event[0], event[1]);
      if (!place) continue;
      this.#name(place[0], event, top + 17 * row, next.get(row) ?? this.right);
      next.set(row, place[0]);
    }
  }

  #edges(startS, endS, label, top, height) {
    const { context, drawing } = this;
    const { colour, dash, onset } = look(label);
    for (const time of onset ? [startS] : [startS, endS]) {
      const x = drawing.x(time);
      if (x < LEFT || x > this.right) continue;
      for (const [width, style] of [[3, "rgba(0, 0, 0, .7)"], [1.5, colour]]) {
        context.strokeStyle = style;
        context.lineWidth = width;
        context.setLineDash(width === 3 ? [] : dash);
        context.beginPath();
        context.moveTo(x, top);
        context.lineTo(x, top + height);
        context.stroke();
      }
      context.setLineDash([]);
    }
  }

  // The name of an event, as far as there is room before the next one of its row.
  #name(left, [, , label, probability], top, right) {
    const { context } = this;
    for (const words of [`${label} ${percent(probability)}`, label]) {
      const width = context.measureText(words).width + 8;
      if (left + width > right) continue;
      context.fillStyle = "#000";
      context.fillRect(left, top + 2, width, 16);
      this.#text(words, left + 4, top + 10, look(label).colour);
      return;
    }
  }

  // What did not speak for the class lies in the dark, what spoke most is outlined; the line is the network's attention.
  looked(top, height, topHz) {
    const { looked } = this.heard;
    if (!looked) return;
    const { context, drawing } = this;
    const { startS, stepS, edgesHz, cam, attention } = looked;
    const y = (hz) => top + height * (1 - Math.min(hz, topHz) / topHz);
    context.save();
    context.beginPath();
    context.rect(LEFT, top, this.right - LEFT, height);
    context.clip();
    const most = (at, step) => (cam[at]?.[step] ?? 0) >= MOST_SAID;
    const outline = new Path2D();
    attention.forEach((weight, step) => {
      const left = drawing.x(startS + step * stepS);
      const wide = drawing.x(startS + (step + 1) * stepS) - left;
      if (left > this.right || left + wide < LEFT) return;
      cam.forEach((row, at) => {
        context.fillStyle = `rgba(0, 0, 0, ${0.6 * (1 - Math.sqrt(row[step]))})`;
        const lower = at === 0 ? top + height : y(edgesHz[at]);
        const upper = at === cam.length - 1 ? top : y(edgesHz[at + 1]);
        context.fillRect(left, upper, wide + 0.3, lower - upper + 0.3);
        if (!most(at, step)) return;
        if (!most(at - 1, step)) line(outline, left, lower, left + wide, lower);
        if (!most(at + 1, step)) line(outline, left, upper, left + wide, upper);
        if (!most(at, step - 1)) line(outline, left, lower, left, upper);
        if (!most(at, step + 1)) line(outline, left + wide, lower, left + wide, upper);
      });
      context.fillStyle = "#fff";
      context.fillRect(left, top + height - 2 - 0.15 * height * weight, wide + 0.3, 2);
    });
    for (const [width, style] of [[4, "#000"], [2, "#fff"]]) {
      [context.lineWidth, context.strokeStyle] = [width, style];
      context.stroke(outline);
    }
    context.fillStyle = "#ff8c1a";
    for (const time of [startS, startS + attention.length * stepS]) context.fillRect(drawing.x(time) - 1, top, 2, height);
    context.restore();
  }
}
