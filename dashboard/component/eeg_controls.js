// The choices above an EEG. Each is kept by the browser (preferences.js).

const SENSITIVITIES = [3, 5, 7, 10, 15, 20, 30, 50, 70, 100];
const TIME_BASES = [["10", "10 s"], ["15", "15 s"], ["20", "20 s"], ["30", "30 s"], ["mm30", "30 mm/s"], ["mm15", "15 mm/s"]];
const LOW_CUTS = [["0.16", "0.16 Hz"], ["0.5", "0.5 Hz"], ["1", "1 Hz"], ["1.6", "1.6 Hz"], ["5", "5 Hz"]];
const HIGH_CUTS = [["15", "15 Hz"], ["30", "30 Hz"], ["40", "40 Hz"], ["70", "70 Hz"], ["0", "none"]];
const MAINS = [["0", "none"], ["50", "50 Hz"], ["60", "60 Hz"]];

class EegControls {
  constructor(node, change) {
    this.node = node;
    node.replaceChildren();
    this.change = change;
    this.values = {};
    this.selects = {};
  }

  button(name, text, title, act) {
    const node = element(this.node, "button", "");
    node.type = "button";
    node.dataset.do = name;
    node.title = title;
    show(node, text);
    node.addEventListener("click", act);
    return node;
  }

  // A choice by name: `options` are [value, text].
  choose(name, title, options, fallback, node = this.node) {
    const label = element(node, "label", "");
    label.append(title);
    const select = element(label, "select", "");
    select.dataset.name = name;
    this.selects[name] = select;
    this.offer(name, options);
    this.set(name, preference(`eeg.${name}`, fallback, options.map(([value]) => value)), false);
    select.addEventListener("change", () => this.set(name, select.value));
    return select;
  }

  offer(name, options) {
    const select = this.selects[name];
    select.replaceChildren();
    for (const [value, text] of options) {
      const option = element(select, "option", "");
      option.value = value;
      show(option, text);
    }
  }

  set(name, value, keep = true) {
    this.values[name] = value;
    this.selects[name].value = value;
    if (!keep) return;
    prefer(`eeg.${name}`, value);
    this.change(name);
  }

  // The next larger or smaller sensitivity.
  step(by) {
    const at = SENSITIVITIES.indexOf(Number(this.values.sensitivity)) + by;
    if (at >= 0 && at < SENSITIVITIES.length) this.set("sensitivity", String(SENSITIVITIES[at]));
  }

  get cuts() {
    return { low: Number(this.values.low), high: Number(this.values.high), mains: Number(this.values.mains) };
  }
}
