// The row of buttons and choices above the paper. What they do is the view's (review.js): its `acts`.

const FILTERS = [
  ["raw", "as received"],
  ["monitor", "0.5–40 Hz monitor"],
  ["diagnostic", "0.05–150 Hz diagnostic"],
];
const NOTCHES = [["0", "no notch"], ["50", "50 Hz notch"], ["60", "60 Hz notch"]];
const CLASSES = [
  ["", "likeliest rhythm"], ["vf", "rhythm: vf"], ["vt", "rhythm: vt"], ["asystole", "rhythm: asystole"],
  ["af", "rhythm: af"], ["noise", "rhythm: noise"], ["other", "rhythm: other"],
  ["N", "beat: N normal"], ["S", "beat: S supraventricular"], ["V", "beat: V ventricular"], ["F", "beat: F fusion"],
];

class Toolbar {
  constructor(node, acts) {
    this.node = node;
    const scroll = this.#group();
    this.#button(scroll, "|◀", "To the oldest", () => acts.look(-Infinity));
    this.#button(scroll, "◀", "A screen back", () => acts.turn(-1));
    this.#button(scroll, "▶", "A screen on", () => acts.turn(1));
    this.#button(scroll, "▶|", "To the newest", () => acts.look(Infinity));
    const named = (unit) => (value) => [String(value), `${value} ${unit}`];
    this.speed = this.#select("Speed", SPEEDS_MM_PER_S.map(named("mm/s")), "25", (value) => acts.setSpeed(Number(value)));
    this.#select("Gain", REVIEW_GAINS.map(named("mm/mV")), "10", (value) => acts.setGain(Number(value)));
    const filter = () => acts.filter(this.filter.value, Number(this.notch.value));
    this.filter = this.#select("ECG filter", FILTERS, "raw", filter);
    this.notch = this.#select("", NOTCHES, "0", filter);
    this.notch.setAttribute("aria-label", "Mains notch");
    this.lead = this.#select("Measure in", [], "", (value) => acts.measureIn(Number(value)));
    const measure = this.#group();
    this.#button(measure, "Callipers here", "Put both callipers on the part that is shown", () => acts.place(false));
    this.#button(measure, "R–R", "Put the callipers on two beats in a row", () => acts.place(true));
    const why = this.#group();
    const title = "What the network says of the 8 s before the orange mark, and where it looked";
    this.explain = this.#button(why, "Explain this moment", title, () => acts.explain(this.label.value || null));
    this.label = this.#select("of", CLASSES, "", () => {}, why);
    this.label.setAttribute("aria-label", "Class to explain");
    this.#button(node, "Freeze anew", "Take the newest ten minutes", () => acts.refresh());
  }

  // The leads to measure in, the chosen one selected.
  showLeads(rows, chosen) {
    this.lead.replaceChildren();
    rows.forEach((row, index) => {
      const option = this.#made(this.lead, "option", `${row.name} (${row.trace.unit})`);
      option.value = String(index);
      option.selected = row === chosen;
    });
  }

  #made(parent, tag, text) {
    const node = document.createElement(tag);
    if (text) node.textContent = text;
    parent.append(node);
    return node;
  }

  #group() {
    const node = this.#made(this.node, "span", "");
    node.className = "group";
    return node;
  }

  #button(parent, text, title, act) {
    const node = this.#made(parent, "button", text);
    node.type = "button";
    node.title = title;
    node.setAttribute("aria-label", title);
    node.addEventListener("click", act);
    return node;
  }

  #select(title, options, value, change, parent = this.node) {
    const select = this.#made(this.#made(parent, "label", title), "select", "");
    for (const [name, text] of options) this.#made(select, "option", text).value = name;
    select.value = value;
    select.addEventListener("change", () => change(select.value));
    return select;
  }
}
