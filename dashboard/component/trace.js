// The newest seconds of one signal in the browser, and the clock by which they are played.

const HELD_S = 45;
const MISSING = -32768;
const BASELINE_S = 1.0; // a monitor's trace stays in its row: the slow drift under ECG and EEG is taken off

class Trace {
  constructor(header) {
    this.epoch = header.epoch;
    this.fs = header.fs;
    this.kind = header.kind;
    this.device = header.device;
    this.unit = header.unit;
    this.channels = header.channels;
    this.leadOff = header.leadOff;
    this.capacity = Math.ceil(HELD_S * header.fs);
    this.rings = header.channels.map(() => new Float32Array(this.capacity).fill(NaN));
    this.baselines = header.channels.map(() => NaN);
    this.first = header.first;
    this.head = header.first;
    this.origin = NaN; // device time (s) of sample 0
    this.centred = header.kind === "ecg" || header.kind === "eeg";
  }

  fits(header) {
    return (
      header.epoch === this.epoch && header.channels.length === this.channels.length &&
      header.channels.every((name, index) => name === this.channels[index])
    );
  }

  // Take the samples that are not yet held; those of feeds that never came are missing.
  push(header) {
    this.leadOff = header.leadOff;
    const end = header.first + header.count;
    const origin = header.headS - end / header.fs;
    // Small corrections glide, so that the trace does not twitch with each chunk's clock.
    const off = origin - this.origin;
    this.origin = Math.abs(off) < 0.1 ? this.origin + 0.1 * off : origin;
    if (header.first > this.head) this.#skip(header.first);
    const known = Math.max(0, this.head - header.first);
    const weight = 1 / (BASELINE_S * this.fs);
    header.samples.forEach((samples, channel) => {
      const ring = this.rings[channel];
      let baseline = this.baselines[channel];
      for (let index = known; index < samples.length; index++) {
        const digital = samples[index];
        let value = digital === MISSING ? NaN : digital * header.scale;
        if (this.centred && digital !== MISSING) {
          if (Number.isNaN(baseline)) baseline = middle(samples) * header.scale;
          baseline += (value - baseline) * weight;
          value -= baseline;
        }
        ring[(header.first + index) % this.capacity] = value;
      }
      this.baselines[channel] = baseline;
    });
    const fresh = end > this.head;
    this.head = Math.max(this.head, end);
    this.first = Math.max(this.first, this.head - this.capacity);
    return fresh;
  }

  #skip(index) {
    const start = Math.max(this.head, index - this.capacity);
    for (const ring of this.rings) {
      for (let missing = start; missing < index; missing++) ring[missing % this.capacity] = NaN;
    }
    this.head = index;
  }

  get headTime() {
    return this.origin + this.head / this.fs;
  }

  timeOf(index) {
    return this.origin + index / this.fs;
  }

  indexAt(time) {
    return Math.min(this.head, Math.floor((time - this.origin) * this.fs));
  }

  value(channel, index) {
    return index < this.first || index >= this.head ? NaN : this.rings[channel][index % this.capacity];
  }

  // Least and greatest value of the newest seconds.
  range(channel, seconds) {
    let low = Infinity;
    let high = -Infinity;
    for (let index = Math.max(this.first, this.head - Math.round(seconds * this.fs)); index < this.head; index++) {
      const value = this.rings[channel][index % this.capacity];
      if (value < low) low = value;
      if (value > high) high = value;
    }
    return low <= high ? [low, high] : [0, 0];
  }
}

function middle(samples) {
  const sorted = Array.from(samples).filter((value) => value !== MISSING).sort((a, b) => a - b);
  return sorted.length ? sorted[sorted.length >> 1] : 0;
}

// Plays a device's time at an even pace behind the samples that arrive in lumps. The delay follows from the least
// slack seen before an arrival in the last seconds, so it is no longer than the chunks and the network ask for.
class PlaybackClock {
  constructor() {
    this.offset = NaN; // device time minus browser time of what is drawn now
    this.target = NaN;
    this.head = NaN;
    this.headAt = NaN;
    this.slacks = [];
    this.tickedAt = NaN;
  }

  arrive(now, head) {
    if (!(head > this.head) && Math.abs(head - this.head) < 1) return;
    if (head > this.head && now - this.headAt < 3 && head - this.head < 3) {
      this.slacks.push([now, this.head - now]);
      this.slacks = this.slacks.filter(([at]) => now - at < 10);
      this.target = Math.min(...this.slacks.map(([, slack]) => slack)) - 0.1;
    } else if (!(Math.abs(head - now - 1.5 - this.offset) < 2)) {
      this.slacks = [];
      this.target = head - now - 1.5;
      this.offset = this.target;
    }
    this.head = head;
    this.headAt = now;
  }

  // Device time to draw up to; never beyond what is held.
  tick(now) {
    const passed = Number.isNaN(this.tickedAt) ? 0 : Math.min(1, now - this.tickedAt);
    this.tickedAt = now;
    const off = this.target - this.offset;
    if (Math.abs(off) > 2) this.offset = this.target;
    else this.offset += Math.max(-0.05 * passed, Math.min(0.05 * passed, off));
    return Math.min(this.head, now + this.offset);
  }
}
