// Keeps the report as of now: it is asked for again every few seconds, and shown where something in it has changed.
"use strict";

const EVERY_MS = 10000;

async function renew() {
  try {
    const response = await fetch(location.href, { cache: "no-store" });
    if (response.ok) {
      const made = new DOMParser().parseFromString(await response.text(), "text/html");
      for (const part of ["main", ".status"]) {
        const [shown, newer] = [document.querySelector(part), made.querySelector(part)];
        if (shown && newer && shown.innerHTML !== newer.innerHTML) shown.innerHTML = newer.innerHTML; // our own server's
      }
    }
  } catch {
    // the server is away for a while: what was shown stays, and is asked for again
  }
  setTimeout(renew, EVERY_MS);
}

setTimeout(renew, EVERY_MS);
