"use strict";
for (const table of document.querySelectorAll("table.sortable")) {
  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, column) => head.querySelector("button")?.addEventListener("click", () => {
    const down = head.getAttribute("aria-sort") === "ascending";
    heads.forEach(other => other.removeAttribute("aria-sort"));
    head.setAttribute("aria-sort", down ? "descending" : "ascending");
    const key = row => row.cells[column].dataset.value;
    const order = (a, b) => {
      const [x, y] = [key(a), key(b)];
      if (x === "" || y === "") return (x === "") - (y === "");
      const sign = down ? -1 : 1;
      return sign * (isNaN(x) || isNaN(y) ? x.localeCompare(y) : x - y);
    };
    table.tBodies[0].append(...[...table.tBodies[0].rows].sort(order));
  }));
}
for (const button of document.querySelectorAll("button.copy")) {
  button.addEventListener("click", async () => {
    const tables = [...button.closest("section").querySelectorAll("table.sortable")];
    const table = tables[tables.length - 1];
    const files = [...table.tHead.rows[0].cells].findIndex(head => head.textContent === "files");
    const line = row => [...row.cells].filter((_, column) => column !== files).map(cell => cell.textContent.trim()).join("\t");
    const text = [...table.rows].map(line).join("\n");
    try {
      await navigator.clipboard.writeText(text);
      button.textContent = "Copied";
    } catch {
      const range = document.createRange();
      range.selectNodeContents(table);
      getSelection().removeAllRanges();
      getSelection().addRange(range);
      button.textContent = "Selected: copy with Ctrl-C";
    }
  });
}
for (const button of document.querySelectorAll("button.statistics")) {
  const tables = button.closest("section").querySelectorAll("table.sortable");
  const show = all => {
    tables.forEach(table => table.classList.toggle("brief", !all));
    button.setAttribute("aria-expanded", all);
    button.textContent = all ? "Hide p-values and power" : "Show p-values and power";
  };
  button.hidden = false;
  button.addEventListener("click", () => show(button.getAttribute("aria-expanded") === "false"));
  show(false);
}
