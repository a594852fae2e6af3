// Keeps the page up to date. Everything works without it, too.
"use strict";
(() => {
  const root = document.querySelector("[data-live]");
  if (!root || !window.EventSource) return;
  const state = root.querySelector("[data-live-state]");
  const words = root.querySelector("[data-live-words]");
  const say = root.querySelector("[data-say]");
  let source = null, seen = root.dataset.version;

  function replace(name, html) {
    const region = root.querySelector(`[data-region="${name}"]`);
    const focused = region.contains(document.activeElement) ? document.activeElement.id : "";
    const opened = [...region.querySelectorAll("details[open]")].map((details) => details.id);
    region.innerHTML = html;
    for (const id of opened) document.getElementById(id)?.setAttribute("open", "");
    if (focused) document.getElementById(focused)?.focus({ preventScroll: true });
  }

  function show(condition) {
    state.hidden = false;
    state.dataset.condition = condition;
    words.textContent = condition === "on" ? words.dataset.on : state.dataset[condition];
  }

  function stop() {
    source?.close();
    source = null;
  }

  function start() {
    if (source || document.hidden || state.dataset.condition === "ended") return;
    const address = new URL(root.dataset.live, location.href);
    address.searchParams.set("seen", seen);
    source = new EventSource(address);
    source.onopen = () => show("on");
    source.onmessage = (event) => {
      const { regions, say: sentence } = JSON.parse(event.data);
      seen = event.lastEventId;
      for (const [name, html] of Object.entries(regions)) replace(name, html);
      if (sentence) say.textContent = sentence;
    };
    source.addEventListener("ended", () => { stop(); show("ended"); });
    source.onerror = () => {
      show("paused");
      if (source?.readyState === EventSource.CLOSED) { stop(); setTimeout(start, 5000); }
    };
  }

  // A browser opens few connections to one place: pages that nobody sees give theirs back.
  document.addEventListener("visibilitychange", () => (document.hidden ? stop() : start()));
  window.addEventListener("pagehide", stop);
  window.addEventListener("pageshow", start);
})();
