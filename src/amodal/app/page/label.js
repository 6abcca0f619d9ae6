// Pictures labelled with the person's own labels; answers come while the labels are written.
import { address, change, go, lost } from "./address.js";
import { announce, Failure, say } from "./notice.js";
import { ask, service } from "./service.js";
import { nameOf, picturesOf, sent, thumbnail, upload, uploads } from "./uploads.js";
import { computed, effect, html, percent, plural, signal, untracked, useState } from "./view.js";

const PAUSE = 150; // milliseconds without a key
const SHOWN = 8; // labels of a picture, before the rest is asked for
const answered = signal({ key: "", results: [], error: null });

export async function addTo(files) {
  const shown = [];
  for (const file of files) shown.push({ upload: await upload(file) });
  go({ shown: [...address.peek().shown, ...shown] });
}

export const labelsOf = (text) => [...new Set(text.split(/[\n,;]/).map((label) => label.trim()).filter(Boolean))];

const body = computed(() => {
  const { view, labels, shown } = address.value;
  const ready = view === "label" && service.value.state === "ready" && labels.length > 1 && shown.length > 0;
  return ready ? JSON.stringify({ labels, shown }) : "";
});

let running = null;
let waiting = 0;

async function label(key) {
  const mine = (running = new AbortController());
  const { labels, shown } = JSON.parse(key);
  try {
    const pictures = shown.filter((each) => !each.upload || uploads.has(each.upload)).map(sent);
    const { results } = await ask("/api/classify", { pictures, labels }, mine.signal);
    if (mine !== running) return;
    answered.value = { key, results, error: null };
    announce(results.map((result, place) => `${nameOf(shown[place])}: ${verdict(result)}`).join(". "));
  } catch (error) {
    if (error.name !== "AbortError" && mine === running) answered.value = { key, results: [], error };
  }
}

effect(() => {
  const key = body.value;
  clearTimeout(waiting);
  running?.abort();
  if (key) waiting = setTimeout(() => untracked(() => label(key)), PAUSE);
});

const figure = ({ probability, cosine }) => (probability === null ? cosine.toFixed(3) : percent(probability));
const verdict = (result) =>
  result.no_match ? "no label fits" : `${result.labels[0].label}, ${figure(result.labels[0])}`;

function Answer({ picture, result, remove }) {
  const [all, setAll] = useState(false);
  const labels = all ? result?.labels : result?.labels.slice(0, SHOWN);
  const rest = (result?.labels.length ?? 0) - SHOWN;
  return html`<article class="answer">
    <img src=${thumbnail(picture)} alt=${nameOf(picture)} />
    <div>
      <p class="dim name">${nameOf(picture)}</p>
      ${result?.no_match && html`<p class="none"><strong>No label fits.</strong> The nearest:</p>`}
      ${labels && html`<ol class="bars" role="list">${labels.map((each) => html`<li>
        <span dir="auto">${each.label}</span><meter min="0" max="1" value=${each.probability ?? each.share} aria-hidden="true"></meter>
        <span class="chance">${figure(each)}</span></li>`)}</ol>`}
      ${rest > 0 && html`<button type="button" class="soft" onClick=${() => setAll(!all)}>${all ? "Fewer" : `${rest} more`}</button>`}
    </div>
    <button type="button" class="drop-chip" aria-label=${`Remove ${nameOf(picture)}`} onClick=${remove}>×</button>
  </article>`;
}

export function Label() {
  const { labels, shown } = address.value;
  const [text, setText] = useState(labels.join(", "));
  const { key, results, error } = answered.value;
  const current = JSON.parse(key || '{"shown": []}').shown;
  const resultOf = (picture) => results[current.findIndex((each) => JSON.stringify(each) === JSON.stringify(picture))];
  document.title = "Label · amodal";
  const write = (event) => {
    setText(event.target.value);
    change({ labels: labelsOf(event.target.value) });
  };
  const choose = (event) => {
    addTo(picturesOf(event.target)).catch((wrong) => say(wrong.message));
    event.target.value = "";
  };
  return html`<main id="main" class="label">
    <h1>Label pictures</h1>
    <label>Your labels, at least two, with commas or a line each
      <textarea rows="3" value=${text} onInput=${write} dir="auto" placeholder="cat, dog, a cup of coffee"></textarea></label>
    <label class="choose wide"><input type="file" accept="image/*" multiple class="unseen" onChange=${choose}
      aria-label="Choose pictures to label" /><span aria-hidden="true">Choose pictures, drop or paste them</span></label>
    ${lost.value && html`<p class="note">An uploaded picture lives only as long as its tab; drop it again to label it.</p>`}
    ${shown.length > 0 && labels.length < 2 && html`<p class="note">${plural(labels.length, "label")} so far; give at least two.</p>`}
    ${service.value.model?.calibrated?.labels === false && html`<p class="note">The figures are cosines: this model is not calibrated for labels. The bars are shares among your labels.</p>`}
    ${body.value && error && html`<${Failure} error=${error} />`}
    <div class="answers" aria-busy=${Boolean(body.value) && body.value !== key}>
      ${shown.map((picture, place) => html`<${Answer} key=${picture.upload ?? picture.content} picture=${picture}
        result=${labels.length > 1 ? resultOf(picture) : null}
        remove=${() => go({ shown: shown.filter((_, other) => other !== place) })} />`)}
    </div>
  </main>`;
}
