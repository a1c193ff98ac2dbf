// Takes a feed from Streamlit and hands it to the canvas of this page. It is a component of its own because
// Streamlit sends a component's script again with each of its updates: this one is small.
export default function ({ data }) {
  const line = (window.wardwaveFeed ??= { sink: null, waiting: [] });
  if (line.sink) line.sink(data);
  else if (line.waiting.push(data) > 4) line.waiting.shift();
}
