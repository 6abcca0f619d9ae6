// Pictures in justified rows: each keeps its shape, the place is taken before the picture is there, and the arrows walk.
import { follow, linkTo } from "./address.js";
import { baseName, html, percent, plural } from "./view.js";

const NARROWEST = 0.6; // width over height; what is beyond is cropped
const WIDEST = 2.6;
const AT_ONCE = 12; // thumbnails that are asked for though they may be below the fold

// Several terms and models without calibration have cosines alone.
export const chanceOf = (result) =>
  result.probability !== null ? percent(result.probability) : result.score === null ? "" : result.score.toFixed(3);
const meaning = (result) => (result.probability !== null ? "likely" : "cosine");

function ratioOf(result) {
  if (!result.width || !result.height) return 1;
  return Math.min(WIDEST, Math.max(NARROWEST, result.width / result.height));
}

const said = (result) => result.kept?.captions?.[0] || baseName(result.path);

function Tile({ result, number, onMore, onLess }) {
  const place = { picture: result.content, view: "picture" };
  const copies = result.copies?.length ?? 0;
  const chance = chanceOf(result);
  return html`<li class="tile" style=${{ "--ratio": ratioOf(result).toFixed(3) }}>
    <a href=${linkTo(place)} onClick=${follow(place)} tabindex=${number === 0 ? 0 : -1} data-content=${result.content}
      title=${result.path}>
      <img src=${`/api/pictures/${result.content}/thumbnail`} alt="" decoding="async" loading=${number < AT_ONCE ? "eager" : "lazy"} draggable=${false} />
      <span class="under"><span class="name" dir="auto">${said(result)}</span>
        ${result.exact && html`<span class="mark">by name</span>`}
        ${copies > 0 && html`<span class="mark" title=${`and ${plural(copies, "near-duplicate")}`}><span aria-hidden="true">+${copies}</span>
          <span class="unseen">and ${plural(copies, "near-duplicate")}</span></span>`}
        ${chance && html`<span class="chance" title=${meaning(result)}>${chance}<span class="unseen"> ${meaning(result)}</span></span>`}
      </span>
    </a>
    ${onMore && html`<span class="actions">
      <button type="button" tabindex="-1" title="More like this (+)" aria-label=${`More like ${said(result)}`}
        onClick=${() => onMore(result)}>+</button>
      <button type="button" tabindex="-1" title="Less like this (−)" aria-label=${`Less like ${said(result)}`}
        onClick=${() => onLess(result)}>−</button></span>`}
  </li>`;
}

// Above or below: the tile of the next row whose middle is nearest.
function vertical(links, from, step) {
  const here = links[from].getBoundingClientRect();
  const middle = here.left + here.width / 2;
  const boxes = links.map((link) => link.getBoundingClientRect());
  const beyond = boxes.map((box) => (step > 0 ? box.top - here.top : here.top - box.top));
  const row = Math.min(...beyond.filter((way) => way > 4));
  const aside = (number) => Math.abs(boxes[number].left + boxes[number].width / 2 - middle);
  const there = links.map((_, number) => number).filter((number) => Math.abs(beyond[number] - row) <= 4);
  return there.sort((one, two) => aside(one) - aside(two))[0];
}

const STEPS = {
  ArrowRight: (links, from) => from + 1,
  ArrowLeft: (links, from) => from - 1,
  ArrowDown: (links, from) => vertical(links, from, 1),
  ArrowUp: (links, from) => vertical(links, from, -1) ?? -1,
  Home: () => 0,
  End: (links) => links.length - 1,
};

function walk(event, results, { onMore, onLess, onLeave }) {
  const grid = event.currentTarget;
  const links = [...grid.querySelectorAll("a[data-content]")];
  const from = links.indexOf(event.target.closest("a[data-content]"));
  if (from < 0 || event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.key === "+" && onMore) return onMore(results[from]);
  if (event.key === "-" && onLess) return onLess(results[from]);
  const to = STEPS[event.key]?.(links, from);
  if (to === undefined) return;
  event.preventDefault();
  if (to < 0) return onLeave?.();
  focusOn(links, links[to]);
}

// One tile of the grid is in the order of the Tab key: the last that had the focus.
function focusOn(links, link) {
  if (!link) return;
  for (const each of links) each.tabIndex = each === link ? 0 : -1;
  link.focus();
  link.scrollIntoView({ block: "nearest" });
}

export function enterGrid(content) {
  const links = [...document.querySelectorAll(".grid a[data-content]")];
  focusOn(links, links.find((link) => link.dataset.content === content) ?? links[0]);
}

export const Grid = ({ results, label, ...does }) => html`<ul class="grid" role="list" aria-label=${label}
  onKeyDown=${(event) => walk(event, results, does)}>
  ${results.map((result, number) => html`<${Tile} key=${result.content} result=${result} number=${number} ...${does} />`)}
</ul>`;
