"use strict";
// Sorting, searching and the switch of colours; without this script the page shows all the same.
const root = document.documentElement;

function remembered(theme) {
  try {
    if (theme) localStorage.setItem("translate-mix-theme", theme);
    return localStorage.getItem("translate-mix-theme");
  } catch {
    return null; // A browser may keep nothing for a file.
  }
}

// Before the page shows.
const chosen = remembered();
if (chosen === "light" || chosen === "dark") root.dataset.theme = chosen;

function themeSwitch() {
  const button = document.getElementById("theme");
  const preferred = matchMedia("(prefers-color-scheme: dark)");
  const other = () => ((root.dataset.theme || (preferred.matches ? "dark" : "light")) === "dark" ? "light" : "dark");
  const name = () => (button.textContent = other() === "dark" ? "Dark" : "Light");
  button.addEventListener("click", () => {
    root.dataset.theme = other();
    remembered(root.dataset.theme);
    name();
  });
  preferred.addEventListener("change", name);
  name();
  button.hidden = false;
}

const collator = new Intl.Collator("en");

function sortTable(table) {
  const body = table.tBodies[0];
  table.querySelectorAll("thead th").forEach((head, column) => {
    const number = head.dataset.kind === "number";
    const button = document.createElement("button");
    button.type = "button";
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => {
      const first = number ? "descending" : "ascending";
      const second = number ? "ascending" : "descending";
      const order = head.getAttribute("aria-sort") === first ? second : first;
      table.querySelector("[aria-sort]")?.removeAttribute("aria-sort");
      head.setAttribute("aria-sort", order);
      const sign = order === "ascending" ? 1 : -1;
      const keyed = [...body.rows].map((row) => {
        const cell = row.cells[column];
        const text = cell.dataset.value ?? cell.textContent.trim();
        return [text === "" ? null : number ? Number(text) : text, row];
      });
      keyed.sort(([a], [b]) => {
        // What has no value stands last either way.
        if (a === null || b === null) return (a === null) - (b === null);
        return sign * (number ? a - b : collator.compare(a, b));
      });
      body.append(...keyed.map(([, row]) => row));
    });
  });
}

const folded = (text) => text.normalize("NFKD").replace(/\p{M}/gu, "").toLowerCase();

function languageSearch() {
  const input = document.getElementById("find-language");
  const found = document.getElementById("languages-found");
  const rows = [...document.getElementById("language-table").tBodies[0].rows];
  const texts = rows.map((row) => folded(`${row.cells[0].textContent} ${row.querySelector(".code").textContent}`));
  input.addEventListener("input", () => {
    const wanted = folded(input.value.trim());
    let shown = 0;
    rows.forEach((row, index) => {
      row.hidden = !texts[index].includes(wanted);
      shown += !row.hidden;
    });
    found.value = wanted ? `${shown} of ${rows.length}` : "";
  });
  input.form.addEventListener("submit", (event) => event.preventDefault());
  input.form.hidden = false;
}

function sampleSearch() {
  const form = document.getElementById("sample-filters");
  const found = document.getElementById("samples-found");
  const area = document.getElementById("samples");
  const sections = [...area.querySelectorAll("details.language")];
  const cards = new Map(sections.map((section) => [section, section.querySelectorAll(".sample")]));
  const all = [...cards.values()].reduce((sum, some) => sum + some.length, 0);
  const texts = new Map();
  // Without labels and names of scores, which all samples have.
  const textOf = (card) => {
    const parts = () => [...card.querySelectorAll("dd, .id, .reason")].map((part) => part.textContent);
    if (!texts.has(card)) texts.set(card, folded(parts().join("\n")));
    return texts.get(card);
  };
  let before = false;
  const apply = () => {
    const wanted = Object.fromEntries(new FormData(form));
    const text = folded(wanted.text.trim());
    const narrowed = Boolean(text || wanted.task || wanted.verdict || wanted.reason);
    const active = narrowed || Boolean(wanted.language);
    let shown = 0;
    for (const section of sections) {
      const asked = !wanted.language || section.dataset.code === wanted.language;
      let here = 0;
      for (const card of cards.get(section)) {
        card.hidden = !(
          asked &&
          (!wanted.verdict || card.classList.contains(wanted.verdict)) &&
          (!wanted.task || card.dataset.task === wanted.task) &&
          (!wanted.reason || card.dataset.reason === wanted.reason) &&
          (!text || textOf(card).includes(text))
        );
        here += !card.hidden;
      }
      section.hidden = active && !here && section.dataset.code !== wanted.language;
      if (active && here) section.open = true;
      if (!active && before) section.open = false;
      shown += here;
    }
    area.classList.toggle("filtered", narrowed);
    found.value = active ? `${shown} of ${all} samples` : "";
    before = active;
  };
  let waiting;
  form.addEventListener("input", () => {
    clearTimeout(waiting);
    waiting = setTimeout(apply, 150);
  });
  form.addEventListener("reset", () => setTimeout(apply));
  form.addEventListener("submit", (event) => event.preventDefault());
  form.hidden = false;
  // A link to a language must find it, whatever was searched for.
  document.getElementById("languages").addEventListener("click", (event) => {
    const link = event.target.closest('a[href^="#in-"]');
    if (!link) return;
    const section = document.getElementById(link.hash.slice(1)).closest("details");
    if (section.hidden) {
      form.reset();
      apply();
    }
    section.open = true;
  });
}

document.addEventListener("DOMContentLoaded", () => {
  themeSwitch();
  document.querySelectorAll("table.sortable").forEach(sortTable);
  languageSearch();
  sampleSearch();
});
