// Elements by name; what came over the wire is only ever set as text.

function element(parent, tag, name) {
  const made = document.createElement(tag);
  made.className = name;
  parent.append(made);
  return made;
}

function show(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

function describe(node, text) {
  if (node.getAttribute("aria-label") !== text) node.setAttribute("aria-label", text);
}
