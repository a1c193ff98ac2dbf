// What is known of an EEG's last day: minutes of the recorder's store (dashboard/eeg_history.py), alarms as spans.

const MINUTE_S = 60;
const PAST_S = 86400;
const FEWER_S = 5; // a minute of which the store has so many more seconds is the store's
const ALARM_RANKS = ["high", "medium", "low", "technical"];

class EegPast {
  constructor() {
    this.minutes = new Map();
    this.names = [];
    this.problem = "";
    this.episodes = [];
  }

  // False where minutes before these were never received.
  push({ afterS, count, names, problem }, times, values) {
    if (afterS === null) this.minutes.clear();
    else if (!this.minutes.has(afterS)) return false;
    Object.assign(this, { names, problem });
    for (let at = 0; at < count; at++) this.minutes.set(times[at], values.subarray(at * names.length, (at + 1) * names.length));
    const oldest = Math.max(0, ...this.minutes.keys()) - PAST_S;
    for (const time of this.minutes.keys()) if (time < oldest) this.minutes.delete(time);
    return true;
  }

  // End of the newest minute; 0 where there is none.
  get until() {
    return Math.max(0, ...[...this.minutes.keys()].map((time) => time + MINUTE_S));
  }

  // Begin of the oldest minute; Infinity where there is none.
  get since() {
    return Math.min(Infinity, ...this.minutes.keys());
  }

  // Seconds that the store has of a minute.
  secondsOf(time) {
    return this.minutes.get(time)?.[this.names.indexOf("n")] ?? 0;
  }
}

// Numbers in the order of time: seconds as they came (where `fine`) or their means of minutes, and minutes of the
// store where that knows of more seconds. What nobody has is not there.
class TrendTable {
  constructor({ series, past }, from, fine) {
    this.names = [series.names, past.names];
    const own = new Map();
    for (const second of series.seconds) {
      if (second.time < from) continue;
      const minute = Math.floor(second.time / MINUTE_S) * MINUTE_S;
      if (own.has(minute)) own.get(minute).push(second);
      else own.set(minute, [second]);
    }
    const stored = [...past.minutes.keys()].filter((time) => time + MINUTE_S > from);
    this.rows = [...new Set([...stored, ...own.keys()])].sort((a, b) => a - b).flatMap((minute) => {
      const seconds = own.get(minute) ?? [];
      if (past.secondsOf(minute) > seconds.length + FEWER_S) return [{ time: minute, step: MINUTE_S, source: 1, values: past.minutes.get(minute) }];
      if (fine) return seconds.map(({ time, values }) => ({ time: time - 1, step: 1, source: 0, values }));
      return [{ time: minute, step: MINUTE_S, source: 0, values: meanOf(seconds) }];
    });
  }

  // [begin, value, seconds] of each row that has a number of this name.
  *of(name) {
    const columns = this.names.map((names) => names.indexOf(name));
    for (const { time, step, source, values } of this.rows) {
      const value = columns[source] < 0 ? NaN : values[columns[source]];
      if (!Number.isNaN(value)) yield [time, value, step];
    }
  }
}

function meanOf(seconds) {
  const size = seconds[0].values.length;
  const [sums, counts] = [new Float64Array(size), new Float64Array(size)];
  for (const { values } of seconds) {
    for (let at = 0; at < size; at++) {
      if (Number.isNaN(values[at])) continue;
      sums[at] += values[at];
      counts[at] += 1;
    }
  }
  return sums.map((sum, at) => (counts[at] ? sum / counts[at] : NaN));
}

// Alarms by kind, the gravest first, each kind's spans cut to [from, until]; what stands goes on to `until`.
function alarmKinds(episodes, from, until) {
  const kinds = new Map();
  for (const [begin, end, kind, priority, text] of episodes) {
    const span = [Math.max(begin, from), Math.min(end ?? until, until)];
    if (!(span[0] <= span[1])) continue;
    const held = kinds.get(kind) ?? { kind, priority, text, spans: [] };
    if (ALARM_RANKS.indexOf(priority) < ALARM_RANKS.indexOf(held.priority)) held.priority = priority;
    held.spans.push(span);
    kinds.set(kind, held);
  }
  return [...kinds.values()].sort((a, b) => ALARM_RANKS.indexOf(a.priority) - ALARM_RANKS.indexOf(b.priority) || a.kind.localeCompare(b.kind));
}

// Alarms side by side: pieces [from, until, priority, text] in which the same ones hold, the gravest named first, and
// edges [time, priority] at which one begins or ends; what stands goes on to `until`.
function alarmPieces(episodes, from, until) {
  const shown = episodes.map(([begin, end, , priority, text]) => [begin, Math.min(end ?? until, until), priority, text]).filter(([begin, end]) => begin < end && end > from);
  const cuts = [...new Set(shown.flatMap(([begin, end]) => [begin, end]))].sort((a, b) => a - b);
  const pieces = cuts.slice(1).flatMap((end, at) => {
    const held = shown.filter(([begin, stop]) => begin < end && stop > cuts[at]);
    if (!held.length) return [];
    held.sort((a, b) => ALARM_RANKS.indexOf(a[2]) - ALARM_RANKS.indexOf(b[2]));
    return [[cuts[at], end, held[0][2], [...new Set(held.map(([, , , text]) => text))].join(" · ")]];
  });
  const edges = shown.flatMap(([begin, end, priority]) => (end < until ? [[begin, priority], [end, priority]] : [[begin, priority]]));
  return { pieces, edges };
}

function spanWords(seconds) {
  return seconds < 99.5 ? `${Math.round(seconds)} s` : seconds < 5970 ? `${Math.round(seconds / 60)} min` : `${(seconds / 3600).toFixed(1)} h`;
}
