// Light, dark, or as the system says; kept in this browser.
import { html, signal } from "./view.js";

const NEXT = { auto: "light", light: "dark", dark: "auto" };
const SIGN = { auto: "◐", light: "☀", dark: "☾" };
const theme = signal(localStorage.getItem("theme") ?? "auto");

function turn() {
  theme.value = NEXT[theme.value];
  if (theme.value === "auto") {
    localStorage.removeItem("theme");
    delete document.documentElement.dataset.theme;
  } else {
    localStorage.setItem("theme", theme.value);
    document.documentElement.dataset.theme = theme.value;
  }
}

export const ThemeButton = () => html`<button type="button" class="quiet" onClick=${turn}
  aria-label=${`Theme: ${theme.value === "auto" ? "as the system" : theme.value}`} title="Theme">${SIGN[theme.value]}</button>`;
