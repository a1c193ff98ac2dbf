// Derivations of an EEG by a montage's weights, through causal filters (each delays a little; nothing looks ahead).

const NOTCH_QUALITY = 12; // as ingest/filters.py
const SETTLES_S = 8; // before what is shown: a low cut of 0.16 Hz has forgotten its start
const REST_S = 0.25; // after a gap of so long filters begin anew: an electrode's new offset is no wave

// Low cut of first order, as the time constant of an EEG machine (0.16 Hz: 1 s).
function lowCut(hz, fs) {
  const k = Math.tan((Math.PI * hz) / fs);
  const gain = 1 / (1 + k);
  return { b: [gain, -gain, 0], a: [(k - 1) / (k + 1), 0], dc: 0 };
}

// Butterworth, second order (bilinear).
function highCut(hz, fs) {
  const k = Math.tan((Math.PI * hz) / fs);
  const gain = 1 / (1 + Math.SQRT2 * k + k * k);
  const b = k * k * gain;
  return { b: [b, 2 * b, b], a: [2 * (k * k - 1) * gain, (1 - Math.SQRT2 * k + k * k) * gain], dc: 1 };
}

function notch(hz, fs) {
  const angle = (2 * Math.PI * hz) / fs;
  const alpha = Math.sin(angle) / (2 * NOTCH_QUALITY);
  const gain = 1 / (1 + alpha);
  const middle = -2 * Math.cos(angle) * gain;
  return { b: [gain, middle, gain], a: [middle, (1 - alpha) * gain], dc: 1 };
}

// The stages that the chosen cuts make at a rate; what lies above its half is none.
function stagesOf({ low, high, mains }, fs) {
  const stages = low ? [lowCut(low, fs)] : [];
  if (high && high < 0.45 * fs) stages.push(highCut(high, fs));
  if (mains && mains < 0.45 * fs) stages.push(notch(mains, fs));
  return stages;
}

class Derivation {
  constructor(row, stages) {
    this.columns = Int32Array.from(row.weights, ([column]) => column);
    this.weights = Float64Array.from(row.weights, ([, weight]) => weight);
    this.stages = stages;
    this.state = new Float64Array(2 * stages.length); // direct form II, transposed
    this.missing = Infinity; // samples since the last that was there
  }

  // As if the first sample had stood for ever.
  #settle(value) {
    this.stages.forEach(({ b, a, dc }, stage) => {
      const out = dc * value;
      this.state[2 * stage + 1] = b[2] * value - a[1] * out;
      this.state[2 * stage] = b[1] * value - a[0] * out + this.state[2 * stage + 1];
      value = out;
    });
  }

  run(signal, from, until, ring) {
    const { columns, weights, stages, state } = this;
    const { rings, capacity } = signal;
    const rest = REST_S * signal.fs;
    for (let index = from; index < until; index++) {
      const place = index % capacity;
      let value = 0;
      for (let at = 0; at < columns.length; at++) value += weights[at] * rings[columns[at]][place];
      if (Number.isNaN(value)) {
        this.missing++;
        ring[index % ring.length] = NaN;
        continue;
      }
      if (this.missing > rest) this.#settle(value);
      this.missing = 0;
      for (let stage = 0; stage < stages.length; stage++) {
        const { b, a } = stages[stage];
        const out = b[0] * value + state[2 * stage];
        state[2 * stage] = b[1] * value - a[0] * out + state[2 * stage + 1];
        state[2 * stage + 1] = b[2] * value - a[1] * out;
        value = out;
      }
      ring[index % ring.length] = value;
    }
  }
}

// All rows of a montage over some seconds; goes on as samples come.
class Derived {
  constructor(signal, rows, cuts, from, seconds) {
    this.signal = signal;
    this.rows = rows;
    this.size = Math.ceil((seconds + SETTLES_S) * signal.fs);
    this.begin = this.head = Math.max(signal.first, from - Math.round(SETTLES_S * signal.fs));
    this.first = Math.max(signal.first, from);
    const stages = stagesOf(cuts, signal.fs);
    this.derivations = rows.map((row) => new Derivation(row, stages));
    this.rings = rows.map(() => new Float32Array(this.size));
    this.filled = signal.filled;
  }

  run(until) {
    if (until <= this.head) return;
    // After a long pause (a hidden page) only what can be shown is worked out.
    const from = Math.max(this.head, until - this.size);
    this.derivations.forEach((one, row) => one.run(this.signal, from, until, this.rings[row]));
    this.head = until;
    this.first = Math.max(this.first, this.head - this.size);
  }

  // Whether samples came that were missing when this was derived.
  get stale() {
    return this.filled !== this.signal.filled && this.signal.filled.until > this.begin;
  }

  value(row, index) {
    return index < this.first || index >= this.head ? NaN : this.rings[row][index % this.size];
  }
}
