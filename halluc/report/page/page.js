"use strict";
// The page's state is its address: #board?benchmark=...; links can be sent and opened.
let data = null;
const parts = {};

// What is shown is gzipped JSON in base64: small, and nothing that a browser would run.
function fromBase64(text) {
  if (Uint8Array.fromBase64) return Uint8Array.fromBase64(text);
  const raw = atob(text), bytes = new Uint8Array(raw.length);
  for (let i = 0; i < raw.length; i++) bytes[i] = raw.charCodeAt(i);
  return bytes;
}

async function unpack(text) {
  return new Response(new Blob([fromBase64(text)]).stream().pipeThrough(new DecompressionStream("gzip"))).json();
}

// Thumbnails are packed already: a line each, in the order in which the data names them.
function pictures(names) {
  const lines = document.getElementById("pictures").textContent.split("\n");
  return Object.fromEntries(names.map((name, i) => [name, `data:image/webp;base64,${lines[i]}`]));
}

const HIDDEN = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]/g;
// Text of files is only ever shown as text; what cannot be seen is named.
function shown(text) {
  return String(text).replace(HIDDEN, (c) => `⟨U+${c.charCodeAt(0).toString(16).toUpperCase().padStart(4, "0")}⟩`);
}

// make("td", {class: "x", onclick: f}, child, ...): attributes are names of ours, never of files.
function make(name, attributes = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
    else if (value === true) element.setAttribute(key, "");
    else if (value !== false && value !== null && value !== undefined) element.setAttribute(key, value);
  }
  for (const child of children.flat(Infinity)) {
    if (child === null || child === undefined) continue;
    element.append(child instanceof Node ? child : document.createTextNode(shown(child)));
  }
  return element;
}

function read() {
  const [part, query] = location.hash.replace(/^#/, "").split("?");
  return { part: parts[part] ? part : Object.keys(parts)[0], query: new URLSearchParams(query || "") };
}

function address(part, values) {
  const query = new URLSearchParams();
  for (const [key, value] of Object.entries(values)) if (value !== "" && value !== null && value !== undefined) query.set(key, value);
  const text = query.toString();
  return `#${part}${text ? "?" + text : ""}`;
}

// Changes some values of the address; where `quiet`, the page is not drawn again.
function change(values, quiet = false) {
  const now = read();
  const all = { ...Object.fromEntries(now.query), ...values };
  history.replaceState(null, "", address(now.part, all));
  if (!quiet) draw();
}

function choice(label, name, options, value, onchange) {
  const select = make("select", { name, onchange: (event) => onchange(event.target.value) },
    options.map(([key, text]) => make("option", { value: key, selected: key === value }, text)));
  return make("label", {}, label, select);
}

function draw() {
  const { part, query } = read();
  for (const link of document.querySelectorAll("#tabs a")) {
    if (link.dataset.part === part) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  const main = document.getElementById("main");
  main.replaceChildren();
  parts[part].draw(main, query);
}

function theme(name) {
  document.documentElement.dataset.theme = name;
  const button = document.getElementById("theme");
  button.textContent = name === "dark" ? "Light" : "Dark";
  button.setAttribute("aria-label", `Switch to the ${name === "dark" ? "light" : "dark"} theme`);
}

async function start() {
  data = await unpack(document.getElementById("data").textContent);
  data.pictures = pictures(data.pictures);
  document.getElementById("title").append(shown(data.title));
  for (const [part, { title, has }] of Object.entries(parts)) {
    if (has && !has()) { delete parts[part]; continue; }
    const link = make("a", { href: `#${part}` }, title);
    link.dataset.part = part;
    document.getElementById("tabs").append(make("li", {}, link));
  }
  theme(matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light");
  document.getElementById("theme").addEventListener("click", () => {
    theme(document.documentElement.dataset.theme === "dark" ? "light" : "dark");
    draw();
  });
  addEventListener("hashchange", draw);
  addEventListener("keydown", (event) => {
    if (event.target.closest("input, select, textarea") || event.ctrlKey || event.metaKey || event.altKey) return;
    const keys = parts[read().part].keys || {};
    if (keys[event.key]) { event.preventDefault(); keys[event.key](); }
  });
  draw();
}

function number(value, digits) {
  if (value === null || value === undefined) return "-";
  return value.toFixed(digits === undefined ? (Math.abs(value) < 10 ? 2 : 1) : digits);
}

function signed(value) { return (value > 0 ? "+" : "") + number(value); }
