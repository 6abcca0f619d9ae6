// The runs: what each reached, with interval and chance, and its report.
import { Failure } from "./notice.js";
import { ask } from "./service.js";
import { html, signal, useEffect } from "./view.js";

// What is looked at first, where a run has it.
const FIRST = [
  "gain/image_to_text/R@1", "image_to_text/R@1", "gain/text_to_image/R@1", "text_to_image/R@1", "zero_shot/top-1",
  "image_to_text/R@5", "text_to_image/R@5", "answers/all", "answers/gain", "matching/mean", "grounding/pointing",
];
const MOST = 6;
const DIRECTIONS = { image_to_text: "image → text", text_to_image: "text → image", zero_shot: "zero-shot" };
// Said in per cent; other figures are ranks, or measures of their own.
const SHARE = /(^|\/)(R@|top-|mean_per_class|accuracy|recall|precision|exact|refused|lost|gain|matching\/|answers\/|pointing)/;
const runs = signal({ list: null, error: null });

async function read() {
  try {
    runs.value = { list: (await ask("/api/runs")).runs, error: null };
  } catch (error) {
    runs.value = { list: null, error };
  }
}

// {name: {value, low, high, chance}}, however deep metrics.json keeps them.
function figuresOf(said, before = "") {
  return Object.entries(said ?? {}).flatMap(([name, figure]) => {
    if (figure === null || typeof figure !== "object" || Array.isArray(figure)) return [];
    if (typeof figure.value === "number") return [[before + name, figure]];
    return figuresOf(figure, name === "figures" ? before : `${before}${name}/`);
  });
}

const SPLIT = /^(seen|held-out-[^/]+)\//; // of scenes, which have each figure for several
const rank = ([name]) => {
  const place = FIRST.indexOf(name.replace(SPLIT, ""));
  return place < 0 ? FIRST.length : place;
};
const said = (name) => name.split("/").map((part) => DIRECTIONS[part] ?? part.replaceAll("_", " ")).join(", ");
const plain = (value) => String(Number(value.toPrecision(3)));
const share = (value) => (value && Math.abs(value) < 0.01 ? plain(100 * value) : (100 * value).toFixed(1));
function number(name, value) {
  if (typeof value !== "number") return "";
  return SHARE.test(name) ? `${share(value)}\u202f%` : plain(value);
}
const interval = (name, { low, high }) =>
  typeof low === "number" ? `${number(name, low).replace("\u202f%", "")} to ${number(name, high)}` : "";

const Table = ({ figures, name }) => html`<div class="scroll" tabindex="0" role="region" aria-label=${`Figures of ${name}`}><table>
  <thead><tr><th scope="col">figure</th><th scope="col">value</th><th scope="col">95 %</th><th scope="col">by chance</th></tr></thead>
  <tbody>${figures.map(([each, figure]) => html`<tr><th scope="row">${said(each)}</th><td>${number(each, figure.value)}</td>
    <td>${interval(each, figure)}</td><td>${number(each, figure.chance)}</td></tr>`)}</tbody></table></div>`;

function Run({ run }) {
  const figures = figuresOf(run.figures);
  const first = [...figures].sort((one, two) => rank(one) - rank(two)).slice(0, MOST);
  return html`<article class="run">
    <header><h2>${run.name}</h2><span class="dim">${run.recipe}</span>
      ${run.report && html`<a href=${run.report} target="_blank" rel="noopener" aria-label=${`Report of ${run.name}`}>Report ↗</a>`}</header>
    ${figures.length ? html`<${Table} figures=${first} name=${run.name} />` : html`<p class="dim">No figures yet: the run is not finished.</p>`}
    ${figures.length > MOST && html`<details><summary>All ${figures.length} figures</summary><${Table} figures=${figures} name=${`${run.name}, all`} /></details>`}
  </article>`;
}

export function Runs() {
  useEffect(() => void read(), []);
  document.title = "Runs · amodal";
  const { list, error } = runs.value;
  return html`<main id="main">
    <h1>Runs</h1>
    ${error && html`<${Failure} error=${error} again=${read} />`}
    ${list?.length === 0 && html`<section class="empty"><p>No run yet. Train one, and say where runs lie:</p>
      <pre><code>amodal train transfer --data PAIRS.csv --out runs/first
amodal serve --runs runs</code></pre></section>`}
    <div class="runs">${list?.map((run) => html`<${Run} key=${run.name} run=${run} />`)}</div>
  </main>`;
}
