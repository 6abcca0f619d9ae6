// The map of what matched: each word's places over the picture, boxes around phrases, and how sure the model is.
import { exchange } from "./address.js";
import { Failure } from "./notice.js";
import { ask } from "./service.js";
import { html, percent, signal, useEffect, useLayoutEffect, useRef, useState } from "./view.js";

const HEAT = [234, 88, 12]; // red, green, blue
const STRONGEST = 190; // of 255: the picture stays to be seen
const picked = signal(0);

const peak = (word) => Math.max(...word.map.flat());

// One cell a pixel, the strongest place at full strength; the browser smooths it when it is drawn large.
function paint(canvas, word) {
  const { map } = word;
  const [rows, columns, most] = [map.length, map[0].length, peak(word) || 1];
  Object.assign(canvas, { width: columns, height: rows });
  const pixels = new ImageData(columns, rows);
  map.flat().forEach((value, place) => pixels.data.set([...HEAT, Math.round((STRONGEST * value) / most)], 4 * place));
  canvas.getContext("2d").putImageData(pixels, 0, 0);
}

function Heat({ word }) {
  const canvas = useRef(null);
  useLayoutEffect(() => paint(canvas.current, word), [word]);
  return html`<canvas ref=${canvas} class="heat" aria-hidden="true"></canvas>`;
}

// The thumbnail at once and the file over it as soon as it is there; where it may not be given, the thumbnail stays.
export function Shown({ about, grounding }) {
  const [whole, setWhole] = useState("");
  const file = `/api/pictures/${about.content}/file`;
  useEffect(() => {
    const loading = new Image();
    loading.onload = () => setWhole(file);
    loading.src = file;
    return () => (loading.onload = null);
  }, [file]);
  const [width, height] = [about.width || 1, about.height || 1];
  const answer = grounding.value?.words ? grounding.value : null;
  const word = answer?.words[picked.value];
  return html`<figure class="shown" style=${{ "--ratio": width / height, "--width": `${Math.max(width, 256)}px` }}>
    <img src=${whole === file ? file : `/api/pictures/${about.content}/thumbnail`} alt=${about.captions?.[0] ?? about.path}
      class=${whole === file ? "" : "small"} />
    ${word && html`<${Heat} word=${word} />`}
    ${answer && html`<svg viewBox=${`0 0 ${answer.width} ${answer.height}`} preserveAspectRatio="none" aria-hidden="true">
      ${answer.phrases.map(({ box: [left, top, right, bottom] }) => html`<rect x=${left} y=${top}
        width=${right - left} height=${bottom - top} />`)}</svg>`}
  </figure>`;
}

export function Matched({ content, sentence, grounding }) {
  const [text, setText] = useState(sentence);
  const [error, setError] = useState(null);
  const look = async (event) => {
    event?.preventDefault();
    if (!text.trim()) return;
    setError(null);
    exchange({ see: text.trim() });
    try {
      picked.value = 0;
      grounding.value = await ask("/api/ground", { picture: { content }, sentence: text.trim() });
      picked.value = strongest(grounding.peek());
    } catch (wrong) {
      grounding.value = null;
      setError(wrong);
    }
  };
  useEffect(() => void look(), []);
  const answer = grounding.value;
  return html`<section class="matched" aria-labelledby="matched">
    <h2 id="matched">What matched</h2>
    <form onSubmit=${look}><input type="text" value=${text} dir="auto" aria-label="A sentence to find in the picture"
      placeholder="a red cup left of a spoon" onInput=${(event) => setText(event.target.value)} />
      <button>Find</button></form>
    ${error && html`<${Failure} error=${error} />`}
    ${answer?.words && html`<p aria-live="polite">${answer.score === null ? "" : html`The sentence fits: <strong>${percent(answer.score)}</strong>`}</p>
      <div class="row" role="toolbar" aria-label="Words">${answer.words.map((word, number) => html`<button type="button"
        class="soft" aria-pressed=${picked.value === number} onClick=${() => (picked.value = number)}>${word.text}</button>`)}</div>
      <p class="dim">${answer.words[picked.value].text}: ${percent(peak(answer.words[picked.value]))} at its strongest place</p>
      <ul class="captions">${answer.phrases.map((phrase) => html`<li><span dir="auto">${phrase.text}</span>
        <span class="dim"> ${percent(phrase.score)} at ${place(phrase.box, answer)}</span></li>`)}</ul>`}
  </section>`;
}

// The word with the highest place of all is shown first.
function strongest({ words }) {
  const peaks = words.map(peak);
  return peaks.indexOf(Math.max(...peaks));
}

// A box in words, for who cannot see it.
function place([left, top, right, bottom], { width, height }) {
  const third = (middle, whole, names) => names[Math.min(2, Math.floor((3 * middle) / whole))];
  const across = third((left + right) / 2, width, ["left", "middle", "right"]);
  const down = third((top + bottom) / 2, height, ["top", "centre", "bottom"]);
  return `${down} ${across}`;
}
