// What a viewer chooses on the ward: kept by the browser, or given in the address (?sweep=50&gain=5&sort=priority).

const CHOICES = [
  { name: "sweep", setting: "mmPerSecond", label: "Sweep", values: [12.5, 25, 50], text: (value) => `${value} mm/s` },
  { name: "gain", setting: "gain", label: "Gain", values: [2.5, 5, 10, 20], text: (value) => `${value} mm/mV` },
  {
    name: "sort", setting: "sort", label: "Order", values: ["label", "priority"],
    text: (value) => (value === "label" ? "by bed" : "by priority"),
  },
];

function readChoices(settings) {
  for (const { name, setting, values } of CHOICES) settings[setting] = preference(name, settings[setting], values);
}

function choice(parent, label, values, text, chosen, choose) {
  const frame = element(parent, "label", "choice");
  element(frame, "span", "choice-name").textContent = label;
  const list = element(frame, "select", "select");
  list.setAttribute("aria-label", label);
  for (const value of values) {
    const item = element(list, "option", "");
    item.textContent = text(value);
    item.selected = value === chosen;
  }
  list.addEventListener("change", () => choose(values[list.selectedIndex]));
}

function mountControls(parent, settings, wards, changed, chooseWard) {
  parent.replaceChildren();
  for (const { name, setting, label, values, text } of CHOICES) {
    choice(parent, label, values, text, settings[setting], (value) => {
      settings[setting] = value;
      prefer(name, value);
      changed(setting);
    });
  }
  if (wards.length > 1 || settings.ward !== null) {
    const all = [null, ...new Set([...wards, ...(settings.ward === null ? [] : [settings.ward])])];
    choice(parent, "Beds of", all, (value) => value ?? "all wards", settings.ward, chooseWard);
  }
}
