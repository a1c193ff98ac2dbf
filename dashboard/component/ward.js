// The ward: one component for all beds. Mounted once a page; pipe.js brings the feeds.

const LOST_S = 2.5;

// Columns for which tiles come nearest to a monitor's strip, with few places left empty.
function columnsFor(count, width, height) {
  let best = 1;
  let least = Infinity;
  for (let columns = 1; columns <= count; columns++) {
    const rows = Math.ceil(count / columns);
    const shape = Math.abs(Math.log(width / columns / (height / rows) / 3.2));
    const cost = shape + (columns * rows - count) / count;
    if (cost < least) [best, least] = [columns, cost];
  }
  return best;
}

class Ward {
  constructor(root, settings, open) {
    this.settings = settings;
    this.open = open;
    this.node = root.querySelector(".ward");
    this.banner = root.querySelector(".banner");
    this.count = root.querySelector(".count");
    this.urgent = root.querySelector(".urgent");
    this.link = root.querySelector(".link");
    this.time = root.querySelector(".time");
    this.grid = root.querySelector(".grid");
    this.grid.classList.toggle("paper", settings.grid);
    this.node.classList.toggle("one", settings.grid);
    this.grid.style.setProperty("--mm", `${settings.pixelsPerMm}px`);
    this.grid.replaceChildren();
    this.tiles = new Map();
    this.seq = 0;
    this.feed = null;
    this.feedAt = this.now();
    this.frames = 0;
    this.bytes = 0;
    this.startedAt = this.now();
    this.running = true;
    this.observer = new ResizeObserver(() => this.layOut());
    this.observer.observe(this.grid);
    // A timer besides the frames: what is lost must show even where no frame is drawn.
    this.timer = setInterval(() => this.refresh(), 250);
    requestAnimationFrame(() => this.frame());
  }

  now() {
    return performance.now() / 1000;
  }

  receive(bytes) {
    const feed = decodeFeed(bytes);
    if (feed.view !== this.settings.view || feed.seq <= this.seq) return;
    this.bytes += bytes.byteLength;
    this.seq = feed.seq;
    this.feed = feed;
    this.feedAt = this.now();
    const names = feed.beds.map((bed) => bed.bed);
    if (names.length !== this.tiles.size || names.some((name) => !this.tiles.has(name))) this.seat(names);
    if (this.settings.grid) {
      const rows = feed.beds.flatMap((bed) => bed.traces).reduce((sum, trace) => sum + trace.channels.length, 0);
      this.grid.style.setProperty("--rows", String(Math.max(1, rows)));
    }
    for (const bed of feed.beds) this.tiles.get(bed.bed).receive(bed, this.feedAt);
    this.refresh();
  }

  seat(names) {
    for (const [name, tile] of this.tiles) {
      if (!names.includes(name)) {
        tile.node.remove();
        this.tiles.delete(name);
      }
    }
    for (const name of names) {
      if (!this.tiles.has(name)) this.tiles.set(name, new Tile(this.grid, name, this.settings, this.open));
      this.grid.append(this.tiles.get(name).node);
    }
    this.layOut();
  }

  layOut() {
    const count = Math.max(1, this.tiles.size);
    const columns = columnsFor(count, this.grid.clientWidth, this.grid.clientHeight);
    const rows = Math.ceil(count / columns);
    this.grid.style.gridTemplateColumns = `repeat(${columns}, minmax(0, 1fr))`;
    this.grid.style.gridTemplateRows = `repeat(${rows}, minmax(0, 1fr))`;
    this.grid.style.setProperty("--tile", `${this.grid.clientHeight / rows}px`);
    for (const tile of this.tiles.values()) tile.layOut();
  }

  frame() {
    if (!this.running) return;
    const now = this.now();
    if (now - this.feedAt < LOST_S) for (const tile of this.tiles.values()) tile.draw(now);
    this.frames++;
    requestAnimationFrame(() => this.frame());
  }

  refresh() {
    const now = this.now();
    const silence = now - this.feedAt;
    const lost = silence > LOST_S ? silence : null;
    for (const tile of this.tiles.values()) tile.refresh(now, lost);
    const brokerLost = this.feed !== null && !this.feed.connected;
    this.node.classList.toggle("lost", lost !== null);
    this.node.classList.toggle("brokerlost", brokerLost && lost === null);
    const unanalysed = lost === null && !brokerLost && this.feed !== null && this.feed.noAnalysis !== null;
    this.node.classList.toggle("unanalysed", unanalysed);
    show(this.time, new Date().toLocaleTimeString("en-GB"));
    if (lost !== null) show(this.link, `CONNECTION LOST ${Math.floor(lost)} s`);
    else if (brokerLost) show(this.link, `BROKER LOST ${Math.floor(this.feed.silent + silence)} s`);
    else if (unanalysed) show(this.link, `NO ANALYSIS ${Math.floor(this.feed.noAnalysis + silence)} s`);
    else show(this.link, this.feed === null ? "waiting for data" : "live");
    this.summary(lost !== null);
    const seconds = now - this.startedAt;
    this.node.dataset.frames = String(this.frames);
    this.node.dataset.fps = (this.frames / seconds).toFixed(1);
    this.node.dataset.bytesPerSecond = (this.bytes / seconds).toFixed(0);
  }

  // Of all beds, also on the page of one: counted by the server.
  summary(lost) {
    if (this.feed === null) return;
    show(this.count, this.feed.counts);
    const urgent = lost ? null : this.feed.urgent;
    show(this.urgent, urgent ? `${urgent.bed}  ${urgent.text}` : "");
    for (const priority of PRIORITIES) this.urgent.classList.toggle(priority, urgent?.priority === priority);
  }

  stop() {
    this.running = false;
    clearInterval(this.timer);
    this.observer.disconnect();
  }
}

export default function ({ parentElement, data, setTriggerValue }) {
  const held = parentElement.wardwave;
  if (held?.settings.view !== data.view) {
    held?.stop();
    const open = data.grid ? null : (name) => setTriggerValue("open", name);
    parentElement.wardwave = new Ward(parentElement, data, open);
  }
  const ward = parentElement.wardwave;
  const line = (window.wardwaveFeed ??= { sink: null, waiting: [] });
  const sink = (bytes) => ward.receive(bytes);
  line.sink = sink;
  for (const bytes of line.waiting.splice(0)) sink(bytes);
  return () => {
    parentElement.wardwave?.stop();
    parentElement.wardwave = undefined;
    if (line.sink === sink) line.sink = null;
  };
}
