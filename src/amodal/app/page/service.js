// The service behind the page: how it is asked, and what it said of itself.
import { signal } from "./view.js";

const AGAIN_AFTER = 700; // milliseconds

// state: "waiting" | "ready" | "failed"; then all of GET /api/status.
export const service = signal({ state: "waiting", index: null, model: null, limits: {} });

// What went wrong, in words for the person; field: of the request.
export class Trouble extends Error {
  constructor(message, status = 0, field = null) {
    super(message);
    Object.assign(this, { status, field });
  }
}

// A GET, or a POST of a body. -> the JSON. Raises Trouble, or AbortError where `signal` said stop.
export async function ask(path, body, signal) {
  const sent = { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) };
  let answer;
  try {
    answer = await fetch(path, body === undefined ? { signal } : { ...sent, signal });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Trouble("The service does not answer. Look whether “amodal serve” is still running, then try again.");
  }
  const said = await answer.json().catch((error) => {
    if (error.name === "AbortError") throw error;
    return null;
  });
  if (answer.ok && said !== null) return said;
  if (answer.status === 401) throw new Trouble("Open the link with the token that “amodal serve” printed.", 401);
  const message = said?.error?.message ?? `The service answered with ${answer.status} and no reason.`;
  throw new Trouble(message, answer.status, said?.error?.field ?? null);
}

// Asks until the model is warm.
export async function greet() {
  try {
    service.value = { state: "ready", ...(await ask("/api/status")) };
  } catch (error) {
    const warming = error.status === 503;
    service.value = { ...service.peek(), state: warming ? "waiting" : "failed", message: error.message };
    if (warming || error.status === 0) setTimeout(greet, AGAIN_AFTER);
  }
}
