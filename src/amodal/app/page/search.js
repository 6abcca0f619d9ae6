// The search: what is asked, and the pictures found.
import { address, go, lost } from "./address.js";
import { again, asked, found, isReady, more } from "./asking.js";
import { Box, lessLike, moreLike } from "./box.js";
import { enterGrid, Grid } from "./grid.js";
import { announce, Failure } from "./notice.js";
import { service } from "./service.js";
import { count, html, plural, signal, useEffect, useLayoutEffect } from "./view.js";

const last = { scroll: 0, content: "" }; // where the results were left
const folded = signal(true);

function Results() {
  const { results, state, error, no_match: none, total, notes, milliseconds } = found.value;
  const [good, weak] = [results.filter((each) => !each.weak && !none), results.filter((each) => each.weak || none)];
  const { terms, chances } = asked.value;
  const words = terms.map((term) => term.words).filter(Boolean).join(", ");
  useEffect(() => {
    folded.value = true;
  }, [JSON.stringify(terms)]);
  useEffect(() => {
    if (state === "done") announce(summary(found.value));
  }, [found.value]);
  if (state === "failed") return html`<${Failure} error=${error} again=${again} />`;
  if (!results.length && state !== "done") return html`<p class="said">…</p>`;
  const shown = folded.value ? good : [...good, ...weak];
  return html`
    ${!results.length ? html`<p class="none"><strong>Nothing passes.</strong> ${wayOut()}</p>`
      : none ? html`<p class="none"><strong>No good match</strong>${words && html` for “${words}”`} among ${plural(total, "picture")}.
        Nothing here looks like it. Try other words, or look at the nearest.</p>`
      : html`<p class="said"><span>${summary(found.value)}</span>
        ${state === "done" && milliseconds !== undefined && html`<span class="dim"> · ${Math.round(milliseconds)} ms</span>`}
        ${terms.length > 0 && !chances && results[0].score !== null && html`<span class="dim"> · ${whyCosines(terms)}</span>`}</p>`}
    ${notes?.map((note) => html`<p class="note">${note}</p>`)}
    <${Grid} results=${shown} label="Pictures found" onMore=${moreLike} onLess=${lessLike}
      onLeave=${() => document.getElementById("box").focus()} />
    <div class="on">
      ${folded.value && weak.length > 0 && html`<button type="button" class="soft"
        onClick=${() => unfold(weak[0].content)}>${`${none ? "Show the nearest anyway" : "Show weaker results"} (${weak.length}${found.value.more ? "+" : ""})`}</button>`}
      ${found.value.more && !(folded.value && weak.length > 0) && html`<button type="button" class="soft"
        aria-busy=${state === "asking"} onClick=${more}>Show more of ${count(total)}</button>`}
    </div>`;
}

function unfold(content) {
  folded.value = false;
  requestAnimationFrame(() => enterGrid(content));
}

function whyCosines(terms) {
  if (!service.value.model?.calibrated?.words) return "scores are cosines: this model is not calibrated";
  return terms.length ? "scores are cosines: chances are for words alone" : "";
}

function wayOut() {
  const { where, at, chance } = address.value;
  if (at || chance) return "Move the cut to the left.";
  return where.length ? "Remove a filter." : "The index holds no picture yet.";
}

function summary({ results, total, no_match: none }) {
  if (!results.length) return "Nothing passes";
  if (none) return `No good match among ${plural(total, "picture")}`;
  const { terms, chances } = asked.peek();
  if (!terms.length) return `${plural(total, "picture")}, newest first`;
  const good = results.filter((each) => !each.weak).length;
  const matches = chances && good < results.length ? `${plural(good, "good match", "good matches")} among ` : "";
  return `${matches}${plural(total, "picture")}`;
}

function NoIndex() {
  return html`<section class="empty">
    <h1>No index is open</h1>
    <p>Read a folder of pictures once, then search it here by words and by pictures. Nothing leaves this machine.</p>
    <pre><code>amodal index FOLDER --out INDEX
amodal serve --index INDEX</code></pre>
    <p>Labels of your own work without one: <a href="/?view=label" onClick=${(event) => (event.preventDefault(), go({ view: "label" }))}>label a picture</a>.</p>
  </section>`;
}

export function Search() {
  useLayoutEffect(() => {
    scrollTo(0, last.scroll);
    if (last.content) enterGrid(last.content);
    else document.getElementById("box")?.focus();
    const leave = (event) => event.key === "Escape" && event.target.closest(".grid") && document.getElementById("box").focus();
    const remember = () => (last.scroll = scrollY);
    const opened = (event) => (last.content = event.target.closest?.("a[data-content]")?.dataset.content ?? "");
    addEventListener("keydown", leave);
    addEventListener("scroll", remember, { passive: true });
    addEventListener("focusin", opened);
    return () => {
      removeEventListener("keydown", leave);
      removeEventListener("scroll", remember);
      removeEventListener("focusin", opened);
    };
  }, []);
  document.title = address.value.q ? `${address.value.q} · amodal` : "amodal";
  if (!isReady.value) return html`<main id="main"><${NoIndex} /></main>`;
  return html`<main id="main">
    <h1 class="unseen">Search ${plural(service.value.index.pictures, "picture")}</h1>
    <${Box} />
    ${lost.value.includes("chips") && html`<p class="note">An uploaded picture lives only as long as its tab; drop it again to search with it.</p>`}
    <${Results} />
  </main>`;
}
