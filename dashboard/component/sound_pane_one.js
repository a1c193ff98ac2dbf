// One sound of a bed: its badge, picture and controls.

const LOST_S = 2.5;
const OLD_S = 3;
const FRAME_S = 1 / 30;

function made(parent, tag, name, text) {
  const node = document.createElement(tag);
  if (name) node.className = name;
  if (text) node.textContent = text;
  parent.append(node);
  return node;
}

function labelled(parent, text, type, least, most, step, value) {
  const label = made(parent, "label", type, text);
  const input = made(label, "input", "");
  Object.assign(input, { type, min: least, max: most, step });
  input.value = String(value);
  return input;
}

class Pane {
  constructor(parent, header, ask) {
    this.ask = (what, more = {}) => ask({ do: what, kind: header.kind, ...more });
    this.why = false; // whether it is shown where the network looked
    this.sound = new Sound(header);
    this.clock = new PlaybackClock();
    this.clip = null; // what is frozen or played back, instead of what comes
    this.age = Infinity;
    this.receivedAt = 0;
    this.drawnAt = 0;
    this.span = 15;
    this.player = new Player(() => this.refresh());
    this.#build(parent);
    this.drawing = new Drawing(this.canvas);
  }

  #build(parent) {
    const { title, kind } = this.sound;
    this.node = made(parent, "section", "pane");
    this.node.dataset.kind = kind;
    this.node.setAttribute("aria-label", title);
    const head = made(this.node, "div", "head");
    made(head, "strong", "", title);
    this.badge = made(head, "span", "badge");
    this.badge.setAttribute("role", "status");
    this.rate = made(head, "span", "rate");
    this.meta = made(head, "span", "meta");
    this.legend = made(head, "span", "legend");
    this.low = made(this.legend, "span", "");
    made(this.legend, "span", "bar").style.background =
      `linear-gradient(90deg, ${VIRIDIS.map((rgb) => `rgb(${rgb.join(" ")})`).join(", ")})`;
    this.high = made(this.legend, "span", "");
    const none = made(this.legend, "span", "none", "no data");
    none.prepend(made(none, "i", ""));
    this.heardText = made(this.node, "p", "heard");
    this.canvas = made(this.node, "canvas", "plot");
    this.canvas.setAttribute("role", "img");
    this.canvas.setAttribute("aria-label", `${title}: waveform, what a network marked, and spectrogram, 0 to ${this.sound.topHz} Hz`);
    this.canvas.addEventListener("click", (event) => this.#seek(this.drawing.timeAt(event.offsetX)));
    this.said = made(this.node, "p", "said");
    this.#controls(made(this.node, "div", "controls"));
  }

  #controls(bar) {
    const button = (act) => {
      const node = made(bar, "button", "");
      node.type = "button";
      node.addEventListener("click", () => {
        act();
        this.refresh();
      });
      return node;
    };
    this.freezeButton = button(() => (this.clip ? this.live() : this.freeze()));
    this.freezeButton.dataset.do = "freeze";
    this.playButton = button(() => (this.player.playing ? this.player.stop() : this.play(null)));
    this.playButton.dataset.do = "play";
    this.loopButton = button(() => (this.player.loop ? this.unloop() : this.#loopLast()));
    this.loopButton.dataset.do = "loop";
    this.whyButton = button(() => this.#explain(!this.why));
    this.whyButton.dataset.do = "explain";
    this.whyButton.textContent = "What the network looked at";
    this.seekInput = labelled(bar, "Seek", "range", 0, SOUND_HELD_S, 0.1, SOUND_HELD_S);
    this.seekInput.addEventListener("input", () => {
      const at = Number(this.seekInput.value);
      if (!this.clip) this.freeze();
      this.#seek(this.clip.firstTime + at);
    });
    this.place = made(bar, "span", "place");
    const volume = labelled(bar, "Volume", "range", 0, 1, 0.05, this.player.volume);
    volume.addEventListener("input", () => this.player.setVolume(Number(volume.value)));
    const label = made(bar, "label", "", "Shown");
    const spans = made(label, "select", "");
    for (const seconds of [5, 15, 60]) made(spans, "option", "", `${seconds} s`).value = String(seconds);
    spans.value = String(this.span);
    spans.addEventListener("change", () => (this.span = Number(spans.value)));
  }

  receive(header, samples, now) {
    if (header.epoch !== this.sound.epoch) this.sound = new Sound(header);
    this.sound.push(header, samples);
    this.clock.arrive(now, this.sound.headTime);
    this.clip?.hearLater(header.marks);
    this.age = header.age;
    this.receivedAt = now;
  }

  // A frozen sound is explained around its cursor, a live one as far as it was judged.
  #explain(on) {
    this.why = on;
    if (!on) {
      this.sound.heard.looked = null;
      if (this.clip) this.clip.heard.looked = null;
      this.ask("forget");
      return;
    }
    if (!this.clip) return this.ask("explain");
    const at = this.clip.firstTime + this.player.position;
    this.ask("explain", { time_s: this.moved ? at : this.viewFrom + this.span / 2 });
  }

  freeze() {
    this.clip = this.sound.copy();
    this.ask("freeze");
    this.player.load(this.clip.samples(), this.clip.fs);
    const end = Math.min(this.#viewEnd, this.clip.headTime);
    this.player.at = Math.max(0, end - this.clip.firstTime);
    this.viewFrom = end - this.span;
    this.moved = false;
  }

  live() {
    this.player.stop();
    this.player.loop = null;
    this.clip = null;
    this.ask("live");
  }

  play(loop) {
    if (!this.clip) this.freeze();
    const held = this.clip.headTime - this.clip.firstTime;
    if (loop) [this.player.loop, this.player.at] = [loop, loop[0]];
    else if (!this.moved || this.player.at > held - 0.1) this.player.at = Math.max(0, this.player.at - this.span);
    this.moved = true;
    this.player.play();
  }

  unloop() {
    const playing = this.player.playing;
    this.player.stop();
    this.player.loop = null;
    if (playing) this.player.play();
  }

  #loopLast() {
    if (!this.clip) this.freeze();
    this.player.stop();
    const held = this.clip.headTime - this.clip.firstTime;
    const [seconds] = this.clip.lastCycles();
    this.play([held - seconds, held]);
  }

  #seek(time) {
    if (!this.clip) return;
    const { firstTime, headTime } = this.clip;
    const at = Math.min(headTime, Math.max(firstTime, time)) - firstTime;
    this.moved = true;
    if (this.why) {
      clearTimeout(this.whyLater);
      this.whyLater = setTimeout(() => this.why && this.clip && this.#explain(true), 400);
    }
    if (this.player.loop && (at < this.player.loop[0] || at > this.player.loop[1])) this.unloop();
    this.player.seek(at);
    this.refresh();
  }

  get mode() {
    if (!this.clip) return "live";
    return this.moved ? "play-back" : "frozen";
  }

  // The window that is drawn keeps the cursor inside.
  #view(shown, cursor) {
    const least = shown.headTime - this.span;
    if (cursor < this.viewFrom || cursor > this.viewFrom + this.span) this.viewFrom = cursor - 0.1 * this.span;
    return Math.max(Math.min(this.viewFrom, least), Math.min(shown.firstTime, least));
  }

