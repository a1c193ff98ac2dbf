// Draws one channel as a sweep with an erase bar. Only what is new is drawn in each frame.

const ERASE_MM = 4;
const GAINS_MM_PER_MV = [20, 10, 5, 2.5, 1.25];
const COLOURS = {
  dark: {
    ecg: "#3dff7c", eeg: "#e8eef5", lung_sound: "#ffb454", heart_sound: "#ff9bd2",
    resp: "#ffe14d", pleth: "#4dd9ff", abp: "#ff6b6b", other: "#e8eef5",
  },
  light: {
    ecg: "#101820", eeg: "#1d2a5e", lung_sound: "#7a4200", heart_sound: "#8c1760",
    resp: "#5e5200", pleth: "#005a75", abp: "#a01313", other: "#101820",
  },
};

function colourOf(kind, light) {
  const colours = light ? COLOURS.light : COLOURS.dark;
  return colours[kind] ?? colours.other;
}

class Row {
  constructor(trace, channel, label, light) {
    this.trace = trace;
    this.channel = channel;
    this.label = label;
    this.colour = colourOf(trace.kind, light);
    this.drawn = null; // index up to which this row is drawn
    this.lap = null;
    this.gain = 10;
    this.low = 0;
    this.high = 0;
  }

  place(top, height) {
    this.top = top;
    this.height = height;
    this.drawn = null;
  }

  // The scale changes only at the start of a lap, so that one lap reads as one scale.
  #rescale(pixelsPerMm, wanted) {
    const [low, high] = this.trace.range(this.channel, 8);
    const { kind, unit, channels } = this.trace;
    const name = channels[this.channel];
    if (kind === "ecg") {
      const room = (this.height * 0.94) / pixelsPerMm;
      const reach = high - low;
      this.gain = GAINS_MM_PER_MV.find((gain) => gain <= wanted && reach * gain <= room) ?? GAINS_MM_PER_MV.at(-1);
      this.label.textContent = `${name}  ${this.gain} mm/mV`;
      this.scale = this.gain * pixelsPerMm;
      this.middle = (low + high) / 2;
    } else {
      const span = Math.max(high - low, 1e-6);
      this.scale = (this.height * 0.8) / span;
      this.middle = (low + high) / 2;
      const digits = span >= 20 ? 0 : span >= 1 ? 1 : 3;
      const range = unit === "au" ? "auto" : `${low.toFixed(digits)} to ${high.toFixed(digits)} ${unit}`;
      this.label.textContent = `${name}  ${range}`;
    }
    this.label.classList.toggle("off", Boolean(this.trace.leadOff[this.channel]));
  }

  y(value) {
    const y = this.top + this.height / 2 - (value - this.middle) * this.scale;
    return Math.max(this.top + 1, Math.min(this.top + this.height - 1, y));
  }

  draw(context, time, width, pixelsPerMm, mmPerSecond, wantedGain) {
    const trace = this.trace;
    const pace = pixelsPerMm * mmPerSecond;
    const lapS = width / pace;
    const end = trace.indexAt(time);
    if (!Number.isFinite(end)) return;
    const lapSamples = Math.floor(lapS * trace.fs);
    const erase = ERASE_MM * pixelsPerMm;
    const fresh = this.drawn === null || end < this.drawn || end - this.drawn > lapSamples / 2;
    const lap = Math.floor(trace.timeOf(end) / lapS);
    if (fresh || lap !== this.lap) this.#rescale(pixelsPerMm, wantedGain);
    this.lap = lap;
    if (fresh) {
      context.clearRect(0, this.top, width, this.height);
      this.drawn = Math.max(trace.first, end - lapSamples + Math.ceil((erase / pace) * trace.fs));
    } else if (end > this.drawn) {
      this.#clear(context, (trace.timeOf(this.drawn) * pace) % width, (end - this.drawn) / trace.fs * pace + erase, width);
    }
    if (end > this.drawn) this.#stroke(context, end, pace, width);
    this.drawn = end;
  }

  #clear(context, from, length, width) {
    const start = from + 1;
    context.clearRect(start, this.top, Math.min(length, width - start), this.height);
    if (start + length > width) context.clearRect(0, this.top, start + length - width, this.height);
  }

  #stroke(context, end, pace, width) {
    const trace = this.trace;
    context.strokeStyle = this.colour;
    context.beginPath();
    let open = false;
    let previous = 0;
    for (let index = Math.max(trace.first, this.drawn - 1); index < end; index++) {
      const value = trace.value(this.channel, index);
      const x = (trace.timeOf(index) * pace) % width;
      if (Number.isNaN(value) || x < previous) open = false;
      if (!Number.isNaN(value)) {
        if (open) context.lineTo(x, this.y(value));
        else context.moveTo(x, this.y(value));
        open = true;
      }
      previous = x;
    }
    context.stroke();
  }
}
