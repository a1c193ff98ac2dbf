// Draws a sound over [from, until) (device time, s): waveform, what was heard, spectrogram, axes.

const LEFT = 62; // room for the numbers of the axes
const WAVE = 64;
const GAP = 8;
const TOP = WAVE + GAP + LANES + GAP; // of the spectrogram
const BOTTOM = 20;
const USUAL_SHARE = 0.98; // of the waveform's pixels fit the lane
const FONT = "12px 'Source Sans', 'Segoe UI', Roboto, Arial, sans-serif";

function clock(seconds) {
  return new Date(1000 * seconds).toISOString().slice(11, 19);
}

// A round full scale. Where a knock would make all else a line, it is the knock that leaves the lane.
function fullScale(bars) {
  const peaks = bars.map(([, low, high]) => Math.max(-low, high)).sort((one, other) => one - other);
  const usual = 1.25 * (peaks[Math.floor(USUAL_SHARE * peaks.length)] ?? 0);
  const peak = Math.max(0.0005, Math.min(usual, peaks.at(-1) ?? 0));
  const step = 10 ** Math.floor(Math.log10(peak));
  return [1, 2, 5, 10].map((factor) => factor * step).find((size) => size >= peak);
}

class Drawing {
  constructor(canvas) {
    this.canvas = canvas;
    this.context = canvas.getContext("2d");
    this.colour = "#888";
    this.fit();
  }

  // Follow the size of the page and its colours.
  fit() {
    const ratio = window.devicePixelRatio || 1;
    this.width = this.canvas.clientWidth;
    this.height = this.canvas.clientHeight;
    const [width, height] = [Math.round(this.width * ratio), Math.round(this.height * ratio)];
    if (this.canvas.width !== width || this.canvas.height !== height) [this.canvas.width, this.canvas.height] = [width, height];
    this.context.setTransform(ratio, 0, 0, ratio, 0, 0);
    this.colour = getComputedStyle(this.canvas).color;
  }

  draw(sound, from, until, cursor, loop) {
    const { context } = this;
    context.clearRect(0, 0, this.width, this.height);
    context.font = FONT;
    this.from = from;
    this.scale = (this.width - LEFT) / (until - from);
    const marks = new MarksDrawing(this, sound.heard);
    const top = TOP;
    const height = this.height - top - BOTTOM;
    this.#wave(sound, from, until);
    marks.over(0, WAVE, false);
    marks.lanes(WAVE + GAP);
    this.#spectrogram(sound, from, until, top, height);
    marks.looked(top, height, sound.topHz);
    marks.over(top, height, true);
    this.#times(from, until);
    if (loop) this.#shade(loop, top, height);
    if (cursor !== null) this.#cursor(cursor, top + height);
  }

  x(time) {
    return LEFT + (time - this.from) * this.scale;
  }

  timeAt(x) {
    return this.from + (x - LEFT) / this.scale;
  }

  #wave(sound, from, until) {
    const { context } = this;
    const bars = this.#bars(sound, from, until);
    const full = fullScale(bars);
    const percent = Number((100 * full).toPrecision(1));
    this.#axis(0, WAVE, [[`+${percent} %`, 0], ["0", WAVE / 2], [`−${percent} %`, WAVE]]);
    const y = (value) => Math.min(WAVE, Math.max(0, (WAVE / 2) * (1 - value / full)));
    context.beginPath();
    for (const [pixel, low, high] of bars) {
      context.moveTo(pixel + 0.5, y(high) - 0.5);
      context.lineTo(pixel + 0.5, y(low) + 0.5);
    }
    context.strokeStyle = this.colour;
    context.lineWidth = 1;
    context.stroke();
  }

  // The least and the greatest value of each pixel: [pixel, low, high].
  #bars(sound, from, until) {
    const begin = Math.ceil(Math.max(sound.first, sound.indexAt(from)));
    const end = Math.min(sound.head, Math.floor(sound.indexAt(until)));
    const bars = [];
    for (let index = begin; index < end; index++) {
      const value = sound.value(index);
      if (Number.isNaN(value)) continue;
      const pixel = Math.floor(this.x(sound.timeOf(index)));
      const last = bars.at(-1);
      if (last?.[0] !== pixel) bars.push([pixel, value, value]);
      else if (value < last[1]) last[1] = value;
      else if (value > last[2]) last[2] = value;
    }
    return bars;
  }

  #axis(top, height, labels) {
    const { context } = this;
    context.fillStyle = this.colour;
    context.textAlign = "right";
    for (const [text, y] of labels) {
      context.textBaseline = y < 6 ? "top" : y > height - 6 ? "bottom" : "middle";
      context.fillText(text, LEFT - 8, top + y);
      context.fillRect(LEFT - 5, Math.min(top + height - 1, Math.round(top + y)), 5, 1);
    }
  }

  #spectrogram(sound, from, until, top, height) {
    const { context } = this;
    const picture = sound.spectrogram;
    context.save();
    context.beginPath();
    context.rect(LEFT, top, this.width - LEFT, height);
    context.clip();
    context.fillStyle = "#8a8a8a"; // no data
    context.fillRect(LEFT, top, this.width - LEFT, height);
    const pixelsPerHz = height / sound.topHz;
    const bottom = top + height + 0.5 * picture.binHz * pixelsPerHz;
    const tall = picture.bins * picture.binHz * pixelsPerHz;
    const columnAt = (time) => sound.indexAt(time) / picture.hop + 0.5;
    const first = Math.max(columnAt(from), picture.head - picture.count, 0);
    const last = Math.min(columnAt(until), picture.head);
    for (let start = first; start < last; ) {
      const place = start % picture.count;
      const width = Math.min(last - start, picture.count - place);
      const left = this.x(sound.timeOf((start - 0.5) * picture.hop));
      context.drawImage(picture.canvas, place, 0, width, picture.bins, left, bottom - tall, ((width * picture.hop) / sound.fs) * this.scale, tall);
      start += width;
    }
    context.restore();
    const step = sound.topHz / (height > 110 ? 4 : 2);
    const labels = [];
    for (let hz = 0; hz <= sound.topHz; hz += step) labels.push([`${hz} Hz`, height * (1 - hz / sound.topHz)]);
    this.#axis(top, height, labels);
  }

  #times(from, until) {
    const { context } = this;
    const step = [1, 2, 5, 10].find((seconds) => seconds * this.scale >= 80) ?? 20;
    context.fillStyle = this.colour;
    context.textAlign = "center";
    context.textBaseline = "bottom";
    for (let time = Math.ceil(from / step) * step; time < until; time += step) {
      const x = this.x(time);
      context.fillRect(Math.round(x), this.height - BOTTOM, 1, 5);
      if (x > LEFT + 30 && x < this.width - 30) context.fillText(clock(time), x, this.height);
    }
    context.textAlign = "right";
    context.fillText("UTC", LEFT - 8, this.height);
  }

  #shade([start, end], top, height) {
    const { context } = this;
    context.fillStyle = "rgba(255, 255, 255, .75)";
    for (const time of [start, end]) context.fillRect(this.x(time) - 1, top, 2, height);
  }

  #cursor(time, bottom) {
    const { context } = this;
    const x = this.x(time);
    context.fillStyle = "#000";
    context.fillRect(x - 2, 0, 4, bottom);
    context.fillStyle = "#ff8c1a";
    context.fillRect(x - 1, 0, 2, bottom);
  }
}
