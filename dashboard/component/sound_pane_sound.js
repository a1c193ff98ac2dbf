// The newest minute of one sound in the browser.

const SOUND_HELD_S = 60;
const WINDOW_S = { lung_sound: 0.064, heart_sound: 0.128 };
const CYCLES = { lung_sound: [3, 1.5, 8, "breaths"], heart_sound: [5, 0.35, 1.6, "beats"] };

class Sound {
  constructor(header) {
    this.kind = header.kind;
    this.title = header.title;
    this.topHz = header.topHz;
    this.fs = header.fs;
    this.epoch = header.epoch;
    this.capacity = Math.ceil(SOUND_HELD_S * header.fs);
    this.ring = new Int16Array(this.capacity).fill(MISSING);
    this.first = header.first;
    this.head = header.first;
    this.origin = NaN; // device time (s) of sample 0
    this.spectrogram = new Spectrogram(header.fs, WINDOW_S[header.kind], header.topHz, SOUND_HELD_S);
    this.heard = new Heard(header.kind);
  }

  // Take the samples that are not yet held; those of feeds that never came are missing.
  push(header, samples) {
    const end = header.first + header.count;
    const origin = header.endS - end / header.fs;
    const off = origin - this.origin;
    this.origin = Math.abs(off) < 0.1 ? this.origin + 0.1 * off : origin;
    for (let index = Math.max(this.head, header.first - this.capacity); index < header.first; index++) {
      this.ring[index % this.capacity] = MISSING;
    }
    for (let index = Math.max(this.head, header.first); index < end; index++) {
      this.ring[index % this.capacity] = samples[index - header.first];
    }
    this.head = Math.max(this.head, end);
    this.first = Math.max(this.first, this.head - this.capacity);
    this.spectrogram.advance(this.first, this.head, (index) => this.value(index));
    this.heard.take(header.marks, this.firstTime, Infinity);
  }

  // In full scales; NaN where there is no sample.
  value(index) {
    if (index < this.first || index >= this.head) return NaN;
    const digital = this.ring[index % this.capacity];
    return digital === MISSING ? NaN : digital / 32768;
  }

  timeOf(index) {
    return this.origin + index / this.fs;
  }

  indexAt(time) {
    return (time - this.origin) * this.fs;
  }

  get firstTime() {
    return this.timeOf(this.first);
  }

  get headTime() {
    return this.timeOf(this.head);
  }

  // As it is now: what comes later does not change it.
  copy() {
    const copy = Object.assign(Object.create(Sound.prototype), this);
    copy.ring = this.ring.slice();
    copy.spectrogram = this.spectrogram.copy();
    copy.heard = this.heard.copy();
    return copy;
  }

  // What is said of a frozen sound later on; nothing of another patient's or network's.
  hearLater(marks) {
    if (marks.epoch === this.heard.epoch) this.heard.take(marks, this.firstTime, this.headTime);
  }

  samples() {
    return Float32Array.from({ length: this.head - this.first }, (_, n) => this.value(this.first + n) || 0);
  }

  // The newest whole cycles, for a loop: [seconds, words]. Their period is where the loudness resembles itself most.
  lastCycles() {
    const [count, least, most, words] = CYCLES[this.kind];
    const step = Math.round(this.fs * COLUMN_S);
    const length = Math.floor(Math.min(this.head - this.first, 30 * this.fs) / step);
    const loud = Float32Array.from({ length }, (_, n) => {
      let sum = 0;
      for (let index = this.head - (length - n) * step, end = index + step; index < end; index++) sum += Math.abs(this.value(index) || 0);
      return sum;
    });
    const mean = loud.reduce((sum, value) => sum + value, 0) / Math.max(1, length);
    const alike = (lag) => {
      let sum = 0;
      for (let n = lag; n < length; n++) sum += (loud[n] - mean) * (loud[n - lag] - mean);
      return sum / (length - lag);
    };
    const whole = alike(0);
    let period = 0;
    // What hardly changes in loudness has no cycles.
    let best = whole > (0.05 * mean) ** 2 ? 0.25 * whole : Infinity;
    for (let lag = Math.ceil(least / COLUMN_S); lag <= most / COLUMN_S && lag < length / 2; lag++) {
      const likeness = alike(lag);
      if (likeness > best) [period, best] = [lag * COLUMN_S, likeness];
    }
    const held = this.headTime - this.firstTime;
    return period && count * period <= held ? [count * period, `${count} ${words}`] : [Math.min(10, held), ""];
  }
}
