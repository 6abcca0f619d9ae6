// The page: header, the view that the address names, and what works everywhere (keys, drop, paste).
import { address, follow, go, linkTo } from "./address.js";
import { addPictures } from "./box.js";
import { Help, showHelp } from "./help.js";
import { Indexing } from "./indexing.js";
import { addTo, Label } from "./label.js";
import { Notice, say } from "./notice.js";
import { PictureView } from "./picture.js";
import { Runs } from "./runs.js";
import { Search } from "./search.js";
import { greet, service } from "./service.js";
import { ThemeButton } from "./theme-button.js";
import { picturesOf } from "./uploads.js";
import { html, isWriting, render, useEffect, useState } from "./view.js";

const TABS = [["search", "Search"], ["label", "Label"], ["runs", "Runs"], ["index", "Index"]];
const VIEWS = { search: Search, picture: PictureView, label: Label, runs: Runs, index: Indexing };

function Header() {
  const view = address.value.view;
  return html`<header class="top">
    <a class="brand" href="/" onClick=${follow({ ...NOTHING, view: "search" })}>
      <img src="/page/icon.svg" alt="" width="26" height="26" />amodal</a>
    <nav aria-label="Views">
      ${TABS.map(([name, text]) => {
        const current = view === name || (view === "picture" && name === "search");
        return html`<a href=${linkTo({ view: name })} aria-current=${current ? "page" : null}
          onClick=${follow({ view: name })}>${text}</a>`;
      })}
    </nav>
    <div class="tools"><button type="button" class="quiet" aria-label="Keyboard shortcuts" onClick=${showHelp}>?</button>
      <${ThemeButton} /></div>
  </header>`;
}
const NOTHING = { q: "", chips: [], where: [], at: null, chance: null, sort: "score", picture: "", see: "" };

function Waiting() {
  const { state, message } = service.value;
  if (state === "failed") return html`<main class="middle"><p role="alert">${message}</p></main>`;
  return html`<main class="middle" aria-busy="true"><p role="status">The model is being opened …</p></main>`;
}

// Files that are dragged over the page or pasted into it go where the view takes pictures.
async function take(files) {
  if (!files.length) return say("That is no picture file; drop a JPEG, PNG or WebP.");
  try {
    await (address.peek().view === "label" ? addTo(files) : addPictures(files));
  } catch (error) {
    say(error.message);
  }
}

function DropZone() {
  const [over, setOver] = useState(false);
  useEffect(() => {
    let leaving = 0;
    const drag = (event) => {
      if (![...(event.dataTransfer?.types ?? [])].includes("Files")) return;
      event.preventDefault();
      clearTimeout(leaving); // dragover comes all the time while a file is above the page
      leaving = setTimeout(() => setOver(false), 200);
      setOver(true);
    };
    const drop = (event) => {
      if (!event.dataTransfer?.files.length) return;
      event.preventDefault();
      setOver(false);
      take(picturesOf(event.dataTransfer));
    };
    const paste = (event) => {
      const files = picturesOf(event.clipboardData);
      if (!files.length) return;
      event.preventDefault();
      take(files);
    };
    addEventListener("dragover", drag);
    addEventListener("drop", drop);
    addEventListener("paste", paste);
  }, []);
  return over && html`<div class="drop" aria-hidden="true"><p>Drop the picture anywhere</p></div>`;
}

// "/" goes to the search box from everywhere, "?" tells the keys.
function keys(event) {
  if (event.ctrlKey || event.metaKey || event.altKey || isWriting(event)) return;
  if (document.querySelector("dialog[open]")) return;
  if (event.key === "?") showHelp();
  else if (event.key === "/") {
    event.preventDefault();
    if (address.peek().view !== "search") go({ view: "search" });
    setTimeout(() => document.getElementById("box")?.select());
  }
}

// By hand, not to "#main": that would be a new entry of the history, and uploads stand in the old one.
function skip(event) {
  event.preventDefault();
  const main = document.querySelector("main");
  main.tabIndex = -1;
  main.focus();
}

function Page() {
  const View = VIEWS[address.value.view];
  const shown = service.value.state === "ready" ? html`<${View} />` : html`<${Waiting} />`;
  return html`<a class="skip" href="#main" onClick=${skip}>Skip to the content</a>
    <${Header} />${shown}<${Notice} /><${Help} /><${DropZone} />`;
}

addEventListener("keydown", keys);
history.scrollRestoration = "manual";
greet();
render(html`<${Page} />`, document.getElementById("page"));
