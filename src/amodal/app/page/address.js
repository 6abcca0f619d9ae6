// The state of the page, which is its address: reload, back and a shared link give the same view.
//
// Uploads have no address. They stay in memory under a number, and the history entry of this tab remembers where they
// stood; after a reload they are gone, and `lost` says where.
import { signal } from "./view.js";
import { uploads } from "./uploads.js";

const EMPTY = {
  view: "search", q: "", chips: [], where: [], at: null, chance: null, sort: "score",
  picture: "", see: "", labels: [], shown: [],
};
const VIEWS = ["search", "picture", "label", "runs", "index"];
const WRITE_AFTER = 300; // milliseconds: browsers refuse to write the address at every key

export const lost = signal([]); // "chips", "shown": where uploads stood that are gone
export const address = signal(read());

// chips: {words | content | upload, sign}; shown: {content | upload}.
function read() {
  const state = { ...EMPTY, chips: [], where: [], labels: [], shown: [] };
  for (const [name, value] of new URLSearchParams(location.search)) {
    if (name === "view" && VIEWS.includes(value)) state.view = value;
    else if (["q", "picture", "see"].includes(name)) state[name] = value;
    else if (name === "sort" && value === "date") state.sort = value;
    else if (name === "at" || name === "chance") state[name] = Number.isFinite(Number(value)) ? Number(value) : null;
    else if (name === "with" || name === "without") state.chips.push({ words: value, sign: name === "with" ? 1 : -1 });
    else if (name === "like" || name === "unlike") state.chips.push({ content: value, sign: name === "like" ? 1 : -1 });
    else if (name === "where") state.where.push(value);
    else if (name === "label") state.labels.push(value);
    else if (name === "shown") state.shown.push({ content: value });
  }
  const gone = [];
  for (const name of ["chips", "shown"]) {
    const kept = history.state?.[name];
    if (!kept) continue;
    state[name] = kept.filter((each) => !each.upload || uploads.has(each.upload));
    if (state[name].length < kept.length) gone.push(name);
  }
  lost.value = gone;
  return state;
}

export function addressOf(state) {
  const said = new URLSearchParams();
  if (state.view !== "search") said.set("view", state.view);
  for (const name of ["q", "picture", "see"]) if (state[name]) said.set(name, state[name]);
  for (const chip of state.chips) {
    if (chip.words) said.append(chip.sign > 0 ? "with" : "without", chip.words);
    else if (chip.content) said.append(chip.sign > 0 ? "like" : "unlike", chip.content);
  }
  for (const clause of state.where) said.append("where", clause);
  for (const name of ["at", "chance"]) if (state[name] !== null) said.set(name, String(state[name]));
  if (state.sort !== "score") said.set("sort", state.sort);
  for (const label of state.labels) said.append("label", label);
  for (const each of state.shown) if (each.content) said.append("shown", each.content);
  const text = said.toString();
  return text ? `/?${text}` : "/";
}

const remembered = (state, before) => ({ chips: state.chips, shown: state.shown, before });
let waiting = 0;
let kept = false; // whether the entry is one to come back to, which typing must not write over

function write() {
  clearTimeout(waiting);
  waiting = 0;
  history.replaceState(remembered(address.peek(), history.state?.before), "", addressOf(address.peek()));
}

// The state with changes: what is given anew is not missed any more.
function changed(changes) {
  lost.value = lost.peek().filter((name) => !(name in changes));
  return { ...address.peek(), ...changes };
}

// Another place: the back button returns from it.
export function go(changes) {
  if (waiting) write();
  const state = changed(changes);
  history.pushState(remembered(state, address.peek().view), "", addressOf(state));
  address.value = state;
  kept = true;
}

// The same place, as it is now, is one to come back to.
export function keep(changes) {
  exchange(changes);
  kept = true;
}

// Another of the same kind, as the next picture: the back button does not return to each.
export function exchange(changes) {
  address.value = changed(changes);
  write();
}

// Back to a view, by the browser's own way where that leads there.
export function backTo(view) {
  if (history.state?.before === view) history.back();
  else go({ view });
}

// The same place, told more exactly, as while typing.
export function change(changes) {
  if (kept) {
    go(changes);
    kept = false;
    return;
  }
  address.value = changed(changes);
  clearTimeout(waiting);
  waiting = setTimeout(write, WRITE_AFTER);
}

// What a link leads to, with what is asked kept.
export const linkTo = (changes) => addressOf({ ...address.value, ...changes });

// A plain click on a link of ours stays in the page; with Ctrl and the like it is the browser's.
export const follow = (changes, by = go) => (event) => {
  if (event.ctrlKey || event.metaKey || event.shiftKey || event.altKey || event.button) return;
  event.preventDefault();
  by(changes);
};

addEventListener("popstate", () => {
  clearTimeout(waiting);
  waiting = 0;
  kept = true;
  address.value = read();
});
addEventListener("pagehide", () => waiting && write());
