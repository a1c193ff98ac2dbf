// The head line of a page: counts, the gravest alarm of the ward, whether what is shown is live, the time.

const PRIORITIES = ["high", "medium", "low", "technical"];
const BEFORE_LOSS = "before loss: "; // what was known when the feed ended

class Banner {
  constructor(parent) {
    this.node = element(parent, "div", "banner");
    element(this.node, "strong", "name").textContent = "Wardwave";
    for (const name of ["count", "urgent", "link", "time"]) this[name] = element(this.node, "span", name);
    // Told once to who listens, not with every second that is counted in it.
    this.alert = element(this.node, "div", "said");
    this.alert.setAttribute("role", "alert");
    this.status = element(this.node, "div", "said");
    this.status.setAttribute("role", "status");
  }

  // Of all beds, also on the page of one: counted by the server. `silence`: seconds since the feed; `lost` likewise
  // where that is too long, else null.
  refresh(feed, silence, lost) {
    show(this.time, new Date().toLocaleTimeString("en-GB", { timeZoneName: "short" }));
    const problem = Banner.#problem(feed, silence, lost);
    show(this.link, problem ?? (feed === null ? "waiting for data" : "live"));
    this.link.classList.toggle("warning", problem !== null);
    if (feed === null) return;
    show(this.count, feed.counts);
    const urgent = feed.urgent;
    show(this.urgent, urgent ? `${lost === null ? "" : BEFORE_LOSS}${urgent.bed}  ${urgent.text}` : "");
    this.urgent.classList.toggle("old", lost !== null && Boolean(urgent));
    for (const priority of PRIORITIES) this.urgent.classList.toggle(priority, urgent?.priority === priority);
    const said = lost !== null ? "Connection lost" : urgent ? `${urgent.bed} ${urgent.text}`.replace(/ \d+ s\b/g, "") : "";
    const grave = lost !== null || urgent?.priority === "high";
    show(this.alert, grave ? said : "");
    show(this.status, grave ? "" : said);
  }

  static #problem(feed, silence, lost) {
    if (lost !== null) return `CONNECTION LOST ${Math.floor(lost)} s`;
    if (feed === null) return null;
    if (!feed.connected) return `BROKER LOST ${Math.floor(feed.silent + silence)} s`;
    if (feed.noWorker !== null) return `NO WORKER ${Math.floor(feed.noWorker + silence)} s`;
    return feed.noAnalysis === null ? null : `NO ANALYSIS ${Math.floor(feed.noAnalysis + silence)} s`;
  }
}
