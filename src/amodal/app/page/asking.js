// From what stands in the address to pictures: the latest query wins, whatever order the answers come in.
import { address } from "./address.js";
import { say } from "./notice.js";
import { ask, service } from "./service.js";
import { sent, uploads } from "./uploads.js";
import { computed, effect, signal, untracked } from "./view.js";

export const TOP = 48;
const PAUSE = 10; // milliseconds without a key before a query goes out
const PATIENCE = 300; // milliseconds that a query waits for the one before it: two at once are slower than in turn
const AWAY = /(^|\s)-("[^"]+"?|[^\s"]\S*)/g;
const BARE = /(^|\s)-"?(?=\s|$)/g; // a minus before its word is written

// state: "idle" | "asking" | "done" | "failed"
export const found = signal({ state: "idle", results: [], page: 0, total: 0, more: false, no_match: null, notes: [] });

// "snow -people" -> what is asked for and what is taken away.
export function parsed(text) {
  const away = [...text.matchAll(AWAY)].map((each) => each[2].replaceAll('"', "").trim()).filter(Boolean);
  return { words: text.replace(AWAY, " ").replace(BARE, " ").replace(/\s+/g, " ").trim(), away };
}

function termsOf({ q, chips }) {
  const { words, away } = parsed(q);
  const terms = chips
    .filter((chip) => !chip.upload || uploads.has(chip.upload))
    .map((chip) => ({ ...(chip.words ? { words: chip.words } : { picture: sent(chip) }), weight: chip.sign }));
  if (words) terms.unshift({ words, weight: 1 });
  return [...terms, ...away.map((word) => ({ words: word, weight: -1 }))];
}

// Words alone, and one of them: the only query whose answers have a probability.
const isWords = (terms) => terms.length === 1 && "words" in terms[0] && terms[0].weight > 0;

export const asked = computed(() => {
  const { where, at, chance, sort } = address.value;
  const terms = termsOf(address.value);
  const chances = isWords(terms) && Boolean(service.value.model?.calibrated?.words);
  return {
    terms, chances, sort: terms.length ? sort : "date",
    where: where.map((clause) => (where.length > 1 ? `(${clause})` : clause)).join(" AND "),
    at_least: chances ? null : at, probability_at_least: chances ? chance : null,
  };
});
// The query as it goes out. A computed text, so that what changes nothing asks nothing.
const body = computed(() => {
  const { chances, ...said } = asked.value;
  return JSON.stringify(said);
});
export const isReady = computed(() => service.value.state === "ready" && service.value.index !== null);

let running = null;
let begun = 0;
let waiting = 0;
let isLater = false; // whether another query waits for the running one

// Asks for a page; page 1 takes the place of what was there.
async function fetchPage(page) {
  running?.abort();
  const mine = (running = new AbortController());
  [begun, isLater] = [performance.now(), false];
  const before = found.peek();
  found.value = { ...before, state: "asking", error: null };
  try {
    const said = await ask("/api/search", { ...JSON.parse(body.peek()), top: TOP, page }, mine.signal);
    if (mine !== running || isLater) return;
    const results = page === 1 ? said.results : [...before.results, ...said.results];
    found.value = { ...said, results, state: "done", no_match: page === 1 ? said.no_match : before.no_match };
  } catch (error) {
    if (error.name === "AbortError" || mine !== running) return;
    found.value = page === 1 ? { ...before, state: "failed", error } : { ...before, state: "done" };
    if (page > 1) say(error.message);
  } finally {
    if (mine === running) {
      running = null;
      if (isLater) next();
    }
  }
}

// Sends what is asked now: at once, or when the running query is answered or has had its time.
function next() {
  clearTimeout(waiting);
  const left = running ? begun + PATIENCE - performance.now() : 0;
  isLater = left > 0;
  if (isLater) waiting = setTimeout(next, left);
  else untracked(again);
}

export const again = () => fetchPage(1);
export const more = () => fetchPage(found.peek().page + 1);

effect(() => {
  if (!isReady.value || !body.value) return;
  clearTimeout(waiting);
  isLater = running !== null; // its answer is of no use any more
  waiting = setTimeout(next, PAUSE);
});
