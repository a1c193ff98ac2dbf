// The part of an EEG that is shown: its rows, worked out and drawn, live or as a page of the past.

const SHOWN_MARGIN_S = 6; // derived beyond the page's edges, so that scrolling is cheap

class EegView {
  constructor(find, controls, pixelsPerMm) {
    this.box = find(".sheet");
    this.sheet = new EegSheet(find(".traces"));
    this.ground = new EegGround(find(".ground"), find(".over"));
    this.controls = controls;
    this.pixelsPerMm = pixelsPerMm;
    this.inks = INKS.dark;
    this.layout = null; // until there are rows and room for them
    this.measure = null;
    this.anew();
  }

  // The rows are to be worked out anew, as well as drawn.
  anew() {
    this.derived = null;
    this.redraw();
  }

  redraw() {
    this.sheet.forget();
    this.pageDrawn = false;
  }

  layOut(montage) {
    this.montage = montage;
    this.layout = null;
    this.anew();
    const [width, height] = [this.box.clientWidth, this.box.clientHeight];
    if (montage === null || width < 2 * LEFT || height < 50) return;
    this.layout = new EegLayout(montage.rows, width, height, this.pixelsPerMm);
    this.layout.setTimeBase(this.controls.values.base);
    this.sheet.fit(width, height);
  }

  get uvPerMm() {
    return Number(this.controls.values.sensitivity);
  }

  get span() {
    return this.layout?.span ?? 0;
  }

  // Live: everything up to a sample.
  sweep(signal, end) {
    const { layout } = this;
    if (this.derived === null || this.derived.whole || this.derived.stale) {
      const from = end - Math.ceil(layout.span * signal.fs);
      this.derived = new Derived(signal, this.montage.rows, this.controls.cuts, from, layout.span + SHOWN_MARGIN_S);
      this.sheet.forget();
    }
    this.derived.run(signal.head);
    layout.lap(signal.timeOf(end));
    this.sheet.sweep(this.derived, layout, end, this.uvPerMm, this.inks);
    this.shownTime = signal.timeOf(end);
  }

  // A page of the past, from a sample on; drawn once, and again while it fills.
  page(signal, from) {
    if (this.pageDrawn && !this.derived?.stale) return false;
    const { layout } = this;
    const samples = Math.ceil(layout.span * signal.fs);
    const until = Math.min(signal.head, from + samples + 1);
    const margin = Math.round(SHOWN_MARGIN_S * signal.fs);
    const { derived } = this;
    if (!derived?.whole || derived.stale || from < derived.first || until > derived.head) {
      this.derived = new Derived(signal, this.montage.rows, this.controls.cuts, from - margin, layout.span + 2 * SHOWN_MARGIN_S);
      this.derived.run(Math.min(signal.head, until + margin));
      this.derived.whole = true; // it does not go on with what comes
    }
    layout.page(signal.timeOf(from));
    this.sheet.page(this.derived, layout, this.uvPerMm, this.inks);
    this.pageDrawn = from + samples < signal.head;
    return true;
  }

  drawGround(signal, trends) {
    const { layout } = this;
    if (!layout || layout.from === undefined) return;
    const marks = eegMarks(signal, this.montage, layout, trends);
    this.ground.draw(layout, signal, marks, { uvPerMm: this.uvPerMm, measure: this.measure }, this.inks);
  }
}
