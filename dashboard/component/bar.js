// On every page, in its head: SOUND OFF, CONNECTION LOST, the switches of sound and theme. Its feeds are those of
// the canvas, or of a page without one the head line alone.

const LOST_SOUND_S = 3; // so long a loss lasts before it sounds: a tab that just woke gets its feed meanwhile
const NO_FEED = { id: "connection lost", level: "high" };

class Bar {
  constructor(root, settings) {
    this.settings = settings;
    this.node = root.querySelector(".bar");
    this.lostNode = root.querySelector(".lost");
    this.offNode = root.querySelector(".soundoff");
    this.soundSwitch = root.querySelector(".sound");
    this.themeSwitch = root.querySelector(".theme");
    this.headline = root.querySelector(".headline");
    this.headline.replaceChildren();
    this.banner = null;
    this.feed = null;
    this.engine = window.wardwaveSound ??= new AlarmSound();
    this.watch = new FeedWatch();
    this.sounds = [];
    this.problem = null;
    this.lostTicks = 0;
    this.lostSince = 0;
    this.neighbour = null;
    this.soundSwitch.onclick = () => {
      if (this.engine.off) this.engine.start();
      else this.engine.mute();
      this.refresh();
    };
    this.themeSwitch.onclick = () => chooseTheme(this.light ? "dark" : "light");
    this.light = isLight(root.host ?? root);
    this.themeSwitch.textContent = this.light ? "Dark" : "Light";
    for (const node of [this.node, this.headline]) node.classList.toggle("light", this.light);
    this.settle(settings);
    this.timer = setInterval(() => this.refresh(), TICK_MS);
    this.wake = () => {
      // Browsers slow down a tab that nobody sees: its name says so.
      if (document.hidden) {
        this.title = document.title;
        document.title = "NOT WATCHED: Wardwave";
      } else if (this.title !== undefined) {
        document.title = this.title;
      }
      this.refresh();
    };
    document.addEventListener("visibilitychange", this.wake);
    this.refresh();
  }

  // What differs from page to page: with a canvas, that has the head line.
  settle(settings) {
    this.node.classList.toggle("wall", settings.wall);
    this.node.classList.toggle("told", settings.ward);
    if (!settings.canvas) this.banner ??= new Banner(this.headline);
    else if (this.banner !== null) {
      this.headline.replaceChildren();
      this.banner = null;
    }
  }

  receive(bytes) {
    const feed = decodeHeader(bytes);
    if (!this.watch.take(feed)) return;
    this.feed = feed;
    this.sounds = feed.sounds;
    this.problem = feed.connected ? null : "BROKER LOST";
    this.refresh();
  }

  // The bar stands left of who has signed in, however long the name.
  #place() {
    if (!this.neighbour?.isConnected) {
      const host = document.querySelector('.st-key-wardwave-session [data-testid="stBidiComponentIsolated"]');
      this.neighbour = host?.shadowRoot?.querySelector(".who") ?? null;
    }
    const taken = this.neighbour && !this.neighbour.hidden ? innerWidth - this.neighbour.getBoundingClientRect().left : 0;
    this.node.style.right = `${Math.round(Math.max(0, taken))}px`;
  }

  refresh() {
    if (this.node.isConnected) window.wardwaveBarAt = performance.now() / 1000; // for watchdog.js
    this.#place();
    const silence = this.watch.lost();
    if (silence === null && this.problem === null) this.lostTicks = 0;
    else if (this.lostTicks++ === 0) this.lostSince = performance.now();
    const told = silence !== null ? `CONNECTION LOST ${Math.floor(silence)} s` : (this.problem ?? "");
    if (this.lostNode.textContent !== told) this.lostNode.textContent = told;
    // For what Streamlit itself shows: the System page's verdict and tables.
    document.body.toggleAttribute("data-wardwave-lost", silence !== null);
    this.banner?.refresh(this.feed, this.watch.silence(), silence);
    const gone = this.lostTicks > 1 && performance.now() - this.lostSince > LOST_SOUND_S * 1000;
    // A page that has lost its server knows of no alarm any more: that is what it sounds, what it knew till then.
    this.engine.sound(gone ? [NO_FEED] : this.sounds);
    const { off, state, bursts, level } = this.engine;
    const why = { muted: "SOUND OFF", missing: "SOUND OFF: none here" }[state] ?? "SOUND OFF: click here";
    const said = off ? why : "";
    if (this.offNode.textContent !== said) this.offNode.textContent = said;
    const does = off ? "Sound on" : "Mute";
    if (this.soundSwitch.textContent !== does) this.soundSwitch.textContent = does;
    Object.assign(this.node.dataset, {
      context: state, level: level ?? "", high: bursts.high, medium: bursts.medium, low: bursts.low,
    });
  }

  stop() {
    clearInterval(this.timer);
    document.removeEventListener("visibilitychange", this.wake);
  }
}

const TICK_MS = 250;

// Streamlit takes its theme once, as a page begins (early.js): so the page begins again.
function chooseTheme(name) {
  prefer("theme", name);
  location.reload();
}

export default function ({ parentElement, data }) {
  const line = feedLine();
  if (!parentElement.wardwaveBar) {
    const bar = new Bar(parentElement, data);
    parentElement.wardwaveBar = bar;
    parentElement.wardwaveSink = (bytes) => bar.receive(bytes);
    line.join(parentElement.wardwaveSink);
  }
  const bar = parentElement.wardwaveBar;
  bar.settle(data);
  return () => {
    bar.stop();
    line.leave(parentElement.wardwaveSink);
    parentElement.wardwaveBar = parentElement.wardwaveSink = undefined;
  };
}
