// What is asked: the box, its chips, the cut and the order.
import { address, change, go, keep } from "./address.js";
import { asked, found, parsed } from "./asking.js";
import { Filters } from "./filters.js";
import { enterGrid } from "./grid.js";
import { say } from "./notice.js";
import { nameOf, picturesOf, thumbnail, upload } from "./uploads.js";
import { html, percent, signal, useEffect, useState } from "./view.js";

const filtering = signal(false);

export async function addPictures(files, sign = 1) {
  const chips = [];
  for (const file of files) chips.push({ upload: await upload(file), sign });
  go({ view: "search", chips: [...address.peek().chips, ...chips] });
  document.getElementById("box")?.focus();
}

const addContent = (sign) => (result) =>
  go({ view: "search", chips: [...address.peek().chips, { content: result.content, sign }] });
export const moreLike = addContent(1);
export const lessLike = addContent(-1);

// What is in the box becomes chips, and the box is free for more.
function keepWords() {
  const { words, away } = parsed(address.peek().q);
  const chips = away.map((word) => ({ words: word, sign: -1 }));
  if (words) chips.unshift({ words, sign: 1 });
  if (chips.length) go({ q: "", chips: [...address.peek().chips, ...chips] });
  document.getElementById("box").focus();
}

// "-people " is done: it becomes a chip.
function typed(event) {
  const q = event.target.value;
  const { words, away } = parsed(q);
  const quotes = q.split('"').length - 1;
  if (!away.length || !/\s$/.test(q) || quotes % 2) return change({ q });
  const chips = [...address.peek().chips, ...away.map((word) => ({ words: word, sign: -1 }))];
  change({ q: words && `${words} `, chips });
}

function boxKeys(event) {
  if (event.key === "Enter") {
    event.preventDefault();
    const { q, chips } = address.peek();
    const { words, away } = parsed(q);
    keep({ q: words, chips: [...chips, ...away.map((word) => ({ words: word, sign: -1 }))] });
  } else if (event.key === "ArrowDown") {
    event.preventDefault();
    enterGrid();
  } else if (event.key === "Backspace" && !event.target.value && address.peek().chips.length) {
    change({ chips: address.peek().chips.slice(0, -1) });
  } else if (event.key === "Escape" && event.target.value) change({ q: "" });
}

function takeAway() {
  const q = address.peek().q.trim();
  if (!/(^|\s)-$/.test(q)) change({ q: `${q} -`.trim() });
  document.getElementById("box").focus();
}

function Chip({ chip, number }) {
  const { chips } = address.value;
  const [broken, setBroken] = useState(false);
  const text = chip.words ?? nameOf(chip);
  const turned = chips.map((each, place) => (place === number ? { ...each, sign: -each.sign } : each));
  const left = chips.filter((_, place) => place !== number);
  return html`<li class=${`chip ${chip.sign > 0 ? "" : "away"}`}>
    <button type="button" class="sign" onClick=${() => go({ chips: turned })}
      aria-label=${`${text}: ${chip.sign > 0 ? "asked for; take it away" : "taken away; ask for it"}`}>
      ${chip.sign > 0 ? "+" : "−"}</button>
    ${chip.words || broken ? html`<span dir="auto">${text}</span>`
      : html`<img src=${thumbnail(chip)} alt=${text} onError=${() => setBroken(true)} />`}
    <button type="button" class="drop-chip" aria-label=${`Remove ${text}`}
      onClick=${() => (go({ chips: left }), document.getElementById("box").focus())}>×</button>
  </li>`;
}

function ChoosePicture() {
  const chosen = (event) => {
    addPictures(picturesOf(event.target)).catch((error) => say(error.message));
    event.target.value = "";
  };
  return html`<label class="choose"><input type="file" accept="image/*" multiple class="unseen"
    aria-label="Search with a picture" onChange=${chosen} /><span aria-hidden="true">Picture</span></label>`;
}

export function Box() {
  const { q, chips, where } = address.value;
  const { sort, terms } = asked.value;
  return html`<search class="ask"><form onSubmit=${(event) => event.preventDefault()}>
    <div class="box">
      ${chips.length > 0 && html`<ul class="chips" role="list" aria-label="Terms">
        ${chips.map((chip, number) => html`<${Chip} key=${chip.words ?? chip.upload ?? chip.content} chip=${chip} number=${number} />`)}</ul>`}
      <input id="box" type="search" value=${q} onInput=${typed} onKeyDown=${boxKeys} autocomplete="off"
        enterkeyhint="search" spellcheck=${false} dir="auto" aria-label="Words that the pictures should show"
        placeholder=${chips.length ? "and …" : "Describe a picture, or drop one here"} />
    </div>
    <div class="row">
      <${ChoosePicture} />
      <button type="button" class="soft" onClick=${keepWords} disabled=${!q.trim()}>Add words</button>
      <button type="button" class="soft" onClick=${takeAway}>Take words away</button>
      <button type="button" class="soft" aria-expanded=${filtering.value} aria-controls="filters"
        onClick=${() => (filtering.value = !filtering.value)}>Filter${where.length > 0 && ` (${where.length})`}</button>
      <${Cut} />
      <label class="sort">Sort <select value=${sort} disabled=${!terms.length} onChange=${(event) => change({ sort: event.target.value })}>
        <option value="score">best first</option><option value="date">newest first</option></select></label>
    </div>
    <${Filters} open=${filtering.value} />
  </form></search>`;
}

// The cut: a chance where the model has chances for this query, else a cosine up to the best one found.
function Cut() {
  const { chances, terms } = asked.value;
  const name = chances ? "chance" : "at";
  const value = address.value[name] ?? 0;
  const [reach, setReach] = useState(0.5);
  const best = Math.max(0, ...found.value.results.map((result) => result.score ?? 0));
  useEffect(() => {
    if (best > 0 && value === 0) setReach(Math.min(0.99, Math.max(0.05, Math.floor(best * 100) / 100)));
  }, [best, value]);
  const most = chances ? 0.99 : Math.max(reach, value);
  const text = value === 0 ? "all" : chances ? `from ${percent(value)}` : `from ${value.toFixed(2)}`;
  return html`<label class="cut">Cut
    <input type="range" min="0" max=${most} step="0.01" value=${value} disabled=${!terms.length}
      aria-label=${chances ? "Least probability" : "Least cosine"} aria-valuetext=${text}
      onInput=${(event) => change({ [name]: Number(event.target.value) || null })} />
    <output>${text}</output></label>`;
}
