// dashboard/payload.py says what a feed is made of.

const LOST_S = 2.5; // without a feed for so long the connection counts as lost
const FIRST_S = 20; // so long the first feed of a page may take
const LAGS_KEPT = 60;

function decodeHeader(bytes) {
  const length = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength).getUint32(0, true);
  return JSON.parse(new TextDecoder().decode(bytes.subarray(4, 4 + length)));
}

function decodeFeed(bytes) {
  const length = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength).getUint32(0, true);
  const header = decodeHeader(bytes);
  // A copy, because an Int16Array must begin at an even address.
  const samples = new Int16Array(bytes.slice(4 + length).buffer);
  let offset = 0;
  for (const bed of header.beds) {
    for (const trace of bed.traces) {
      trace.samples = trace.channels.map((_, channel) => {
        const start = offset + channel * trace.count;
        return samples.subarray(start, start + trace.count);
      });
      offset += trace.count * trace.channels.length;
    }
  }
  return header;
}

// Where pipe.js puts the feeds of this page; who joins late gets the newest ones.
function feedLine() {
  const line = (window.wardwaveFeed ??= { sinks: new Set(), recent: [] });
  return {
    join(sink) {
      line.sinks.add(sink);
      for (const bytes of line.recent) sink(bytes);
    },
    leave(sink) {
      line.sinks.delete(sink);
    },
  };
}

// Tells how long no fresh feed came, by this browser's clocks: performance.now() stands still while some machines
// sleep, and the time of day may be set, so whichever of the two says that more time has passed is believed.
class FeedWatch {
  constructor() {
    this.seqs = new Map();
    this.heard = false;
    this.lags = [];
    this.#mark(0);
  }

  #mark(late) {
    this.at = performance.now() / 1000 - late;
    this.wallAt = Date.now() / 1000 - late;
  }

  // Whether a feed is newer than what was taken. One that waited on its way (a tab that slept) is as old as its
  // delay beyond the quickest of the last half minute.
  take(feed) {
    if (feed.seq <= (this.seqs.get(feed.view) ?? 0)) return false;
    this.seqs.set(feed.view, feed.seq);
    const lag = Date.now() / 1000 - feed.sent;
    this.lags.push(lag);
    if (this.lags.length > LAGS_KEPT) this.lags.shift();
    this.#mark(lag - Math.min(...this.lags));
    this.heard = true;
    return true;
  }

  silence() {
    return Math.max(performance.now() / 1000 - this.at, Date.now() / 1000 - this.wallAt);
  }

  // Seconds since the last feed once the connection is lost, else null.
  lost() {
    const silence = this.silence();
    return silence > (this.heard ? LOST_S : FIRST_S) ? silence : null;
  }
}

function isLight(host) {
  const colour = getComputedStyle(host).getPropertyValue("--st-background-color").trim();
  const [red, green, blue] = colour.startsWith("#")
    ? [1, 3, 5].map((at) => parseInt(colour.slice(at, at + 2), 16))
    : (colour.match(/[\d.]+/g) ?? ["0", "0", "0"]).map(Number);
  return red + green + blue > 384;
}
