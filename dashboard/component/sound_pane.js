// The sounds of one bed: mounted once a page; sound_pane_pipe.js brings the feeds (dashboard/sound_feed.py).

class SoundPanes {
  constructor(root, view, ask) {
    this.view = view;
    this.ask = ask;
    this.node = root.querySelector(".sounds");
    this.node.replaceChildren();
    this.panes = new Map();
    this.seq = 0;
    this.bytes = 0;
    this.startedAt = performance.now();
    this.running = true;
    // A timer besides the frames: what is lost must show even where no frame is drawn.
    this.timer = setInterval(() => this.refresh(), 250);
    requestAnimationFrame(() => this.frame());
  }

  receive(bytes) {
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    const length = view.getUint32(0, true);
    const feed = JSON.parse(new TextDecoder().decode(bytes.subarray(4, 4 + length)));
    if (feed.view !== this.view || feed.seq <= this.seq) return;
    this.seq = feed.seq;
    this.bytes += bytes.byteLength;
    this.node.dataset.bytes = String(this.bytes);
    // A copy, because an Int16Array must begin at an even address.
    const samples = new Int16Array(bytes.slice(4 + length).buffer);
    let offset = 0;
    for (const header of feed.streams) {
      if (!this.panes.has(header.kind)) this.panes.set(header.kind, new Pane(this.node, header, (what) => this.ask(what)));
      this.panes.get(header.kind).receive(header, samples.subarray(offset, offset + header.count), performance.now() / 1000);
      offset += header.count;
    }
    this.refresh();
  }

  frame() {
    if (!this.running) return;
    for (const pane of this.panes.values()) pane.draw(performance.now() / 1000);
    requestAnimationFrame(() => this.frame());
  }

  refresh() {
    for (const pane of this.panes.values()) pane.refresh();
  }

  stop() {
    this.running = false;
    clearInterval(this.timer);
    for (const pane of this.panes.values()) pane.close();
  }
}

export default function ({ parentElement, data, setTriggerValue }) {
  const ask = (what) => setTriggerValue("ask", what);
  if (parentElement.wardwaveSounds?.view !== data.view) {
    parentElement.wardwaveSounds?.stop();
    parentElement.wardwaveSounds = new SoundPanes(parentElement, data.view, ask);
  }
  const panes = parentElement.wardwaveSounds;
  panes.ask = ask;
  const line = (window.wardwaveSounds ??= { sink: null, waiting: [] });
  const sink = (bytes) => panes.receive(bytes);
  line.sink = sink;
  for (const bytes of line.waiting.splice(0)) sink(bytes);
  return () => {
    parentElement.wardwaveSounds?.stop();
    parentElement.wardwaveSounds = undefined;
    if (line.sink === sink) line.sink = null;
  };
}
