// Pictures labelled with the person's own labels; answers come while the labels are written.
import { address, change, go, lost } from "./address.js";
import { announce, Failure, say } from "./notice.js";
import { ask, service } from "./service.js";
import { nameOf, picturesOf, sent, thumbnail, upload } from "./uploads.js";
import { computed, effect, html, percent, plural, signal, untracked, useState } from "./view.js";

const PAUSE = 150; // milliseconds without a key
const SHOWN = 8; // labels of a picture, before the rest is asked for
// answers: of each picture the latest, and the labels that it is for.
const answered = signal({ answers: new Map(), error: null });

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

const keyOf = (picture) => picture.upload ?? picture.content;
const isAnswered = (picture, labels) => String(answered.value.answers.get(keyOf(picture))?.given) === String(labels);

// As many pictures a request as the service takes.
function partsOf(pictures) {
  const most = service.peek().limits.pictures;
  return pictures.flatMap((_, place) => (place % most ? [] : [pictures.slice(place, place + most)]));
}

let running = null;
let waiting = 0;

// Asks for what has no answer yet for these labels.
async function label({ labels, shown }) {
  const mine = (running = new AbortController());
  answered.value = { ...answered.peek(), error: null };
  try {
    for (const part of partsOf(shown.filter((picture) => !isAnswered(picture, labels)))) {
      const { results } = await ask("/api/classify", { pictures: part.map(sent), labels }, mine.signal);
      if (mine !== running) return;
      const answers = new Map(answered.peek().answers);
      part.forEach((picture, place) => answers.set(keyOf(picture), { ...results[place], given: labels }));
      answered.value = { answers, error: null };
    }
    const { answers } = answered.peek();
    announce(shown.map((picture) => `${nameOf(picture)}: ${verdict(answers.get(keyOf(picture)))}`).join(". "));
  } catch (error) {
    if (error.name !== "AbortError" && mine === running) answered.value = { ...answered.peek(), error };
  }
}

effect(() => {
  const asked = body.value;
  clearTimeout(waiting);
  running?.abort();
  if (asked) waiting = setTimeout(() => untracked(() => label(JSON.parse(asked))), PAUSE);
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
  const [typed, setTyped] = useState("");
  const text = String(labelsOf(typed)) === String(labels) ? typed : labels.join(", "); // Back leads to other labels
  const { answers, error } = answered.value;
  document.title = "Label · amodal";
  const write = (event) => {
    setTyped(event.target.value);
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
    ${lost.value.includes("shown") && html`<p class="note">An uploaded picture lives only as long as its tab; drop it again to label it.</p>`}
    ${shown.length > 0 && labels.length < 2 && html`<p class="note">${plural(labels.length, "label")} so far; give at least two.</p>`}
    ${service.value.model?.calibrated?.labels === false && html`<p class="note">The figures are cosines: this model is not calibrated for labels. The bars are shares among your labels.</p>`}
    ${body.value && error && html`<${Failure} error=${error} again=${() => label({ labels, shown })} />`}
    <div class="answers" aria-busy=${Boolean(body.value) && !error && !shown.every((each) => isAnswered(each, labels))}>
      ${shown.map((picture, place) => html`<${Answer} key=${keyOf(picture)} picture=${picture}
        result=${labels.length > 1 ? answers.get(keyOf(picture)) : null}
        remove=${() => go({ shown: shown.filter((_, other) => other !== place) })} />`)}
    </div>
  </main>`;
}
