// Mounts the page of an EEG, once for each view of it, and hands it the feeds that come.

export default function ({ parentElement, data, setTriggerValue }) {
  const ask = (what) => setTriggerValue("ask", what);
  if (parentElement.wardwaveEeg?.token !== data.view) {
    parentElement.wardwaveEeg?.stop();
    parentElement.wardwaveEeg = new EegPage(parentElement, data, ask);
  }
  const page = parentElement.wardwaveEeg;
  page.ask = ask;
  const line = (window.wardwaveEeg ??= { sink: null, waiting: [] });
  const sink = (bytes) => page.receive(bytes);
  line.sink = sink;
  for (const bytes of line.waiting.splice(0)) sink(bytes);
  return () => {
    parentElement.wardwaveEeg?.stop();
    parentElement.wardwaveEeg = undefined;
    if (line.sink === sink) line.sink = null;
  };
}
