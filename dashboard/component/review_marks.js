// What is drawn on the traces: beats, alarms, what the network looked at, the moment and the callipers.

// Class activation shades the lead, attention stands under it as a line on a base.
function drawExplanation(paper, row, explanation) {
  if (!explanation || row.trace.kind !== "ecg" || row.name !== explanation.channel) return;
  const { context, colours } = paper;
  const { timesS: times, cam, attention } = explanation;
  const half = (times[1] - times[0]) / 2;
  times.forEach((time, step) => {
    context.fillStyle = `rgba(${colours.cam}, ${(0.55 * cam[step]).toFixed(3)})`;
    context.fillRect(paper.x(time - half), row.top + 2, 2 * half * paper.perSecond + 0.5, row.height - 22);
  });
  const base = row.top + row.height - 3;
  context.fillStyle = colours.attention;
  context.globalAlpha = 0.75;
  context.beginPath();
  context.moveTo(paper.x(times[0]), base);
  times.forEach((time, step) => context.lineTo(paper.x(time), base - 1 - 15 * attention[step]));
  context.lineTo(paper.x(times.at(-1)), base);
  context.fill();
  context.globalAlpha = 1;
  context.strokeStyle = `rgb(${colours.cam})`;
  context.lineWidth = 2;
  context.setLineDash([6, 4]);
  const left = paper.x(explanation.startS);
  context.strokeRect(left, row.top + 2, paper.x(explanation.endS) - left, row.height - 4);
  context.setLineDash([]);
  const shown = Math.max(120, left + 6);
  if (shown < paper.x(explanation.endS)) paper.write(explanation.text, shown, row.top + row.height - 24, 700);
}

function drawBeats(paper, view) {
  const row = paper.rows.find((one) => one.trace.kind === "ecg");
  if (!row) return;
  const { context } = paper;
  context.textAlign = "center";
  context.font = "700 14px sans-serif";
  let shown = 0;
  for (const [time, label] of view.beats) {
    const x = paper.x(time);
    if (x < 0 || x > paper.width) continue;
    shown++;
    context.fillStyle = paper.colours[label] ?? paper.colours.ink;
    context.fillText(label, x, TOP_PX - 6);
    context.fillRect(x - 0.75, TOP_PX - 3, 1.5, label === "N" ? 5 : 12);
  }
  paper.canvas.dataset.beats = String(shown);
}

function drawAlarms(paper, view) {
  const { context } = paper;
  let shown = 0;
  for (const alarm of view.alarms) {
    const x = paper.x(alarm.onsetS);
    if (x < -1 || x > paper.width) continue;
    const colour = paper.colours[alarm.priority] ?? paper.colours.ink;
    context.strokeStyle = colour;
    context.lineWidth = 2;
    context.setLineDash([2, 3]);
    context.beginPath();
    context.moveTo(x, TOP_PX);
    context.lineTo(x, paper.height - AXIS_PX);
    context.stroke();
    context.setLineDash([]);
    paper.write(`▸ ${alarm.text}`, x + 4, TOP_PX + 13 + 17 * (shown++ % 3), 700, colour);
  }
}

function drawMoment(paper, view) {
  if (view.moment === null) return;
  const x = paper.x(view.moment);
  const { context } = paper;
  context.fillStyle = `rgb(${paper.colours.cam})`;
  context.beginPath();
  context.moveTo(x - 7, paper.height - AXIS_PX);
  context.lineTo(x + 7, paper.height - AXIS_PX);
  context.lineTo(x, paper.height - AXIS_PX - 12);
  context.fill();
}

function drawCallipers(paper, view) {
  const { context, colours } = paper;
  context.strokeStyle = context.fillStyle = colours.callipers;
  context.lineWidth = 1.5;
  for (const time of view.cursors) {
    const x = paper.x(time);
    context.beginPath();
    context.moveTo(x, TOP_PX);
    context.lineTo(x, paper.height - AXIS_PX);
    context.stroke();
    const row = paper.rows.find((one) => one.trace === view.trace && one.lead === view.lead);
    const value = row ? row.trace.valueAt(row.lead, time) : NaN;
    if (Number.isNaN(value)) continue;
    context.beginPath();
    context.arc(x, paper.y(row, value), 4, 0, 7);
    context.fill();
  }
}
