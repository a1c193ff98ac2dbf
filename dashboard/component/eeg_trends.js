// What is held of an EEG's last two hours: density of its spectra, numbers a second, and what a network said.

const DENSITY_S = 4; // dashboard/eeg_spectra.py
const SPECTRUM_COLUMNS = 1800;
const SPECTRUM_BINS = 60;
const SPECTRUM_FLOOR_DB = -20;
const SPECTRUM_STEP_DB = 0.25;
const DENSITY_DB = [-10, 30];
const TREND_SECONDS = 7200;

// Ring of columns, counted in four seconds since 1970, and their picture: left above, right below.
class DensityArray {
  constructor() {
    this.canvas = document.createElement("canvas");
    this.canvas.width = SPECTRUM_COLUMNS;
    this.canvas.height = 2 * SPECTRUM_BINS;
    this.context = this.canvas.getContext("2d");
    this.epoch = this.first = this.head = 0;
    const [low, high] = DENSITY_DB;
    this.share = (decibels) => (decibels - low) / (high - low);
    this.colours = Array.from({ length: 256 }, (_, byte) => viridis(this.share(SPECTRUM_FLOOR_DB + (byte - 1) * SPECTRUM_STEP_DB)));
  }

  colourOf(decibels) {
    return `rgb(${viridis(this.share(decibels)).join(" ")})`;
  }

  // False where columns before these were never received.
  push({ epoch, first, count }, bytes, whole) {
    const anew = epoch !== this.epoch;
    if (anew) {
      this.epoch = epoch;
      this.first = this.head = first;
      this.context.clearRect(0, 0, SPECTRUM_COLUMNS, 2 * SPECTRUM_BINS);
    }
    if (first > this.head) return false;
    const size = 2 * SPECTRUM_BINS;
    for (let at = 0; at < count; at++) this.#paint(first + at, bytes.subarray(at * size, (at + 1) * size));
    this.head = Math.max(this.head, first + count);
    this.first = Math.max(Math.min(this.first, first), this.head - SPECTRUM_COLUMNS);
    return whole || !anew;
  }

  #paint(column, levels) {
    const image = this.context.createImageData(1, 2 * SPECTRUM_BINS);
    for (let side = 0; side < 2; side++) {
      for (let bin = 0; bin < SPECTRUM_BINS; bin++) {
        const byte = levels[side * SPECTRUM_BINS + bin];
        const pixel = 4 * (side * SPECTRUM_BINS + SPECTRUM_BINS - 1 - bin);
        image.data.set(this.colours[byte], pixel);
        image.data[pixel + 3] = byte ? 255 : 0;
      }
    }
    this.context.putImageData(image, column % SPECTRUM_COLUMNS, 0);
  }

  // One side's picture; `x` gives the place of a time.
  draw(context, side, x, top, height) {
    context.imageSmoothingEnabled = false;
    for (let start = this.first; start < this.head; ) {
      const place = start % SPECTRUM_COLUMNS;
      const width = Math.min(this.head - start, SPECTRUM_COLUMNS - place);
      const left = x(start * DENSITY_S);
      context.drawImage(this.canvas, place, side * SPECTRUM_BINS, width, SPECTRUM_BINS, left, top, x((start + width) * DENSITY_S) - left, height);
      start += width;
    }
  }
}

// Numbers of each second in the order of time; told again, a second replaces itself.
class TrendSeries {
  constructor() {
    this.epoch = this.count = 0;
    this.names = [];
    this.seconds = [];
    this.signs = new Map(); // what is wrong with channels: [channel, sign, from, until]
  }

  push({ epoch, first, count, names, signs }, times, values, whole) {
    const anew = epoch !== this.epoch;
    // What is sent whole replaces what was held: it reaches back as far, or further.
    if (anew || whole) Object.assign(this, { epoch, names, seconds: [], count: first, signs: new Map() });
    if (first > this.count) return false;
    for (const sign of signs) this.signs.set(sign.slice(0, 3).join("|"), sign);
    for (const [key, sign] of this.signs) if (sign[3] < (times.at(-1) ?? 0) - EEG_HELD_S) this.signs.delete(key);
    for (let at = Math.max(0, this.count - first); at < count; at++) {
      this.seconds.push({ time: times[at], values: values.subarray(at * names.length, (at + 1) * names.length) });
    }
    this.count = Math.max(this.count, first + count);
    if (this.seconds.length > 1.1 * TREND_SECONDS) this.seconds.splice(0, this.seconds.length - TREND_SECONDS);
    return whole || !anew;
  }

  // Of the newest second, unless that is older than a time.
  newest(name, from) {
    const second = this.seconds.at(-1);
    return second && second.time >= from ? second.values[this.names.indexOf(name)] ?? NaN : NaN;
  }
}

// How likely a network holds a seizure to be, step by step, and the spans it marks.
class SeizureMarks {
  constructor() {
    this.epoch = 0;
    this.steps = [];
    this.spans = [];
    this.model = "";
  }

  push({ epoch, model, steps, spans }, whole) {
    const anew = epoch !== this.epoch;
    if (anew) Object.assign(this, { epoch, steps: [] });
    Object.assign(this, { model, spans });
    for (const step of steps) {
      let place = this.steps.length;
      while (place && this.steps[place - 1][0] >= step[0]) place--;
      this.steps.splice(place, this.steps[place]?.[0] === step[0] ? 1 : 0, step);
    }
    const oldest = (this.steps.at(-1)?.[0] ?? 0) - TREND_SECONDS;
    const kept = this.steps.findIndex(([time]) => time >= oldest);
    if (kept > 0) this.steps.splice(0, kept);
    return whole || !anew;
  }
}

// Everything but the samples.
class EegTrends {
  constructor() {
    this.density = new DensityArray();
    this.series = new TrendSeries();
    this.marks = new SeizureMarks();
    this.past = new EegPast();
    this.looked = null;
  }

  // Takes what a feed brings, `take` reads on in it; false where something before was never received.
  push(feed, take) {
    let whole = feed.whole || !feed.spectrum;
    if (feed.spectrum) whole = this.density.push(feed.spectrum, take(Uint8Array, feed.spectrum.count * 2 * SPECTRUM_BINS), feed.whole);
    if (feed.trends) {
      const { count, names } = feed.trends;
      const times = take(Float64Array, count);
      whole = this.series.push(feed.trends, times, take(Float32Array, count * names.length), feed.whole) && whole;
    }
    if (feed.minutes) {
      const { count, names } = feed.minutes;
      const times = take(Float64Array, count);
      whole = this.past.push(feed.minutes, times, take(Float32Array, count * names.length)) && whole;
    }
    if (feed.alarms) this.past.episodes = feed.alarms;
    if (feed.marks) whole = this.marks.push(feed.marks, feed.whole) && whole;
    return whole;
  }
}
