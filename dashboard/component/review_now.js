// What the ward does now, above traces that are frozen: told from the feeds of the page, whose age this browser
// counts itself. What stood on a page that has lost its server would look like now.

class WardNow {
  constructor(node) {
    this.node = node;
    this.watch = new FeedWatch();
    this.feed = null;
    this.sink = (bytes) => this.#receive(bytes);
    feedLine().join(this.sink);
    this.timer = setInterval(() => this.#show(), 250);
    this.#show();
  }

  #receive(bytes) {
    const feed = decodeHeader(bytes);
    if (!this.watch.take(feed)) return;
    this.feed = feed;
    this.#show();
  }

  #show() {
    const lost = this.watch.lost();
    const { feed } = this;
    const pieces = [];
    if (lost !== null) pieces.push(["warning", `CONNECTION LOST ${Math.floor(lost)} s: what the ward does now is not known`]);
    else if (feed === null) pieces.push(["", "…"]);
    else {
      pieces.push(["", feed.counts]);
      if (feed.urgent) pieces.push([feed.urgent.priority, `${feed.urgent.bed}  ${feed.urgent.text}`]);
      if (!feed.connected) pieces.push(["warning", `BROKER LOST ${Math.floor(feed.silent)} s`]);
      else if (feed.noAnalysis !== null) pieces.push(["warning", `NO ANALYSIS ${Math.floor(feed.noAnalysis)} s`]);
      else pieces.push(["live", "live"]);
    }
    const told = JSON.stringify(pieces);
    if (told === this.told) return;
    this.told = told;
    this.node.replaceChildren(...pieces.map(([name, text]) => {
      const piece = document.createElement("span");
      piece.className = name;
      piece.textContent = text;
      return piece;
    }));
  }

  stop() {
    clearInterval(this.timer);
    feedLine().leave(this.sink);
  }
}
