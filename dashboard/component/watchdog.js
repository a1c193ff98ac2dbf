// Stands outside Streamlit's page and outlives it: where the page is gone (white, or without its bar) it says so,
// sounds, and loads the page again as soon as the server answers. A loss that the page can tell itself is left to it.
(() => {
  const TICK_MS = 1_000;
  const GONE_TICKS = 3; // so long the bar may be away before the page counts as gone
  const FIRST_TICKS = 45; // so long a page may take to begin
  const DEAF_S = 20; // so long the page may get no feed from a server that answers
  const DEAF_TICKS = 10; // and so long it is given then to recover by itself
  const WELL_TICKS = 60; // after so long a page is no longer one that was just loaded again
  const LONGEST_WAIT_S = 60;
  const MARK = "wardwave.reloads";

  const seconds = () => performance.now() / 1000;
  let begun = false; // whether this page has had a bar
  let away = 0; // ticks without a bar
  let deaf = 0; // ticks without a feed while the server answers
  let well = 0;
  let since = null;
  let asking = false;
  let cover = null;

  function reloads() {
    try {
      return JSON.parse(sessionStorage.getItem(MARK)) ?? { count: 0, at: 0 };
    } catch {
      return { count: 0, at: 0 };
    }
  }

  function keep(value) {
    try {
      if (value === null) sessionStorage.removeItem(MARK);
      else sessionStorage.setItem(MARK, JSON.stringify(value));
    } catch {
      // A browser that keeps nothing loads again without waiting longer each time.
    }
  }

  async function answers() {
    if (asking) return false;
    asking = true;
    try {
      const address = new URL("_stcore/health", document.querySelector('script[type="module"]').src.replace(/static\/js\/.*$/, ""));
      return (await fetch(address, { cache: "no-store", signal: AbortSignal.timeout(5_000) })).ok;
    } catch {
      return false;
    } finally {
      asking = false;
    }
  }

  function again() {
    const { count, at } = reloads();
    if (Date.now() - at < 1000 * Math.min(LONGEST_WAIT_S, 5 * 2 ** count)) return;
    keep({ count: count + 1, at: Date.now() });
    location.reload();
  }

  function say() {
    since ??= seconds();
    if (!cover?.isConnected) {
      cover = document.createElement("div");
      cover.setAttribute("role", "alert");
      cover.dataset.testid = "page-lost";
      cover.style.cssText =
        "position:fixed;inset:0;z-index:2147483647;display:flex;flex-direction:column;gap:.4em;align-items:center;" +
        "justify-content:center;text-align:center;background:#10181e;color:#fff;" +
        'font:800 clamp(30px,6vw,90px)/1.2 "Source Sans","Segoe UI",Roboto,Arial,sans-serif';
      const line = document.createElement("div");
      const more = document.createElement("div");
      more.textContent = "Nothing here is live. The page loads again by itself as soon as its server answers.";
      more.style.cssText = "font-size:clamp(16px,2vw,30px);font-weight:400;padding:0 1em";
      cover.append(line, more);
      document.body.append(cover);
    }
    cover.firstChild.textContent = `CONNECTION LOST ${Math.floor(seconds() - since)} s`;
    window.wardwaveSound?.sound([{ id: "connection lost", level: "high" }]);
  }

  function unsay() {
    cover?.remove();
    cover = since = null;
  }

  async function watch() {
    if (document.hidden) {
      // A browser slows down what nobody sees: late is not gone.
      away = deaf = 0;
      return;
    }
    const now = seconds();
    const bar = now - (window.wardwaveBarAt ?? -Infinity) < GONE_TICKS;
    begun ||= bar;
    away = bar ? 0 : away + 1;
    if (bar) unsay();
    else if (away > (begun ? GONE_TICKS : FIRST_TICKS)) {
      say();
      if (await answers()) again();
      return;
    }
    // A script that runs for long (an analysis) feeds nobody meanwhile, and must not be cut off.
    const runs = document.querySelector('[data-testid="stApp"][data-test-script-state="running"]') !== null;
    const silent = begun && !runs && now - (window.wardwaveFeed?.at ?? 0) > DEAF_S;
    if (!silent) deaf = 0;
    else if (await answers()) deaf++;
    if (deaf > DEAF_TICKS) again();
    well = bar && !silent ? well + 1 : 0;
    if (well === WELL_TICKS) keep(null);
  }

  document.addEventListener("DOMContentLoaded", () => {
    if (document.getElementById("root") !== null) setInterval(watch, TICK_MS);
  });
})();
