// The samples of one EEG in the browser, as they were sent: rings of the last minutes, and what of them is missing.

const EEG_HELD_S = 1200; // twice what the server holds: what is frozen stays for as long again
const EEG_MOST_SAMPLES = 12e6; // 48 MB; of very many channels less is held
const ASK_AGAIN_S = 3;

class EegSignal {
  constructor(header) {
    const { epoch, fs, channels, newest } = header;
    const nChannels = channels.length;
    Object.assign(this, { epoch, fs, channels, nChannels });
    this.capacity = Math.ceil(Math.min(EEG_HELD_S * fs, EEG_MOST_SAMPLES / nChannels));
    this.rings = Array.from({ length: nChannels }, () => new Float32Array(this.capacity).fill(NaN));
    this.head = newest.first;
    this.origin = NaN; // device time (s) of sample 0
    this.off = [];
    // Stretches [from, until) that the server holds and this ring does not, in order.
    this.holes = header.heldFrom < newest.first ? [[header.heldFrom, newest.first]] : [];
    this.begin = this.heldFrom = header.heldFrom;
    this.filled = null; // the stretch that was filled last: what was derived across it is to be derived anew
  }

  // Whether what is held is another patient's: the server forgot faster than time goes on.
  outlived(header) {
    const end = header.newest.first + header.newest.count;
    return header.epoch !== this.epoch || header.heldFrom - this.heldFrom > Math.max(0, end - this.head);
  }

  push(header, newest, past) {
    this.off = header.off;
    this.heldFrom = header.heldFrom;
    const end = header.newest.first + header.newest.count;
    const origin = header.headS - end / this.fs;
    // Small corrections glide, so that the trace does not twitch with each chunk's clock.
    const off = origin - this.origin;
    this.origin = Math.abs(off) < 0.1 ? this.origin + 0.1 * off : origin;
    if (header.newest.first > this.head) {
      this.holes.push([this.head, header.newest.first]);
      this.#clear(this.head, header.newest.first);
    }
    this.#write(header.newest, newest, Math.max(this.head, header.newest.first), end);
    this.head = Math.max(this.head, end);
    if (header.past) this.#fill(header.past, past);
    const oldest = Math.max(header.heldFrom, this.head - this.capacity);
    this.holes = this.holes.map(([from, until]) => [Math.max(from, oldest), until]).filter(([from, until]) => from < until);
  }

  #clear(from, until) {
    const start = Math.max(from, until - this.capacity);
    for (const ring of this.rings) for (let index = start; index < until; index++) ring[index % this.capacity] = NaN;
  }

  #write(block, digital, from, until) {
    for (let channel = 0; channel < this.nChannels; channel++) {
      const ring = this.rings[channel];
      const [scale, offset] = [block.scale[channel], block.offset[channel]];
      const begin = channel * block.count - block.first;
      for (let index = from; index < until; index++) {
        const value = digital[begin + index];
        ring[index % this.capacity] = value === MISSING ? NaN : value * scale + offset;
      }
    }
  }

  #fill(block, digital) {
    const end = block.first + block.count;
    this.holes = this.holes.flatMap(([from, until]) => {
      const [start, stop] = [Math.max(from, block.first), Math.min(until, end)];
      if (start >= stop) return [[from, until]];
      this.#write(block, digital, start, stop);
      this.filled = { until: stop };
      return [[from, start], [stop, until]].filter(([a, b]) => a < b);
    });
  }

  // What to ask for now: the page that is looked at, else the newest of what is missing.
  wanted(now, look, seconds) {
    const page = look === null ? null : look + Math.ceil(seconds * this.fs);
    const hole = this.holes.find(([from, until]) => page !== null && from < page && until > look) ?? this.holes.at(-1);
    if (!hole) return null;
    const until = page !== null && page > hole[0] ? Math.min(hole[1], page) : hole[1];
    if (this.askedFor === until && now - this.askedAt < ASK_AGAIN_S) return null;
    [this.askedFor, this.askedAt] = [until, now];
    return { do: "past", epoch: this.epoch, until };
  }

  get first() {
    return Math.max(this.begin, this.head - this.capacity);
  }

  get headTime() {
    return this.origin + this.head / this.fs;
  }

  // Time from which on everything is there.
  get wholeFrom() {
    return this.timeOf(this.holes.length ? this.holes.at(-1)[1] : this.first);
  }

  timeOf(index) {
    return this.origin + index / this.fs;
  }

  indexAt(time) {
    return Math.floor((time - this.origin) * this.fs);
  }
}
