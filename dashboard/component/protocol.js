// dashboard/payload.py says what a feed is made of.
function decodeFeed(bytes) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const length = view.getUint32(0, true);
  const header = JSON.parse(new TextDecoder().decode(bytes.subarray(4, 4 + length)));
  // A copy, because an Int16Array must begin at an even address.
  const samples = new Int16Array(bytes.slice(4 + length).buffer);
  let offset = 0;
  for (const bed of header.beds) {
    for (const trace of bed.traces) {
      trace.samples = trace.channels.map((_, channel) => {
        const start = offset + channel * trace.count;
        return samples.subarray(start, start + trace.count);
      });
      offset += trace.count * trace.channels.length;
    }
  }
  return header;
}
