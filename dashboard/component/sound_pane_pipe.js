// Takes a feed of sounds from Streamlit and hands it to the sound pane of this page (see pipe.js).
export default function ({ data }) {
  const line = (window.wardwaveSounds ??= { sink: null, waiting: [] });
  if (line.sink) line.sink(data);
  else if (line.waiting.push(data) > 4) line.waiting.shift();
}
