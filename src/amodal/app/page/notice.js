// Short messages: one shown at the foot of the page for a while, and one that only a screen reader hears.
import { html, signal } from "./view.js";

const SHOWN_FOR = 6000; // milliseconds
const QUIET = 500; // milliseconds without a change before counts are read out: nobody wants them at every key
const shown = signal("");
const heard = signal("");
let ending = 0;
let telling = 0;

export function say(text) {
  shown.value = text;
  clearTimeout(ending);
  ending = setTimeout(() => (shown.value = ""), SHOWN_FOR);
}

export function announce(text) {
  clearTimeout(telling);
  telling = setTimeout(() => (heard.value = text), QUIET);
}

export const Notice = () => html`<p class="notice" role="alert" hidden=${!shown.value}>${shown.value}</p>
  <p class="unseen" role="status" aria-live="polite">${heard.value}</p>`;

// An error where it happened.
export const Failure = ({ error, again }) => html`<div class="failure" role="alert">
  <p>${error.message}</p>${again && html`<button type="button" onClick=${again}>Try again</button>`}
</div>`;
