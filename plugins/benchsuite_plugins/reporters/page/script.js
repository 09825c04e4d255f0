"use strict";
// Everything below makes tables that are there already handier. No text becomes part of HTML unescaped.
(() => {
  const ROWS = 25;
  const LONG = 160; // characters, beyond which a text is folded, as in the template
  const WORD = 24; // beyond which it is broken anywhere

  // Texts of scores sort by the number that they begin with; those without one come last, whichever way it is sorted.
  const number = (text) => {
    const shown = String(text).trim();
    if (/^-?inf\b/.test(shown)) return shown.startsWith("-") ? -Infinity : Infinity;
    return parseFloat(shown);
  };
  const ordered = (sign) => (a, b) => {
    if (Number.isNaN(a) || Number.isNaN(b)) return Number.isNaN(a) - Number.isNaN(b);
    return a === b ? 0 : a < b ? -sign : sign;
  };
  const plain = (cell) => {
    const holder = document.createElement("template");
    holder.innerHTML = cell;
    return holder.content.textContent;
  };
  Object.assign(DataTable.ext.type.order, { "shown-pre": (cell) => number(plain(cell)), "shown-asc": ordered(1), "shown-desc": ordered(-1) });

  const escaped = (text) => {
    const holder = document.createElement("span");
    holder.textContent = text;
    return holder.innerHTML;
  };
  // A cell that comes as data is its text, or [text, class, reason, note].
  const rendered = (entry, type) => {
    const [text, , reason] = Array.isArray(entry) ? entry : [entry];
    if (type !== "display") return escaped(text);
    if (reason) return `<details><summary>${escaped(text)}</summary>${escaped(reason)}</details>`;
    if (text.length > LONG) return `<details class="long"><summary>${escaped(text.slice(0, LONG))}…</summary>${escaped(text)}</details>`;
    return text.length > WORD && !text.includes(" ") ? `<span class="wordy">${escaped(text)}</span>` : escaped(text);
  };
  const decorated = (node, entry) => {
    const [, kind, , note] = Array.isArray(entry) ? entry : [entry];
    if (kind) node.classList.add(kind);
    if (note) node.title = note;
  };

  const tables = new Map();
  const handy = (element) => {
    const later = document.querySelector(`script[data-rows="${element.id}"]`);
    const rows = later ? JSON.parse(later.textContent) : null;
    const count = rows ? rows.length : element.tBodies[0].rows.length;
    const columns = [...element.tHead.rows[0].cells].map((head) => ({
      ...(head.dataset.type ? { type: head.dataset.type, className: "number" } : {}),
      ...(rows ? { render: rendered, createdCell: decorated } : {}),
    }));
    const table = new DataTable(element, {
      ...(rows ? { data: rows, deferRender: true } : {}),
      columns, autoWidth: false, order: [], pageLength: ROWS, lengthMenu: [ROWS, 100, 500],
      paging: count > ROWS, searching: element.id === "scores" || count > ROWS, info: count > ROWS, lengthChange: count > ROWS,
      rowGroup: { enable: false, startRender: (_, group) => heading(group, columns.length) },
      language: { search: "Search", lengthMenu: "_MENU_ rows a page" },
    });
    tables.set(element.id, { table, textOf: rows ? (entry) => (Array.isArray(entry) ? entry[0] : entry) : plain });
    for (const controls of document.querySelectorAll(`.controls[data-for="${element.id}"]`)) connect(controls);
  };

  const heading = (group, columns) => {
    const row = document.createElement("tr");
    const cell = row.appendChild(document.createElement("th"));
    cell.colSpan = columns;
    cell.textContent = group.length > LONG ? `${group.slice(0, LONG)}…` : group;
    return row;
  };

  const connect = (controls) => {
    const { table, textOf } = tables.get(controls.dataset.for);
    controls.hidden = false;
    const filter = controls.querySelector("[data-filter]");
    filter?.addEventListener("change", () => {
      const wanted = filter.value;
      const place = Number(filter.dataset.filter);
      table.search.fixed("filter", wanted ? (_, row) => textOf(row[place]) === wanted : null).draw();
    });
    controls.querySelector("[data-group]")?.addEventListener("change", (event) => {
      const by = event.target.value;
      table.order.fixed({ pre: by === "" ? [] : [[Number(by), "asc"]] });
      if (by === "") table.rowGroup().disable();
      else table.rowGroup().enable().rowGroup().dataSrc((row) => textOf(row[Number(by)]));
      table.draw();
    });
    for (const box of controls.querySelectorAll("[data-column]")) {
      box.addEventListener("change", () => table.column(Number(box.dataset.column)).visible(box.checked));
    }
  };

  // One table after the other, with a pause for whoever scrolls already; all at once for a printer.
  const waiting = [...document.querySelectorAll("table.data")];
  const next = () => {
    if (waiting.length) {
      handy(waiting.shift());
      setTimeout(next);
    } else document.body.dataset.ready = "1";
  };
  next();

  const themes = ["auto", "light", "dark"];
  const button = document.getElementById("theme");
  const stored = (value) => {
    try {
      if (value !== undefined) localStorage.setItem("benchsuite-theme", value);
      return localStorage.getItem("benchsuite-theme");
    } catch {
      return null; // where a page from a file may store nothing
    }
  };
  const apply = (theme) => {
    if (theme === "auto") delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = theme;
    button.textContent = `theme: ${theme}`;
    button.dataset.theme = theme;
  };
  apply(themes.includes(stored()) ? stored() : "auto");
  button.hidden = false;
  button.addEventListener("click", () => {
    const next = themes[(themes.indexOf(button.dataset.theme) + 1) % themes.length];
    stored(next);
    apply(next);
  });

  // Print what pages and folds hide, but not more rows than anybody would want on paper.
  const MOST_PRINTED = 500;
  const opened = [];
  addEventListener("beforeprint", () => {
    while (waiting.length) handy(waiting.shift());
    for (const { table } of tables.values()) if (table.page.info().pages > 1) table.page.len(MOST_PRINTED).draw();
    for (const fold of document.querySelectorAll("details:not([open])")) {
      fold.open = true;
      opened.push(fold);
    }
  });
  addEventListener("afterprint", () => {
    for (const { table } of tables.values()) if (table.page.len() === MOST_PRINTED) table.page.len(ROWS).draw();
    for (const fold of opened.splice(0)) fold.open = false;
  });

  if (document.body.dataset.watched) setTimeout(() => location.reload(), 3000);
})();
