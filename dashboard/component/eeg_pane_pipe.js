// Takes a feed of an EEG from Streamlit and hands it to the page that shows it (see pipe.js).
export default function ({ data }) {
  const line = (window.wardwaveEeg ??= { sink: null, waiting: [] });
  if (line.sink) line.sink(data);
  else if (line.waiting.push(data) > 4) line.waiting.shift();
}
