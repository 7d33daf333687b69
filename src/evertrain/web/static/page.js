// Keeps the page live: panels that changed arrive as server-sent events and are replaced as a whole.
"use strict";

const pill = document.getElementById("live");
const say = (state) => { pill.dataset.state = state; pill.textContent = state; };

function show(panels) {
  for (const [name, html] of Object.entries(panels)) {
    document.querySelectorAll(`[data-panel="${name}"]`).forEach((panel) => fill(panel, html));
  }
}

function fill(panel, html) {
  const scrolled = [...panel.querySelectorAll(".scroll")].map((box) => [box.scrollLeft, box.scrollTop]);
  panel.innerHTML = html; // rendered and escaped by our own server
  panel.querySelectorAll(".scroll").forEach((box, index) => {
    if (scrolled[index]) [box.scrollLeft, box.scrollTop] = scrolled[index];
  });
}

// After a lost connection: 1 s, 2 s, 4 s ... at most 30 s, with some noise so that pages do not return together.
function follow(address, attempt = 0) {
  const source = new EventSource(address);
  source.onopen = () => { attempt = 0; say("live"); };
  source.onmessage = (event) => show(JSON.parse(event.data));
  source.onerror = () => {
    source.close();
    say("reconnecting");
    const wait = Math.min(30000, 1000 * 2 ** attempt) * (0.8 + 0.4 * Math.random());
    setTimeout(() => follow(address, attempt + 1), wait);
  };
}

// Forms say their answer where they stand; without this script they lead to a page of their own.
async function send(event) {
  event.preventDefault();
  const form = event.target;
  const said = form.querySelector(".said");
  const button = form.querySelector("button.main");
  button.disabled = true;
  try {
    const body = new URLSearchParams(new FormData(form));
    const response = await fetch(form.action, { method: "POST", body });
    const answer = new DOMParser().parseFromString(await response.text(), "text/html");
    const words = [...answer.querySelectorAll("h1, [role=status]")].map((part) => part.textContent.trim());
    said.textContent = words.filter(Boolean).join(": ") || `The server answered ${response.status}.`;
    said.className = response.ok ? "said good" : "said bad";
    if (response.ok) form.querySelector("textarea").value = "";
  } catch {
    said.textContent = "The controller does not answer. Nothing was done.";
    said.className = "said bad";
  } finally {
    button.disabled = false;
  }
}

document.querySelectorAll("form.action").forEach((form) => form.addEventListener("submit", send));
const main = document.querySelector("main[data-stream]");
if (main) follow(main.dataset.stream);
