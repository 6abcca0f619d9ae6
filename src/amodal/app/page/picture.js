// A picture's own page: the picture, what is known of it, where words are in it, and what is like it.
import { address, backTo, exchange, follow, linkTo } from "./address.js";
import { found, parsed } from "./asking.js";
import { lessLike, moreLike } from "./box.js";
import { Grid } from "./grid.js";
import { Matched, Shown } from "./matched.js";
import { announce, Failure, say } from "./notice.js";
import { ask, service } from "./service.js";
import { baseName, html, isWriting, plural, signal, useEffect, useLayoutEffect } from "./view.js";

const NEIGHBOURS = 24;
const seen = signal({ content: "", about: null, copies: [], neighbours: [], error: null });
const grounding = signal(null);

async function look(content, stop) {
  seen.value = { content, about: null, copies: [], neighbours: null, error: null };
  grounding.value = null;
  const terms = [{ picture: { content }, weight: 1 }];
  try {
    const about = await ask(`/api/pictures/${content}`, undefined, stop);
    seen.value = { ...seen.peek(), about };
    const { results } = await ask("/api/search", { terms, top: NEIGHBOURS + 1 }, stop);
    const itself = results.filter((each) => each.content === content); // with its near-duplicates
    const copies = itself.flatMap((each) => [each.path, ...each.copies]).filter((path) => path !== about.path);
    const neighbours = results.filter((each) => each.content !== content).slice(0, NEIGHBOURS);
    seen.value = { ...seen.peek(), copies, neighbours };
    announce(`${baseName(about.path)}, ${plural(neighbours.length, "picture")} like it`);
  } catch (error) {
    if (error.name !== "AbortError") seen.value = { ...seen.peek(), error };
  }
}

// The results left and right of this one.
function Beside({ content }) {
  const results = found.value.results;
  const here = results.findIndex((each) => each.content === content);
  if (here < 0) return null;
  const link = (result, text, name) => result ? html`<a class="soft" role="button" rel=${name}
    href=${linkTo({ picture: result.content })} onClick=${follow({ picture: result.content }, exchange)}>${text}</a>` : null;
  return html`${link(results[here - 1], "‹ Previous", "previous")}${link(results[here + 1], "Next ›", "next")}`;
}

const DATE = /^(\d{4}-\d\d-\d\d)T(\d\d:\d\d):\d\d$/;
const shown = (value) => (Array.isArray(value) ? value.join(", ") : String(value).replace(DATE, "$1 $2"));

function Facts({ about, copies }) {
  const kept = Object.entries(about.kept ?? {}).filter(([name, value]) => value !== null && value !== "" && name !== "captions");
  const copy = () => navigator.clipboard.writeText(about.path).then(() => say("The path is copied."), () => say(about.path));
  return html`
    ${about.captions?.length > 0 && html`<h2>${about.captions.length > 1 ? "Captions" : "Caption"}</h2>
      <ul class="captions">${about.captions.map((caption) => html`<li dir="auto">${caption}</li>`)}</ul>`}
    <dl class="facts">
      <div><dt>file</dt><dd class="path" dir="ltr">${about.path}</dd></div>
      ${copies.length > 0 && html`<div><dt>near-duplicates</dt><dd>${copies.map((path) => html`<div dir="ltr">${path}</div>`)}</dd></div>`}
      ${about.width && html`<div><dt>size</dt><dd>${about.width} × ${about.height}</dd></div>`}
      ${kept.map(([name, value]) => html`<div><dt>${name}</dt><dd dir="auto">${shown(value)}</dd></div>`)}
    </dl>
    <div class="row">
      <button type="button" class="soft" onClick=${() => moreLike(about)}>More like this</button>
      <button type="button" class="soft" onClick=${() => lessLike(about)}>Less like this</button>
      <button type="button" class="soft" onClick=${copy}>Copy the path</button>
    </div>`;
}

const back = () => backTo("search");

function keys(event) {
  if (isWriting(event) || document.querySelector("dialog[open]")) return;
  if (event.key === "Escape") back();
  const way = { ArrowLeft: "previous", ArrowRight: "next" }[event.key];
  if (way && !event.target.closest(".grid")) document.querySelector(`a[rel=${way}]`)?.click();
}

export function PictureView() {
  const content = address.value.picture;
  useEffect(() => {
    const stop = new AbortController();
    look(content, stop.signal);
    return () => stop.abort();
  }, [content]);
  useLayoutEffect(() => {
    scrollTo(0, 0);
    document.getElementById("title")?.focus({ preventScroll: true });
  }, [content]);
  useEffect(() => {
    addEventListener("keydown", keys);
    return () => removeEventListener("keydown", keys);
  }, []);
  const { about, copies, neighbours, error, content: held } = seen.value;
  const mine = held === content;
  const name = mine && about ? baseName(about.path) : "Picture";
  document.title = `${name} · amodal`;
  const { words } = parsed(address.value.q);
  return html`<main id="main" class="picture">
    <div class="row"><button type="button" class="soft" onClick=${back}>Back to the results</button>
      <${Beside} content=${content} /></div>
    <h1 id="title" tabindex="-1" dir="auto">${name}</h1>
    ${mine && error && html`<${Failure} error=${error} />`}
    ${mine && about && html`<div class="look">
      <${Shown} about=${about} grounding=${grounding} />
      <div><${Facts} about=${about} copies=${copies} />
        ${service.value.model.grounds && html`<${Matched} key=${content} content=${content} sentence=${address.value.see || words} grounding=${grounding} />`}
      </div></div>
      <h2>Like it</h2>
      ${neighbours === null ? html`<p class="said">…</p>` : neighbours.length
        ? html`<p class="said dim">The figures are cosines: the same picture has 1.</p>
          <${Grid} results=${neighbours} label="Pictures like it" onMore=${moreLike} onLess=${lessLike} />`
        : html`<p class="none">The index holds no other picture.</p>`}`}
  </main>`;
}
