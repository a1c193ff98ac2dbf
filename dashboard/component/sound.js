// Alarm sounds: bursts of ALARMS.md by Web Audio. One engine per browser tab, whatever page it shows.

const LEVELS = ["high", "medium", "low"];
// Onsets and length of the pulses in seconds, pitch in hertz, and the time from burst to burst.
const HIGH_HALF = [0, 0.25, 0.5, 1, 1.25];
const BURSTS = {
  high: { onsets: [...HIGH_HALF, ...HIGH_HALF.map((at) => at + 2)], pulse: 0.15, pitch: 587, every: 6 },
  medium: { onsets: [0, 0.4, 0.8], pulse: 0.2, pitch: 494, every: 10 },
  low: { onsets: [0, 0.45], pulse: 0.2, pitch: 392, every: 20 },
};
const EDGE_S = 0.02; // rise and fall of a pulse
const LOUDNESS = 0.4;

class AlarmSound {
  constructor() {
    this.muted = false;
    this.context = null;
    this.voice = null;
    this.level = null; // of the burst that was played last
    this.heard = new Set();
    this.nextAt = 0;
    this.burstUntil = 0;
    this.bursts = { high: 0, medium: 0, low: 0 };
    if (window.AudioContext) {
      this.context = new AudioContext();
      // Fundamental and harmonics of like strength: a sound that can be placed and that few miss.
      this.wave = this.context.createPeriodicWave(new Float32Array(7), Float32Array.of(0, 1, 0.8, 0.7, 0.6, 0.5, 0.4));
      // Browsers start sound only from a click or a key.
      for (const kind of ["click", "keydown"]) window.addEventListener(kind, (event) => this.#gesture(event), true);
    }
  }

  #gesture(event) {
    const own = event.composedPath()[0];
    if (!this.muted && !(own instanceof Element && own.matches("[data-sound]"))) this.start();
  }

  get off() {
    return this.muted || this.context?.state !== "running";
  }

  get state() {
    return this.muted ? "muted" : (this.context?.state ?? "missing");
  }

  start() {
    this.muted = false;
    if (this.context?.state !== "running") this.context?.resume();
  }

  mute() {
    this.muted = true;
    this.#hush();
  }

  #hush() {
    this.voice?.stop();
    this.voice = null;
    this.heard.clear();
    this.level = null;
    this.nextAt = this.burstUntil = 0;
  }

  // What sounds now: [{id, level}], to be called several times a second.
  sound(alarms) {
    if (this.off || alarms.length === 0) {
      // A burst that has begun is not cut off where its alarm ends or is acknowledged: only nothing follows it.
      this.heard.clear();
      this.level = null;
      return;
    }
    const level = LEVELS.find((one) => alarms.some((alarm) => alarm.level === one));
    const now = this.context.currentTime;
    const graver = this.level !== null && LEVELS.indexOf(level) < LEVELS.indexOf(this.level);
    const fresh = alarms.some((alarm) => alarm.level === level && !this.heard.has(alarm.id));
    const free = now >= this.burstUntil;
    if (graver || (free && (fresh || now >= this.nextAt))) {
      this.#burst(level, now);
      this.heard = new Set(alarms.map((alarm) => alarm.id));
    }
  }

  #burst(level, now) {
    const { onsets, pulse, pitch, every } = BURSTS[level];
    this.voice?.stop();
    const voice = this.context.createOscillator();
    const volume = this.context.createGain();
    voice.setPeriodicWave(this.wave);
    voice.frequency.value = pitch;
    volume.gain.value = 0;
    const begin = now + 0.05;
    for (const onset of onsets) {
      const at = begin + onset;
      volume.gain.setValueAtTime(0, at);
      volume.gain.linearRampToValueAtTime(LOUDNESS, at + EDGE_S);
      volume.gain.setValueAtTime(LOUDNESS, at + pulse - EDGE_S);
      volume.gain.linearRampToValueAtTime(0, at + pulse);
    }
    const end = begin + onsets.at(-1) + pulse;
    voice.connect(volume).connect(this.context.destination);
    voice.start(begin);
    voice.stop(end);
    this.voice = voice;
    this.level = level;
    this.burstUntil = end;
    this.nextAt = now + every;
    this.bursts[level]++;
  }
}
