// The keys, in a native dialog: it keeps the focus and closes with Escape by itself.
import { html } from "./view.js";

const KEYS = [
  ["/", "to the search box"],
  ["↓", "from the box into the pictures"],
  ["← → ↑ ↓", "move among the pictures"],
  ["Home End", "to the first of them, and to the last"],
  ["Enter", "open a picture; in the box: keep this search in the history"],
  ["+ −", "more, or less, like the picture in focus"],
  ["← →", "on a picture's own page: the one before, and the one after"],
  ["Escape", "back to the results, and from them to the box"],
  ["-word", "in the box: take a word away"],
  ["?", "these keys"],
];

const dialog = () => document.getElementById("help");
export const showHelp = () => dialog().showModal();

export const Help = () => html`<dialog id="help" aria-labelledby="help-title"
  onClick=${(event) => event.target === dialog() && dialog().close()}>
  <article>
    <h2 id="help-title">Keys</h2>
    <dl>${KEYS.map(([key, what]) => html`<div><dt>${key.split(" ").map((each) => html`<kbd>${each}</kbd>`)}</dt><dd>${what}</dd></div>`)}</dl>
    <form method="dialog"><button autofocus>Close</button></form>
  </article>
</dialog>`;
