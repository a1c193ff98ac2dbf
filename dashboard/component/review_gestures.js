// Mouse, wheel, touch and keys on the paper and on the callipers. What they do is the view's (review.js): its `acts`.

const MEASURE_STEP_S = 0.004;

function listenToPaper(canvas, acts) {
  let grip = null;
  canvas.addEventListener("pointerdown", (event) => {
    grip = { x: event.offsetX, end: acts.end(), moved: false };
    canvas.setPointerCapture(event.pointerId);
  });
  canvas.addEventListener("pointermove", (event) => {
    if (grip === null || !event.buttons) return;
    grip.moved ||= Math.abs(event.offsetX - grip.x) > 4;
    if (grip.moved) acts.look(grip.end - acts.seconds(event.offsetX - grip.x));
  });
  canvas.addEventListener("pointerup", (event) => {
    if (grip !== null && !grip.moved) acts.pick(event.offsetX, event.offsetY);
    grip = null;
  });
  canvas.addEventListener("wheel", (event) => {
    event.preventDefault();
    if (event.ctrlKey) acts.zoom(event.deltaY < 0 ? 1 : -1, event.offsetX / canvas.clientWidth);
    else acts.look(acts.end() + acts.seconds((event.deltaX || event.deltaY) * 1.5));
  }, { passive: false });
  const keys = {
    ArrowLeft: () => acts.look(acts.end() - 1),
    ArrowRight: () => acts.look(acts.end() + 1),
    PageUp: () => acts.turn(-1),
    PageDown: () => acts.turn(1),
    Home: () => acts.look(-Infinity),
    End: () => acts.look(Infinity),
    "+": () => acts.zoom(1),
    "-": () => acts.zoom(-1),
  };
  canvas.addEventListener("keydown", (event) => {
    if (!keys[event.key]) return;
    event.preventDefault();
    keys[event.key]();
  });
}

// A calliper is dragged, or moved by keys: 4 ms, with Shift 40 ms, by Page Up and Page Down 100 ms.
function listenToCalliper(handle, canvas, acts) {
  const index = Number(handle.dataset.cursor);
  handle.addEventListener("pointerdown", (event) => handle.setPointerCapture(event.pointerId));
  handle.addEventListener("pointermove", (event) => {
    if (event.buttons) acts.drag(index, event.clientX - canvas.getBoundingClientRect().left);
  });
  handle.addEventListener("keydown", (event) => {
    const steps = { ArrowLeft: -1, ArrowRight: 1, PageDown: -25, PageUp: 25 }[event.key];
    if (steps === undefined) return;
    event.preventDefault();
    acts.nudge(index, MEASURE_STEP_S * steps * (event.shiftKey ? 10 : 1));
  });
}
