// The ward: one component for all beds. Mounted once a page; pipe.js brings the feeds.

const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
const SHAPE = 2.7; // width by height of a tile that is neither a ribbon nor a box
const NARROW_PX = 560; // a window that is narrower shows one column
const PHONE_PX = 150; // and there each tile is so high
const LOWEST_PX = 76;
const SETTLE_S = 2; // so long an order by priority stands before a tile moves again

// Columns for which tiles come nearest to a monitor's strip, with few places left empty.
function columnsFor(count, width, height) {
  let best = 1;
  let least = Infinity;
  for (let columns = 1; columns <= count; columns++) {
    const rows = Math.ceil(count / columns);
    const shape = Math.abs(Math.log(width / columns / (height / rows) / SHAPE));
    const cost = shape + (columns * rows - count) / count;
    if (cost < least) [best, least] = [columns, cost];
  }
  return best;
}

// Streamlit follows the browser's history: it stops the timers of this page before it asks for the other, and the
// page's document stays, and with it the sound.
function openBed(name) {
  history.pushState({}, "", `./bed?${new URLSearchParams({ bed: name })}`);
  window.dispatchEvent(new PopStateEvent("popstate"));
}

class Ward {
  constructor(root, data, open, chooseWard) {
    const settings = { ...data, light: isLight(root.host ?? root), sort: "label" };
    if (!settings.grid) readChoices(settings);
    this.settings = settings;
    this.open = open;
    this.chooseWard = chooseWard;
    for (const name of ["ward", "headline", "grid", "controls", "notice", "soundoff"]) {
      this[name] = root.querySelector(`.${name}`);
    }
    this.headline.replaceChildren();
    this.banner = new Banner(this.headline);
    this.grid.classList.toggle("paper", settings.grid);
    this.ward.classList.toggle("one", settings.grid);
    this.ward.classList.toggle("wall", settings.wall);
    this.ward.classList.toggle("light", settings.light);
    this.grid.style.setProperty("--mm", `${settings.pixelsPerMm}px`);
    this.grid.replaceChildren();
    this.tiles = new Map();
    this.order = [];
    this.sortedAt = -Infinity;
    this.wards = "";
    this.watch = new FeedWatch();
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
    // A tab that wakes shows at once that what it holds is old.
    this.wake = () => this.refresh();
    document.addEventListener("visibilitychange", this.wake);
    this.leave = (event) => {
      if (settings.wall && event.key === "Escape") location.assign(`./${location.search}`);
    };
    window.addEventListener("keydown", this.leave);
    this.grid.onkeydown = (event) => this.#key(event);
    this.#writeNotice();
    if (!settings.grid && !settings.wall) this.#mountControls([]);
    this.frame = this.frame.bind(this);
    requestAnimationFrame(this.frame);
  }

  now() {
    return performance.now() / 1000;
  }

  #mountControls(wards) {
    mountControls(this.controls, this.settings, wards, (setting) => this.#changed(setting), this.chooseWard);
  }

