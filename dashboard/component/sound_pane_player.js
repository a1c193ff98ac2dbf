// Plays a held sound by Web Audio. Positions are seconds from the begin of what is held.

const LEAST_AUDIO_HZ = 8000; // browsers need not play slower rates

class Player {
  constructor(ended) {
    this.ended = ended;
    this.context = null;
    this.source = null;
    this.volume = 0.8;
    this.at = 0;
    this.loop = null;
  }

  load(samples, fs) {
    this.stop();
    this.samples = samples;
    this.fs = fs;
    this.buffer = null;
    this.at = 0;
    this.loop = null;
  }

  // To be called from a click: browsers keep sound off until then.
  play() {
    this.stop();
    this.context ??= new AudioContext();
    this.context.resume();
    this.gain ??= this.#output();
    this.gain.gain.value = this.volume;
    this.buffer ??= this.#filled();
    const source = this.context.createBufferSource();
    source.buffer = this.buffer;
    if (this.loop) [source.loop, source.loopStart, source.loopEnd] = [true, ...this.loop];
    source.connect(this.gain);
    source.onended = () => {
      if (this.source !== source) return;
      this.at = this.samples.length / this.fs;
      this.source = null;
      this.ended();
    };
    source.start(0, this.at);
    this.source = source;
    this.startedAt = this.context.currentTime;
  }

  #output() {
    const gain = this.context.createGain();
    gain.connect(this.context.destination);
    return gain;
  }

  #filled() {
    let { samples, fs } = this;
    while (fs < LEAST_AUDIO_HZ) [samples, fs] = [doubled(samples), 2 * fs];
    const buffer = this.context.createBuffer(1, samples.length, fs);
    buffer.copyToChannel(samples, 0);
    return buffer;
  }

  get playing() {
    return this.source !== null;
  }

  get position() {
    if (!this.source) return this.at;
    const position = this.at + this.context.currentTime - this.startedAt;
    if (!this.loop || position < this.loop[1]) return Math.min(position, this.samples.length / this.fs);
    return this.loop[0] + ((position - this.loop[0]) % (this.loop[1] - this.loop[0]));
  }

  seek(seconds) {
    const playing = this.playing;
    this.stop();
    this.at = seconds;
    if (playing) this.play();
  }

  // Pause; play() goes on from there.
  stop() {
    this.at = this.position;
    const source = this.source;
    this.source = null;
    source?.stop();
  }

  setVolume(volume) {
    this.volume = volume;
    if (this.gain) this.gain.gain.value = volume;
  }

  close() {
    this.stop();
    this.context?.close();
  }
}

// Twice the rate: between two samples a windowed sinc over twelve neighbours, so that no mirror tones sound.
function doubled(samples) {
  const side = 6;
  const taps = Array.from({ length: 2 * side }, (_, n) => {
    const at = n - side + 0.5;
    return (Math.sin(Math.PI * at) / (Math.PI * at)) * (0.5 + 0.5 * Math.cos((Math.PI * at) / (side + 0.5)));
  });
  const out = new Float32Array(2 * samples.length);
  for (let n = 0; n < samples.length; n++) {
    let between = 0;
    for (let tap = 0; tap < taps.length; tap++) between += taps[tap] * (samples[n + tap - side + 1] ?? 0);
    out[2 * n] = samples[n];
    out[2 * n + 1] = between;
  }
  return out;
}
