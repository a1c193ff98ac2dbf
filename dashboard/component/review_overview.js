// The whole history as a narrow strip: ventricular beats, alarms, gaps, and the part that is on the paper.

class Overview {
  constructor(canvas, jump) {
    this.canvas = canvas;
    this.context = canvas.getContext("2d");
    const seek = (event) => jump(this.start + (event.offsetX / canvas.clientWidth) * (this.end - this.start));
    canvas.addEventListener("pointerdown", (event) => {
      canvas.setPointerCapture(event.pointerId);
      seek(event);
    });
    canvas.addEventListener("pointermove", (event) => event.buttons && seek(event));
  }

  draw(view, paper) {
    const { canvas, context } = this;
    const ratio = window.devicePixelRatio || 1;
    const [width, height] = [canvas.clientWidth, canvas.clientHeight];
    Object.assign(canvas, { width: Math.round(width * ratio), height: Math.round(height * ratio) });
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    [this.start, this.end] = [view.startS, view.endS];
    const x = (time) => ((time - this.start) / (this.end - this.start)) * width;
    context.fillStyle = paper.colours.paper;
    context.fillRect(0, 0, width, height);
    this.#rate(view, paper, x, height);
    for (const [time, label] of view.beats) {
      if (label === "N") continue;
      context.fillStyle = paper.colours[label];
      context.fillRect(x(time) - 0.5, 2, 1.5, 9);
    }
    for (const alarm of view.alarms) {
      context.fillStyle = paper.colours[alarm.priority];
      context.fillRect(x(alarm.onsetS) - 1, 0, 3, height);
    }
    context.strokeStyle = paper.colours.callipers;
    context.lineWidth = 2;
    context.strokeRect(x(paper.from) + 1, 1, Math.max(4, x(view.end) - x(paper.from) - 2), height - 2);
  }

  // Heart rate beat by beat, 30 to 210 per minute.
  #rate(view, paper, x, height) {
    const { context } = this;
    context.fillStyle = paper.colours.ecg;
    for (let index = 1; index < view.beats.length; index++) {
      const rate = 60 / (view.beats[index][0] - view.beats[index - 1][0]);
      if (rate < 30) continue;
      context.fillRect(x(view.beats[index][0]), height - ((Math.min(210, rate) - 30) / 180) * (height - 4) - 2, 1.5, 1.5);
    }
  }
}
