// What a viewer chose: the address goes before what the browser keeps, so that a wall's address says how it looks.

function preference(name, fallback, allowed) {
  let kept = null;
  try {
    kept = localStorage.getItem(`wardwave.${name}`);
  } catch {
    // A browser that keeps nothing has the defaults.
  }
  const wanted = new URLSearchParams(location.search).get(name) ?? kept;
  return allowed.find((one) => String(one) === wanted) ?? fallback;
}

function prefer(name, value) {
  const address = new URL(location.href);
  if (address.searchParams.has(name)) {
    address.searchParams.set(name, String(value));
    history.replaceState(history.state, "", address);
  }
  try {
    localStorage.setItem(`wardwave.${name}`, String(value));
  } catch {
    // It holds for this page then.
  }
}
