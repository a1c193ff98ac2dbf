// Takes a feed from Streamlit and hands it to the canvas and the bar of this page. It is a component of its own
// because Streamlit sends a component's script again with each of its updates: this one is small.
export default function ({ data }) {
  const line = (window.wardwaveFeed ??= { sinks: new Set(), recent: [] });
  if (line.recent.at(-1) === data) return;
  line.at = performance.now() / 1000; // for watchdog.js
  if (line.recent.push(data) > 4) line.recent.shift();
  for (const sink of line.sinks) sink(data);
}