  #changed(setting) {
    if (setting === "sort") {
      this.sortedAt = -Infinity;
      this.#sort(this.now());
      return;
    }
    for (const tile of this.tiles.values()) tile.redraw();
    this.#writeNotice();
  }

  #writeNotice() {
    show(
      this.notice,
      `${this.settings.notice} ${this.settings.mmPerSecond} mm/s, baseline filter 0.16 Hz (display only: do not read ST from it).`,
    );
  }

  receive(bytes) {
    const feed = decodeFeed(bytes);
    if (feed.view !== this.settings.view || !this.watch.take(feed)) return;
    this.bytes += bytes.byteLength;
    this.feed = feed;
    this.feedAt = this.watch.at;
    const names = feed.beds.map((bed) => bed.bed);
    if (names.length !== this.tiles.size || names.some((name) => !this.tiles.has(name))) this.#seat(names);
    if (this.settings.grid) {
      const rows = feed.beds.flatMap((bed) => bed.traces).reduce((sum, trace) => sum + trace.channels.length, 0);
      this.grid.style.setProperty("--rows", String(Math.max(1, rows)));
    }
    for (const bed of feed.beds) this.tiles.get(bed.bed).receive(bed, this.feedAt);
    if (this.controls.childElementCount > 0 && feed.wards.join("\n") !== this.wards) {
      this.wards = feed.wards.join("\n");
      this.#mountControls(feed.wards);
    }
    this.refresh();
  }

  #seat(names) {
    for (const [name, tile] of this.tiles) {
      if (!names.includes(name)) {
        tile.node.remove();
        this.tiles.delete(name);
      }
    }
    for (const name of names) {
      if (!this.tiles.has(name)) this.tiles.set(name, new Tile(this.grid, name, this.settings, this.open));
    }
    this.names = names;
    this.sortedAt = -Infinity;
    this.#sort(this.now());
    this.layOut();
  }

  // By label, or the gravest first; tiles of one urgency keep the order of their labels.
  #sort(now) {
    if (!this.names || now - this.sortedAt < SETTLE_S) return;
    const tiles = this.names.map((name) => this.tiles.get(name));
    if (this.settings.sort === "priority") tiles.sort((one, other) => one.urgency - other.urgency);
    if (tiles.length === this.order.length && tiles.every((tile, index) => tile === this.order[index])) return;
    const focused = this.order.find((tile) => tile.node.matches(":focus"));
    tiles.forEach((tile, index) => {
      if (this.grid.children[index] !== tile.node) this.grid.insertBefore(tile.node, this.grid.children[index] ?? null);
    });
    this.order = tiles;
    this.sortedAt = now;
    focused?.node.focus({ preventScroll: true });
    this.#rove(focused ?? tiles[0]);
  }

  // One tile is reached by Tab, the others from there by arrows.
  #rove(current) {
    if (this.open === null) return;
    for (const tile of this.order) tile.node.tabIndex = tile === current ? 0 : -1;
  }

  #key(event) {
    if (this.open === null) return;
    const index = this.order.findIndex((tile) => tile.node === event.target);
    if (index < 0) return;
    if (event.key === "Enter" || event.key === " ") {
      event.preventDefault();
      this.open(this.order[index].name);
    }
    const step = ARROWS[event.key];
    if (!step) return;
    event.preventDefault();
    const next = this.order[index + step[0] + step[1] * this.columns];
    if (!next) return;
    this.#rove(next);
    next.node.focus();
  }

  layOut() {
    const count = Math.max(1, this.tiles.size);
    // On a phone one is below the other, and the grid scrolls; the head line above tells the gravest all the same.
    const narrow = this.ward.clientWidth < NARROW_PX && !this.settings.grid;
    this.ward.classList.toggle("narrow", narrow);
    this.columns = narrow ? 1 : columnsFor(count, this.grid.clientWidth, this.grid.clientHeight);
    const rows = Math.ceil(count / this.columns);
    this.grid.style.gridTemplateColumns = `repeat(${this.columns}, minmax(0, 1fr))`;
    // Where so many tiles would be lower than can be read, the grid scrolls too.
    const least = narrow ? PHONE_PX : this.settings.grid ? 0 : LOWEST_PX;
    this.grid.style.gridTemplateRows = `repeat(${rows}, ${narrow ? `${least}px` : `minmax(${least}px, 1fr)`})`;
    const height = narrow ? least : Math.max(least, this.grid.clientHeight / rows);
    this.grid.style.setProperty("--tile", `${height}px`);
    this.grid.classList.toggle("tiny", height < 84);
    this.grid.classList.toggle("small", height < 150);
    this.grid.classList.toggle("middle", height >= 150 && height < (this.settings.wall ? 300 : 200));
    for (const tile of this.tiles.values()) tile.layOut();
  }

  frame() {
    if (!this.running) return;
    const now = this.now();
    if (this.watch.silence() < LOST_S) {
      for (let index = 0; index < this.order.length; index++) this.order[index].draw(now);
    }
    this.frames++;
    requestAnimationFrame(this.frame);
  }

  refresh() {
    const now = this.now();
    const silence = this.watch.silence();
    const lost = silence > LOST_S ? silence : null;
    // What a sleep hid from the clock of the frames counts, too.
    const shown = this.feedAt + Math.max(now - this.feedAt, silence);
    for (const tile of this.tiles.values()) tile.refresh(shown, lost);
    this.#sort(now);
    this.banner.refresh(this.feed, silence, lost);
    // On other pages the bar says it.
    const sound = window.wardwaveSound;
    const quiet = this.settings.wall && (sound?.off ?? true);
    show(this.soundoff, quiet ? `SOUND OFF${sound?.state === "suspended" ? ": click or press a key" : ""}` : "");
    const seconds = now - this.startedAt;
    this.ward.dataset.frames = String(this.frames);
    this.ward.dataset.fps = (this.frames / seconds).toFixed(1);
    this.ward.dataset.bytesPerSecond = (this.bytes / seconds).toFixed(0);
  }

  stop() {
    this.running = false;
    clearInterval(this.timer);
    document.removeEventListener("visibilitychange", this.wake);
    window.removeEventListener("keydown", this.leave);
    this.observer.disconnect();
  }
}

export default function ({ parentElement, data, setTriggerValue }) {
  const held = parentElement.wardwave;
  const line = feedLine();
  if (held?.settings.view !== data.view) {
    if (held) line.leave(held.sink);
    held?.stop();
    const ward = new Ward(parentElement, data, data.grid || data.wall ? null : openBed, (name) => setTriggerValue("ward", name ?? ""));
    ward.sink = (bytes) => ward.receive(bytes);
    parentElement.wardwave = ward;
    line.join(ward.sink);
  }
  return () => {
    const ward = parentElement.wardwave;
    if (!ward) return;
    ward.stop();
    line.leave(ward.sink);
    parentElement.wardwave = undefined;
  };
}
