// Filters on what the index keeps of a picture, built from menus or written in SQL; each stands as a chip.
import { address, go } from "./address.js";
import { service } from "./service.js";
import { html, useState } from "./view.js";

const text = (value) => `'${value.replaceAll("'", "''")}'`;
const number = (value) => String(Number(value));
const time = (value) => `timestamp '${value} 00:00:00'`;
const compared = (sign, form) => (name, value) => `${name} ${sign} ${form(value)}`;
// How a column is asked, by the kind of its type: [what the menu says, the clause].
const WAYS = {
  text: [["is", compared("=", text)], ["contains", (name, value) => `${name} ILIKE ${text(`%${value}%`)}`]],
  number: [["is", compared("=", number)], ["is at least", compared(">=", number)], ["is at most", compared("<=", number)]],
  date: [["is from", compared(">=", time)], ["is before", compared("<", time)]],
  texts: [["contain", (name, value) => `CAST(${name} AS string) ILIKE ${text(`%${value}%`)}`]], // any of them
};
const FIELD = { text: "text", number: "number", date: "date", texts: "text" };

const column = (name) => (/^[a-z_][a-z0-9_]*$/.test(name) ? name : `\`${name}\``);
const add = (clause) => address.peek().where.includes(clause) || go({ where: [...address.peek().where, clause] });

function Clauses() {
  const { where } = address.value;
  return where.length > 0 && html`<ul class="chips" role="list" aria-label="Filters">
    ${where.map((clause) => html`<li class="chip"><code>${clause}</code>
      <button type="button" class="drop-chip" aria-label=${`Remove the filter ${clause}`}
        onClick=${() => go({ where: where.filter((each) => each !== clause) })}>×</button></li>`)}</ul>`;
}

export function Filters({ open }) {
  const attributes = service.value.index.attributes ?? [];
  const [name, setName] = useState(attributes[0]?.name ?? "");
  const [way, setWay] = useState(0);
  const [value, setValue] = useState("");
  const [sql, setSql] = useState("");
  const kind = attributes.find((each) => each.name === name)?.type ?? "text";
  const addBuilt = () => value.trim() && (add(WAYS[kind][way][1](column(name), value.trim())), setValue(""));
  const addWritten = () => sql.trim() && (add(sql.trim()), setSql(""));
  const enter = (then) => (event) => event.key === "Enter" && (event.preventDefault(), then());
  return html`<${Clauses} />
  <section id="filters" class="filters" hidden=${!open} aria-label="Filter by">
    ${attributes.length > 0 && html`<div class="row">
      <select aria-label="Attribute" value=${name} onChange=${(event) => (setName(event.target.value), setWay(0))}>
        ${attributes.map((each) => html`<option>${each.name}</option>`)}</select>
      <select aria-label="How" value=${way} onChange=${(event) => setWay(Number(event.target.value))}>
        ${WAYS[kind].map(([says], place) => html`<option value=${place}>${says}</option>`)}</select>
      <input type=${FIELD[kind]} step="any" aria-label="Value" value=${value}
        onInput=${(event) => setValue(event.target.value)} onKeyDown=${enter(addBuilt)} />
      <button type="button" onClick=${addBuilt}>Add filter</button></div>`}
    <div class="row"><input type="text" aria-label="Filter in SQL" placeholder="or in SQL: year > 2015 AND camera LIKE 'Canon%'"
      value=${sql} onInput=${(event) => setSql(event.target.value)} onKeyDown=${enter(addWritten)} />
      <button type="button" onClick=${addWritten}>Add SQL</button></div>
  </section>`;
}
