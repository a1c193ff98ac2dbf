// Who has signed in, the button to sign out, and the watch over the session: the server is told of touches, and
// the page is left as soon as the session has ended. Live updates of the page are no touches.
const TOUCHES = ["pointerdown", "pointermove", "keydown", "wheel", "touchstart"];
const ASK_MS = 5_000;
const TELL_MS = 10_000;
const WARN_S = 60;

function leave(why) {
  const here = location.pathname + location.search;
  location.assign(`/sign-in?${new URLSearchParams({ why, next: here })}`);
}

async function signOut(failed) {
  failed.hidden = true;
  let why = "the server cannot be reached";
  try {
    const answer = await fetch("/sign-out", { method: "POST" });
    why = `the server answered ${answer.status}`;
    const next = answer.ok ? (await answer.json()).next : undefined;
    if (typeof next === "string") {
      location.assign(next);
      return;
    }
  } catch {
    // No server, or an answer that is not its own: said below.
  }
  failed.textContent = `Not signed out: ${why}. Try again.`;
  failed.hidden = false;
}

class Watch {
  constructor(parent) {
    this.soon = parent.querySelector(".soon");
    this.touched = false;
    this.told = 0;
    this.onTouch = () => this.touch();
    for (const name of TOUCHES) window.addEventListener(name, this.onTouch, { capture: true, passive: true });
    this.timer = setInterval(() => this.ask(), ASK_MS);
    this.ask();
  }

  stop() {
    clearInterval(this.timer);
    for (const name of TOUCHES) window.removeEventListener(name, this.onTouch, { capture: true });
  }

  touch() {
    this.touched = true;
    // At once where the end is near, else seldom: the next question tells of it.
    if (!this.soon.hidden || performance.now() - this.told > TELL_MS) this.ask();
  }

  async ask() {
    const method = this.touched ? "POST" : "GET";
    if (this.touched) this.told = performance.now();
    this.touched = false;
    let answer;
    try {
      answer = await fetch("/session", { method, cache: "no-store" });
    } catch {
      return; // The server is not there now: the page itself says so.
    }
    if (answer.status === 401) leave((await answer.json()).why);
    else if (answer.ok) this.warn((await answer.json()).left_s);
  }

  warn(left) {
    this.soon.hidden = left === null || left > WARN_S;
    this.soon.textContent = `You will be signed out in ${Math.ceil(left ?? 0)} s. Touch the screen to stay.`;
  }
}

export default function ({ parentElement, data }) {
  if (data.ended) leave("ended");
  const who = parentElement.querySelector(".who");
  who.hidden = !data.visible;
  who.querySelector(".name").textContent = data.signedIn
    ? `${data.name} · ${data.role}`
    : `${data.name} · this machine, no sign-in`;
  who.querySelector(".name").title = data.name;
  const button = who.querySelector("button");
  button.hidden = !data.signedIn;
  button.onclick = () => signOut(parentElement.querySelector(".failed"));
  if (data.signedIn) parentElement.wardwaveWatch ??= new Watch(parentElement);
  return () => {
    parentElement.wardwaveWatch?.stop();
    parentElement.wardwaveWatch = undefined;
  };
}
