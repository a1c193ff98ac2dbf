// Short-time spectra of a sound, in dB re a full-scale sine, and the picture of them.

const FLOOR_DB = -120;
const COLUMN_S = 0.016;
// viridis (matplotlib, CC0), every sixteenth of its range: even to the eye, and to the colour-blind.
const VIRIDIS = (
  "440154,48186a,472d7b,424086,3b528b,33638d,2c728e,26828e,21918c,1fa088,28ae80,3fbc73,5ec962,84d44b,addc30,d8e219,fde725"
).split(",").map((hex) => [0, 2, 4].map((at) => parseInt(hex.slice(at, at + 2), 16)));

function viridis(share) {
  const place = Math.min(1, Math.max(0, share)) * (VIRIDIS.length - 1);
  const low = Math.min(VIRIDIS.length - 2, Math.floor(place));
  return VIRIDIS[low].map((value, channel) => value + (place - low) * (VIRIDIS[low + 1][channel] - value));
}

class Fourier {
  constructor(size) {
    this.size = size;
    this.window = Float64Array.from({ length: size }, (_, n) => 0.5 - 0.5 * Math.cos((2 * Math.PI * n) / size));
    this.cos = Float64Array.from({ length: size / 2 }, (_, n) => Math.cos((2 * Math.PI * n) / size));
    this.sin = Float64Array.from({ length: size / 2 }, (_, n) => -Math.sin((2 * Math.PI * n) / size));
    this.real = new Float64Array(size);
    this.imag = new Float64Array(size);
    const bits = Math.log2(size);
    this.order = Uint16Array.from({ length: size }, (_, n) => {
      let reversed = 0;
      for (let bit = 0; bit < bits; bit++) reversed |= ((n >> bit) & 1) << (bits - 1 - bit);
      return reversed;
    });
  }

  // Level of bin k of what `read(n)` gives, in dB: 0 is a sine of amplitude 1.
  transform(read) {
    const { size, real, imag, cos, sin } = this;
    for (let n = 0; n < size; n++) real[this.order[n]] = read(n) * this.window[n];
    imag.fill(0);
    for (let half = 1; half < size; half *= 2) {
      const stride = size / (2 * half);
      for (let start = 0; start < size; start += 2 * half) {
        for (let n = 0; n < half; n++) {
          const low = start + n;
          const high = low + half;
          const re = real[high] * cos[n * stride] - imag[high] * sin[n * stride];
          const im = real[high] * sin[n * stride] + imag[high] * cos[n * stride];
          real[high] = real[low] - re;
          imag[high] = imag[low] - im;
          real[low] += re;
          imag[low] += im;
        }
      }
    }
  }

  level(bin) {
    const power = this.real[bin] ** 2 + this.imag[bin] ** 2;
    return 10 * Math.log10(power + 1e-20) + 20 * Math.log10(4 / this.size);
  }
}

// Ring of columns: levels as bytes (0: no data, 1 to 255: FLOOR_DB to 0 dB) and their picture.
class Spectrogram {
  constructor(fs, windowS, topHz, heldS) {
    this.size = 2 ** Math.round(Math.log2(fs * windowS));
    this.hop = Math.max(1, Math.round(fs * COLUMN_S));
    this.binHz = fs / this.size;
    this.bins = Math.min(this.size / 2, Math.ceil(topHz / this.binHz)) + 1;
    this.count = Math.ceil((heldS * fs) / this.hop);
    this.levels = new Uint8Array(this.count * this.bins);
    this.canvas = document.createElement("canvas");
    this.canvas.width = this.count;
    this.canvas.height = this.bins;
    this.context = this.canvas.getContext("2d");
    this.fourier = new Fourier(this.size);
    this.head = 0; // the next column; column c is centred on sample c * hop
    this.topDb = -20;
    this.rangeDb = 70;
  }

  // Work out the columns that samples [first, head) allow; `value(index)` is NaN where there is no sample.
  advance(first, head, value) {
    const begun = Math.max(this.head, Math.ceil((first + this.size / 2) / this.hop), 0);
    const from = Math.max(begun, Math.floor((head - this.size / 2) / this.hop) - this.count + 1);
    const until = Math.floor((head - this.size / 2) / this.hop) + 1;
    for (let column = from; column < until; column++) this.#work(column, value);
    if (until > from) this.paint(Math.max(from, until - this.count), until);
    this.head = Math.max(this.head, until);
  }

  #work(column, value) {
    const begin = column * this.hop - this.size / 2;
    let whole = true;
    this.fourier.transform((n) => {
      const sample = value(begin + n);
      whole &&= !Number.isNaN(sample);
      return sample;
    });
    const offset = (column % this.count) * this.bins;
    for (let bin = 0; bin < this.bins; bin++) {
      const share = 1 - this.fourier.level(bin) / FLOOR_DB;
      this.levels[offset + bin] = whole ? 1 + Math.round(254 * Math.min(1, Math.max(0, share))) : 0;
    }
  }

  paint(from, until) {
    const colours = Array.from({ length: 256 }, (_, byte) => viridis((this.dbOf(byte) - this.topDb) / this.rangeDb + 1));
    for (let start = from; start < until; ) {
      const place = start % this.count;
      const width = Math.min(until - start, this.count - place);
      const image = this.context.createImageData(width, this.bins);
      for (let x = 0; x < width; x++) {
        for (let bin = 0; bin < this.bins; bin++) {
          const byte = this.levels[(place + x) * this.bins + bin];
          const pixel = 4 * ((this.bins - 1 - bin) * width + x);
          image.data.set(colours[byte], pixel);
          image.data[pixel + 3] = byte ? 255 : 0;
        }
      }
      this.context.putImageData(image, place, 0);
      start += width;
    }
  }

  dbOf(byte) {
    return FLOOR_DB * (1 - (byte - 1) / 254);
  }

  // Fit the colours to the newest seconds in steps of 10 dB; the legend follows.
  adapt(columns) {
    const counts = new Uint32Array(256);
    let sum = 0;
    for (let column = Math.max(0, this.head - Math.min(columns, this.count)); column < this.head; column++) {
      const offset = (column % this.count) * this.bins;
      for (let bin = 0; bin < this.bins; bin++) counts[this.levels[offset + bin]]++;
      sum += this.bins;
    }
    let byte = 255;
    for (let above = 0; byte > 1 && (above += counts[byte]) < sum / 1000; ) byte--;
    const top = Math.min(0, Math.max(-50, 10 * Math.ceil(this.dbOf(byte) / 10)));
    if (top === this.topDb || sum === 0) return;
    this.topDb = top;
    this.paint(Math.max(0, this.head - this.count), this.head);
  }

  // The bin that is loudest in the newest column, in Hz; NaN without data.
  ridgeHz() {
    if (this.head === 0) return NaN;
    const offset = ((this.head - 1) % this.count) * this.bins;
    let loudest = 0;
    for (let bin = 1; bin < this.bins; bin++) if (this.levels[offset + bin] > this.levels[offset + loudest]) loudest = bin;
    return this.levels[offset + loudest] ? loudest * this.binHz : NaN;
  }

  copy() {
    const copy = Object.assign(Object.create(Spectrogram.prototype), this);
    copy.levels = this.levels.slice();
    copy.canvas = document.createElement("canvas");
    copy.canvas.width = this.count;
    copy.canvas.height = this.bins;
    copy.context = copy.canvas.getContext("2d");
    copy.context.drawImage(this.canvas, 0, 0);
    return copy;
  }
}