  #viewEnd = 0;

  draw(now) {
    this.#viewEnd = this.clock.tick(now);
    if (now - this.drawnAt < FRAME_S || !this.canvas.clientWidth) return;
    this.drawnAt = now;
    if (!this.clip) {
      this.drawing.draw(this.sound, this.#viewEnd - this.span, this.#viewEnd, null, null);
      return;
    }
    const { firstTime } = this.clip;
    const cursor = firstTime + this.player.position;
    const from = this.#view(this.clip, cursor);
    const loop = this.player.loop?.map((at) => firstTime + at) ?? null;
    this.drawing.draw(this.clip, from, from + this.span, cursor, loop);
  }

  refresh() {
    const now = performance.now() / 1000;
    const silence = now - this.receivedAt;
    const age = this.age + silence;
    const { mode } = this;
    const shown = this.clip ?? this.sound;
    const lost = silence > LOST_S ? `CONNECTION LOST ${Math.floor(silence)} s` : age > OLD_S ? `NO DATA ${Math.floor(age)} s` : "";
    const texts = {
      live: lost || `LIVE, ${Math.max(0, age).toFixed(1)} s`,
      frozen: `FROZEN, ${Math.round(this.sound.headTime - shown.headTime)} s ago`,
      "play-back": this.player.playing ? "PLAY-BACK, NOT LIVE" : "PLAY-BACK PAUSED, NOT LIVE",
    };
    this.#say(this.badge, mode === "live" ? texts.live : [texts[mode], lost].filter(Boolean).join("; "));
    this.badge.className = `badge ${mode} ${lost ? "lost" : ""}`;
    this.canvas.classList.toggle("old", mode === "live" && lost !== "");
    const picture = shown.spectrogram;
    this.#say(this.meta, `${Math.round(shown.fs)} Hz, window ${Math.round((1000 * picture.size) / shown.fs)} ms, ${picture.binHz.toFixed(1)} Hz a bin`);
    this.#say(this.low, `${picture.topDb - picture.rangeDb}`);
    this.#say(this.high, `${picture.topDb} dB re full scale`);
    this.#say(this.freezeButton, this.clip ? "● Back to live" : "Freeze");
    this.#say(this.playButton, this.player.playing ? "❚❚ Pause" : "▶ Play");
    const [seconds, words] = this.#cycles();
    this.#say(this.loopButton, `Loop last ${words ? `${words} (${seconds.toFixed(1)} s)` : `${seconds.toFixed(0)} s`}`);
    this.loopButton.setAttribute("aria-pressed", String(this.player.loop !== null));
    const { heard } = shown;
    this.#say(this.rate, this.sound.heard.rateWords(this.clip !== null));
    this.rate.classList.toggle("old", lost !== "");
    this.#say(this.heardText, heard.words(shown.headTime));
    this.#say(this.said, this.why ? heard.looked?.text ?? heard.said : "");
    this.whyButton.setAttribute("aria-pressed", String(this.why));
    this.whyButton.disabled = !this.why && heard.newest === null;
    const held = shown.headTime - shown.firstTime;
    const at = this.clip ? this.player.position : held;
    this.seekInput.max = String(held);
    this.seekInput.value = String(at);
    this.#say(this.place, this.clip ? `${clock(shown.firstTime + at)} UTC` : `${Math.floor(held)} s held`);
    if (!this.clip) picture.adapt(Math.round(15 / COLUMN_S));
    Object.assign(this.node.dataset, { mode, playing: String(this.player.playing), position: at.toFixed(2), held: held.toFixed(2), ridgeHz: picture.ridgeHz().toFixed(2), binHz: picture.binHz.toFixed(3) });
    this.drawing.fit();
  }

  #say(node, text) {
    if (node.textContent !== text) node.textContent = text;
  }

  // Worked out every five seconds, and not for what is held already.
  #cycles() {
    const now = performance.now();
    if (!this.cycles || (!this.clip && now - this.cyclesAt > 5000)) [this.cycles, this.cyclesAt] = [this.sound.lastCycles(), now];
    return this.cycles;
  }

  close() {
    this.player.close();
  }
}
