// The index: what it holds, and bringing it up to date with live progress.
import { announce, Failure } from "./notice.js";
import { ask, greet, service } from "./service.js";
import { count, html, plural, signal, useEffect } from "./view.js";

// state: "idle" | "running" | "done" | "failed"
const progress = signal({ state: "idle" });
let source = null;

function listen() {
  source?.close();
  progress.value = { state: "running" };
  source = new EventSource("/api/index/progress");
  source.addEventListener("progress", (event) => (progress.value = { state: "running", ...JSON.parse(event.data) }));
  source.addEventListener("done", (event) => end({ state: "done", ...JSON.parse(event.data) }));
  source.addEventListener("error", (event) => {
    if (event.data) end({ state: "failed", message: JSON.parse(event.data).message });
    else if (source.readyState === EventSource.CLOSED) end({ state: "failed", message: "The service does not answer." });
  });
}

function end(said) {
  source.close();
  source = null;
  progress.value = said;
  announce(said.state === "done" ? told(said) : said.message);
  greet();
}

async function update() {
  try {
    await ask("/api/index", {});
    listen();
  } catch (error) {
    if (error.status === 409) listen(); // it runs already: watch it
    else progress.value = { state: "failed", message: error.message };
  }
}

function told({ pictures, added, gone, skipped }) {
  const left = typeof skipped === "number" ? skipped : skipped?.length ?? 0;
  return `Up to date: ${plural(pictures, "picture")}, ${count(added)} added, ${count(gone)} gone${left ? `, ${count(left)} could not be read` : ""}.`;
}

const time = (seconds) =>
  seconds < 90 ? `${Math.ceil(seconds)} s` : seconds < 5400 ? `${Math.round(seconds / 60)} min` : `${(seconds / 3600).toFixed(1)} h`;

function Progress() {
  const { state, message, said, done, total, rate, left } = progress.value;
  if (state === "failed") return html`<${Failure} error=${{ message }} again=${update} />`;
  if (state === "done") return html`<p class="note good">${told(progress.value)}</p>`;
  if (state !== "running") return null;
  const counts = total > 0 && done < total; // then the figures tell more than what was said once, and stay true
  return html`<div class="progress"><progress aria-label="Indexing" max=${total || null} value=${total ? done : null}></progress>
    <p>${counts ? html`Indexing <span class="dim">${count(done)} of ${count(total)}${rate ? ` · ${rate.toFixed(rate < 10 ? 1 : 0)} a second` : ""}${left ? ` · ${time(left)} left` : ""}</span>`
      : said || "The sources are looked over …"}</p></div>`;
}

function Skipped({ skipped }) {
  return skipped?.length > 0 && html`<details open><summary>${plural(skipped.length, "file")} could not be read</summary>
    <ul class="captions">${skipped.map((each) => html`<li><code>${each.path}</code> <span class="dim">${each.reason}</span></li>`)}</ul></details>`;
}

export function Indexing() {
  const index = service.value.index;
  useEffect(() => {
    if (service.peek().index?.updating && !source) listen();
    else if (progress.peek().state !== "running") greet();
  }, []);
  document.title = "Index · amodal";
  if (!index) return html`<main id="main"><section class="empty"><h1>No index is open</h1>
    <pre><code>amodal index FOLDER --out INDEX
amodal serve --index INDEX</code></pre></section></main>`;
  const { versions = [], attributes = [], source: sources = [] } = index;
  return html`<main id="main" class="index">
    <h1>${plural(index.pictures, "picture")}</h1>
    <dl class="facts">
      <div><dt>index</dt><dd class="path">${index.where}</dd></div>
      <div><dt>sources</dt><dd class="path">${sources.map((each) => html`<div>${each}</div>`)}</dd></div>
      <div><dt>model</dt><dd>${index.model}</dd></div>
      ${attributes.length > 0 && html`<div><dt>attributes</dt><dd>${attributes.map((each) => each.name).join(", ")}</dd></div>`}
    </dl>
    <p class="row"><button type="button" onClick=${update} disabled=${progress.value.state === "running"}>Bring it up to date</button></p>
    <${Progress} />
    <${Skipped} skipped=${index.skipped} />
    ${versions.length > 0 && html`<h2>Versions</h2><div class="scroll" tabindex="0" role="region" aria-label="Versions"><table>
      <thead><tr><th scope="col">number</th><th scope="col">date</th><th scope="col">pictures</th></tr></thead>
      <tbody>${[...versions].sort((one, two) => two.number - one.number).map((each) => html`<tr><th scope="row">${each.number}</th>
        <td>${each.date.slice(0, 16).replace("T", " ")}</td><td>${count(each.pictures)}</td></tr>`)}</tbody></table></div>`}
  </main>`;
}
