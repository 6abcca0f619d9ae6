// What every view is written with: templates, hooks and signals of the libraries in vendor/.
import { h } from "./vendor/preact.js";
import htm from "./vendor/htm.js";

export const html = htm.bind(h);
export { render } from "./vendor/preact.js";
export { useEffect, useLayoutEffect, useRef, useState } from "./vendor/hooks.js";
export { batch, computed, effect, signal, untracked } from "./vendor/signals.js";

// 0.874 -> "87 %"; a chance is never told as certain.
export const percent = (chance) =>
  chance < 0.01 ? "<1\u202f%" : chance > 0.99 ? ">99\u202f%" : `${Math.round(100 * chance)}\u202f%`;
export const count = (number) => number.toLocaleString("en");
export const plural = (number, one, many = `${one}s`) => `${count(number)} ${number === 1 ? one : many}`;
// The last part of a path or of a shard's key.
export const baseName = (path) => path.split(/[\\/]/).filter(Boolean).pop() ?? path;
// Whether a key is meant for the field it was pressed in.
export const isWriting = (event) => event.target.matches?.("textarea, select, input:not([type=file], [type=range])");
