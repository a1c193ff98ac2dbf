// What dashboard/review.py sends, laid out as in dashboard/payload.py; times are device time, seconds since 1970.

const REVIEW_MISSING = -32768;

function decodeReview(bytes) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const length = view.getUint32(0, true);
  const header = JSON.parse(new TextDecoder().decode(bytes.subarray(4, 4 + length)));
  // A copy, because an Int16Array must begin at an even address.
  const samples = new Int16Array(bytes.slice(4 + length).buffer);
  let offset = 0;
  header.traces = header.traces.map((trace) => {
    const leads = trace.channels.map((_, channel) => {
      const start = offset + channel * trace.count;
      return samples.subarray(start, start + trace.count);
    });
    offset += trace.count * trace.channels.length;
    return new StillTrace(trace, leads);
  });
  return header;
}

// One signal as it was when the view was frozen. Between knots time is linear in the index.
class StillTrace {
  constructor(header, leads) {
    Object.assign(this, header);
    this.leads = leads;
  }

  get startS() {
    return this.timeOf(0);
  }

  get endS() {
    return this.timeOf(this.count);
  }

  timeOf(index) {
    const [low, high] = this.#around(index, 0);
    return low[1] + ((index - low[0]) * (high[1] - low[1])) / (high[0] - low[0]);
  }

  // Fractional: an index between two samples.
  indexAt(time) {
    const [low, high] = this.#around(time, 1);
    return low[0] + ((time - low[1]) * (high[0] - low[0])) / (high[1] - low[1]);
  }

  // The knots before and after a place; the first or last pair beyond the ends.
  #around(place, axis) {
    let low = 0;
    let high = this.knots.length - 1;
    while (high - low > 1) {
      const middle = (low + high) >> 1;
      if (this.knots[middle][axis] <= place) low = middle;
      else high = middle;
    }
    return [this.knots[low], this.knots[low + 1]];
  }

  value(lead, index) {
    const digital = this.leads[lead][index];
    return digital === undefined || digital === REVIEW_MISSING ? NaN : digital * this.scale;
  }

  valueAt(lead, time) {
    return this.value(lead, Math.round(this.indexAt(time)));
  }

  // Indices of the samples between two times, a margin of one each side.
  between(from, to) {
    const first = Math.max(0, Math.floor(this.indexAt(from)) - 1);
    return [first, Math.min(this.count, Math.ceil(this.indexAt(to)) + 1)];
  }

  range(lead, first, end) {
    let low = Infinity;
    let high = -Infinity;
    for (let index = first; index < end; index++) {
      const digital = this.leads[lead][index];
      if (digital === REVIEW_MISSING) continue;
      if (digital < low) low = digital;
      if (digital > high) high = digital;
    }
    return low <= high ? [low * this.scale, high * this.scale] : null;
  }

  median(lead, first, end) {
    const step = Math.max(1, Math.floor((end - first) / 500));
    const some = [];
    for (let index = first; index < end; index += step) {
      const digital = this.leads[lead][index];
      if (digital !== REVIEW_MISSING) some.push(digital);
    }
    some.sort((a, b) => a - b);
    return some.length ? some[some.length >> 1] * this.scale : 0;
  }
}

function clockText(time, digits = 0) {
  const text = new Date(Math.round(time * 1000)).toISOString();
  return digits ? text.slice(11, 20 + digits) : text.slice(11, 19);
}
